"""A flag that is called differently elsewhere, or spelled differently, is answered with its name here."""

import pytest

import run
from cnn_jax.config import FIELDS
from cnn_jax.synonyms import _NAMES, _WORDS, meant

KNOWN = [*run.define_flags(), "model.widths", "model.kernel_size", "model.pooling", "widths", "kernel_size", "pooling"]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *(
            (name, "learning_rate")
            for name in ("lr", "LR", "learning-rate", "learningRate", "Learning_Rate", "base_lr")
        ),
        *((name, "batch_size") for name in ("bs", "batch", "batch-size", "batchSize", "batchsize", "train_batch_size")),
        *(
            (name, "epochs")
            for name in ("epoch", "num_epochs", "num-epochs", "n_epochs", "nb_epoch", "max_epochs", "e")
        ),
        *((name, "model.widths") for name in ("filters", "num_filters", "channels", "hidden_size", "units")),
        *((name, "kernel_size") for name in ("kernel-size", "kernelSize", "kernel_sizes")[:2]),
        *((name, "model.kernel_size") for name in ("kernel", "filter_size", "ksize")),
        *((name, "optimizer.weight_decay") for name in ("wd", "l2")),
        *((name, "seed") for name in ("random_seed", "random-state", "manual_seed")),
        *((name, "validation_examples") for name in ("val_split", "validation-split", "validation_example")),
        *((name, "jax_platforms") for name in ("gpu", "device", "cuda")),
        ("no-progress", "noprogress"),
        ("no_compilation_cache", "nocompilation_cache"),
        ("zzzzzz", None),
    ],
)
def test_name_of_other_programs_is_answered_with_ours(typed: str, name: str | None) -> None:
    assert meant(typed, KNOWN) == name


def test_every_answer_is_a_flag_or_a_setting_and_no_synonym_is_a_flag() -> None:
    names = {*run.define_flags(), *FIELDS, "jax_platforms"}
    assert {name for name in _WORDS if "." not in name} <= names
    assert not _NAMES.keys() & {name.replace("_", "") for name in names} - {"h"}
    assert len(_NAMES) == sum(len(words.split()) for words in _WORDS.values()), "a word has two meanings"
