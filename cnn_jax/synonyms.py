"""What other programs call a flag. Nobody has to know them here: they only help to answer an unknown name."""

import difflib
import re
from collections.abc import Collection, Mapping

# By the name here, without the dashes and underscores, which people forget.
_WORDS: Mapping[str, str] = {
    "learning_rate": "lr alpha eta stepsize baselr maxlr initlr initiallr learnrate",
    "batch_size": "bs b batch batchsz minibatch minibatchsize trainbatchsize",
    "epochs": "e ep numepochs nepochs nbepoch maxepochs totalepochs trainepochs numtrainepochs",
    "seed": "randomseed randomstate rngseed manualseed rng",
    "optimizer": "opt optim optimiser",
    "schedule": "scheduler sched lrscheduler lrschedule lrdecay",
    "average": "ema swa modelema weightaveraging",
    "model": "arch architecture net network backbone",
    "loss": "criterion lossfn lossfunction objective",
    "augment": "aug augmentation dataaugmentation transform transforms",
    "dtype": "precision amp fp16 bf16 half mixedprecision",
    "train_examples": "trainsize numtrain ntrain trainsamples maxtrainsamples numsamples subset",
    "validation_examples": "val valsize valsplit validationsplit numval valexamples validsize",
    "keep": "savebest savebestonly keepbest loadbestmodelatend restorebestweights",
    "monitor": "metricforbestmodel bestmetric monitormetric keepby",
    "patience": "earlystopping earlystop earlystoppingpatience",
    "dataset": "ds data datasetname",
    "dataset_dir": "datapath dataroot datasetpath root traindir imagesdir imgdir",
    "workdir": "outputdir outdir savedir logdir rundir resultsdir expdir checkpointdir ckptdir savepath",
    "experiment": "exp expname experimentname preset recipe",
    "config": "cfg conf configfile",
    "mode": "cmd command action",
    "seeds": "numseeds nseeds nruns",
    "overwrite": "force clobber",
    "progress": "verbose verbosity quiet tqdm progressbar",
    "max_time": "timelimit timeout maxseconds",
    "checkpoint_every": "saveevery savefreq saveinterval checkpointinterval ckptevery",
    "keep_checkpoints": "savetotallimit maxtokeep",
    "resume_from": "resume restart load checkpoint ckpt",
    "init_from": "pretrained weights warmstart finetune finetunefrom loadweights transferfrom",
    "jobs": "j njobs workers numworkers processes threads",
    "test_augment": "tta testtimeaugmentation testtimeaugment testtime testaugmentation",
    "output": "o out outputfile",
    "images": "image img input pictures",
    "jax_platforms": "device gpu gpus cuda cpu tpu accelerator platform",
    "model.widths": "filters numfilters nfilters channels numchannels outchannels features "
    "hidden hiddensize hiddensizes hiddendim units neurons width layers",
    "model.kernel_size": "k kernel kernels kernelsizes ksize filtersize",
    "model.pooling": "pool maxpool maxpooling",
    "model.dropout": "dropoutrate keepprob dropoutprob",
    "model.norm": "batchnorm bn normlayer groupnorm",
    "model.depth": "numlayers nlayers",
    "optimizer.weight_decay": "wd l2",
    "optimizer.momentum": "mom",
    "loss.label_smoothing": "smoothing labelsmooth smooth",
    "loss.class_weights": "weight classweight",
    "warmup_steps": "warmup warmupiters numwarmupsteps",
    "clip_norm": "clip gradclip maxgradnorm gradientclipping gradientclipval clipgradnorm globalclipnorm",
    "clip_value": "clipgradvalue",
    "microbatches": "accumulation accumulate gradientaccumulation gradientaccumulationsteps gradaccum accumsteps",
}
_NAMES = {word: name for name, words in _WORDS.items() for word in words.split()}

# What no part of the project has, and which part of a user's own may have it.
_OF_OWN_PARTS = {
    "model": "activation stride strides padding",
}


def meant(name: str, known: Collection[str]) -> str | None:
    """The name that an unknown one may mean: spelled with dashes, used by other programs, or nearly the same.

    known: the names that there are. A setting of a part, as `model.widths`, may be none of them.
    """
    plain = _plain(name)
    spelled = {_plain(other): other for other in reversed(list(known))}
    if plain in spelled:
        return spelled[plain]
    if plain.startswith("no") and plain[2:] in spelled:
        return f"no{spelled[plain[2:]]}"
    slips, near = (difflib.get_close_matches(name, known, n=1, cutoff=cutoff) for cutoff in (0.85, 0.6))
    return next(iter([*slips, *filter(None, [_NAMES.get(plain)]), *near]), None)


def own_part(name: str) -> str | None:
    """The part that may have a setting of this name where a user writes it: `model` for `dropout`."""
    return next((part for part, words in _OF_OWN_PARTS.items() if _plain(name) in words.split()), None)


def _plain(name: str) -> str:
    return re.sub("[-_]", "", name.lower())
