"""Score the models of finished runs again: every seed, ensembles, calibration, and corrupted test images."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation
from cnn_jax.config import short_name
from cnn_jax.data.dataset import Dataset, Spec, Split
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import make_folder, numbered, require_free, write_files
from cnn_jax.report.console import Console, fits
from cnn_jax.runs import machine
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, finished_seeds, load_variables
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.evaluation.cells import which_images
from cnn_jax.studies.evaluation.classes import MOST_IMAGES
from cnn_jax.studies.evaluation.classes_page import (
    confusions_table,
    console_matrix,
    remarks,
    report_table,
    short_names,
)
from cnn_jax.studies.evaluation.corruptions import accuracies, samples, selected
from cnn_jax.studies.evaluation.numbers import (
    Predicted,
    augmentation_record,
    corruption_record,
    evaluation_record,
    run_record,
)
from cnn_jax.studies.evaluation.page import (
    corruption_table,
    ensemble_table,
    interval_remarks,
    metrics_table,
    render_page,
    seed_table,
    sentences,
    strength_table,
)
from cnn_jax.studies.evaluation.variants import Variants, doubts, predicted, selected_variants
from cnn_jax.studies.evaluation.variants_page import augmentation_sentences, augmentation_table
from cnn_jax.training.compiled import Inference, compile_inference
from cnn_jax.training.learner import Learner
from cnn_jax.training.mesh import make_mesh

SHOWN_IMAGES = 3  # test images that the page shows corrupted
TERMINAL_WIDTH = 80  # a confusion matrix is printed where it fits into so many columns


@dataclass(frozen=True)
class _Run:
    """A run to score. seeds: its finished seeds; one for an ordinary run."""

    name: str
    path: Path
    experiment: Experiment
    seeds: Mapping[int, RunDirectory]


@dataclass(frozen=True)
class _Model:
    """The compiled model of a run. variables: those at the end, of each seed."""

    learner: Learner
    inference: Inference
    variables: Sequence[dict]

    def logits(self, images: np.ndarray) -> list[Any]:
        """The logits of each seed: float32 [N, classes], or a dict of them by output."""
        on_images = self.inference.on(images)
        return [on_images.logits(variables) for variables in self.variables]

    def labels(self, labels: np.ndarray) -> Any:
        """What the dataset's labels mean to the model: int32 [N]."""
        return self.learner.measures.main(self.learner.targets(labels))

    def main_logits(self, images: np.ndarray) -> np.ndarray:
        """The logits of the dataset's classes: float32 [seeds, N, classes]."""
        return np.stack([self.learner.measures.main(logits) for logits in self.logits(images)])


def run(
    options: RunOptions,
    *,
    experiment: Experiment | None = None,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    held_out: bool = False,
    corruptions: Sequence[str] = (),
    test_augment: Sequence[str] = (),
    shift_pixels: int | None = None,
    output: Path | None = None,
) -> dict[str, Any]:
    """Scores the final parameters of finished runs on test images; prints and returns the record.

    options.workdir, runs: the folder of one run, or several. Each holds one run, or one sub-folder for each seed.
    experiment: whose parts the runs need, if any are a user's. dataset: whose test images; None means that of the runs.
    held_out: score the images that all these runs held out from training, instead of test images. corruptions: their
    names, or `all`. test_augment: `shift`, `flip` or both: also score the means over variants of the images.
    shift_pixels: the longest shift. output: the folder for `evaluation.json` and `evaluation.html`, and of corruptions
    `corruptions.json`. Without `output`, these files are written only for corruptions, into a new numbered folder in
    `runs`.

    Raises InputError when a run is not finished, has no checkpoint or does not fit the images, when runs used different
    datasets or held out different images, or when the folder cannot be written or holds an evaluation.
    """
    console, names, variants = Console(), selected(corruptions), selected_variants(test_augment, shift_pixels)
    compilation.start(persistent_cache=options.compilation_cache)
    chosen = _opened(options.workdir, runs, experiment, console)
    on_dataset = _common_dataset(chosen, dataset, options.dataset_dir)
    examples = _held_out_examples(chosen, dataset) if held_out else 0
    for doubt in doubts(variants, on_dataset.spec) if variants else ():
        console.note(doubt)
    output = _output(output, chosen, is_needed=bool(names), overwrite=options.overwrite)
    loaded = load_dataset(on_dataset, options, console)
    loaded = _with_held_out_as_test(loaded, examples) if held_out else loaded
    is_named = dataset is not None or options.dataset_dir is not None
    models = _models(chosen, loaded, is_named=is_named and not held_out)
    if output:
        make_folder(output, flag="output")

    record = _record(chosen, models, loaded, options, held_out=held_out)
    if variants:
        record["test_augmentation"] = _augmentation(variants, models, loaded.test, record["runs"], console)
    if names:
        record["corruptions"] = _corruptions(names, models, loaded.test, chosen, console)
    _print(console, record)
    if output:
        _write(output, record, loaded.test.images)
        console.line(f"{output / 'evaluation.html'} written, and its numbers beside it")
    return record


def _with_held_out_as_test(dataset: Dataset, examples: int) -> Dataset:
    """The dataset with so many of its last training images in the place of the test images."""
    return dataclasses.replace(dataset, test=dataset.train[len(dataset.train) - examples :])


def _output(named: Path | None, runs: Sequence[_Run], *, is_needed: bool, overwrite: bool) -> Path | None:
    """The folder to write; None where no files are written. Raises InputError where an evaluation is in it."""
    if named:
        require_free(named, "evaluation.json", overwrite=overwrite, flag="output")
        return named
    name = short_name("-".join(["evaluate", *(run.experiment.config.experiment for run in runs)]))
    return numbered(RUNS, name) if is_needed else None


def _opened(workdir: Path | None, runs: Sequence[Path], given: Experiment | None, console: Console) -> list[_Run]:
    """The runs, named after their experiments where these are all different, otherwise after their paths."""
    if (workdir is None) == (not runs):
        raise InputError("--mode=evaluate: name one run with --workdir=RUN, or several with --runs=RUN,RUN.")
    paths = [workdir] if workdir else list(runs)
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"--runs: {path} is named twice.")
    finished = [finished_seeds(path) for path in paths]
    experiments = [experiment_of(next(iter(seeds.values())), given, console) for seeds in finished]
    names = [experiment.config.experiment for experiment in experiments]
    names = names if len(set(names)) == len(paths) else [str(path) for path in paths]
    return [_Run(*parts) for parts in zip(names, paths, experiments, finished, strict=True)]


def _common_dataset(runs: Sequence[_Run], dataset: str | None, dataset_dir: Path | None) -> Experiment:
    """An experiment with the dataset to score all runs on."""
    varied = [
        run.experiment
        if dataset in (None, run.experiment.config.dataset.name)
        else run.experiment.vary(dataset=dataset)
        for run in runs
    ]
    wanted = {experiment.config.dataset: run for experiment, run in zip(varied, runs, strict=True)}
    if len({part.name for part in wanted}) > 1:
        which = ", ".join(f"{run.path} {part}" for part, run in wanted.items())
        raise InputError(f"--runs: they use different datasets ({which}). Score all on one with --dataset=NAME.")
    if len(wanted) > 1:
        raise InputError(f"--runs: they use {next(iter(wanted))} with different settings: different datasets.")
    chosen = varied[0] if dataset_dir is None else varied[0].with_dataset_dir(dataset_dir)
    for run in runs:  # before any image is read
        _require_same_shapes(run.experiment.spec, chosen.spec)
    return chosen


def _held_out_examples(runs: Sequence[_Run], dataset: str | None) -> int:
    """How many of the last training images all runs held out. Raises InputError where that is not one number."""
    if dataset not in (None, runs[0].experiment.config.dataset.name):
        raise InputError(f"--held_out: the runs held out images of {runs[0].experiment.spec.name}, not of {dataset}.")
    examples = {run.experiment.config.validation_examples: run for run in runs}
    if len(examples) > 1:
        which = ", ".join(f"{run.path} {number:,}" for number, run in examples.items())
        raise InputError(f"--held_out: the runs held out different numbers of images ({which}).")
    [(number, run)] = examples.items()
    if not number:
        raise InputError(f"--held_out: {run.path} held out no image. Train it with --validation_examples=N.")
    return number


def _require_same_shapes(trained_on: Spec, spec: Spec) -> None:
    for what, before, wanted in (
        ("image shape", trained_on.image_shape, spec.image_shape),
        ("number of classes", len(trained_on.classes), len(spec.classes)),
    ):
        if before != wanted:
            raise InputError(f"--dataset={spec.name}: its {what} is {wanted}; the run was trained with {before}.")
    if spec.name == trained_on.name and spec.classes != trained_on.classes:
        other = next(pair for pair in zip(trained_on.classes, spec.classes, strict=True) if pair[0] != pair[1])
        raise InputError(f"--dataset={spec.name}: its classes are others: {other[1]} where the run had {other[0]}.")


def _require_fitting(run: _Run, dataset: Dataset, *, is_named: bool) -> None:
    """Raises InputError where a run cannot be scored on this dataset, or was trained on other data.

    Other data are scored where the user has named them: they may hold the run's training images.
    """
    _require_same_shapes(run.experiment.spec, dataset.spec)
    trained_on = next(iter(run.seeds.values())).machine().get("data_fingerprint")
    if not is_named and trained_on not in (None, dataset.fingerprint):
        raise InputError(
            f"{run.path}: was trained on other data than {dataset.spec.name} is now (their fingerprints differ): its "
            "training images may be among these test images. To score it on these all the same, name them: "
            "--dataset_dir=PATH, or --dataset=NAME."
        )


def _models(runs: Sequence[_Run], dataset: Dataset, *, is_named: bool) -> dict[str, _Model]:
    """The models by the names of their runs. is_named: as in `_require_fitting`, which is asked of all runs first."""
    for run in runs:
        _require_fitting(run, dataset, is_named=is_named)
    return {run.name: _model(run, dataset.spec, dataset.test) for run in runs}


def _model(run: _Run, spec: Spec, test: Split) -> _Model:
    trained_on = run.experiment.spec
    learner = build(run.experiment, dataclasses.replace(spec, scale=trained_on.scale, offset=trained_on.offset))
    variables = [load_variables(seed, run.experiment) for seed in run.seeds.values()]
    return _Model(learner, compile_inference(learner, test, make_mesh()), variables)


def _record(
    runs: Sequence[_Run], models: Mapping[str, _Model], dataset: Dataset, options: RunOptions, *, held_out: bool
) -> dict[str, Any]:
    """The scores of all runs on the dataset's test images, which are held-out ones if `held_out`."""
    most_images = MOST_IMAGES // len(runs)
    records = [_run_record(run, models[run.name], dataset, most_images, held_out=held_out) for run in runs]
    scored = "held-out images" if held_out else "test images"
    about = machine.describe(list(options.command_line))
    return evaluation_record(dataset.spec.name, scored, len(dataset.test), about, records)


def _run_record(run: _Run, model: _Model, dataset: Dataset, most_images: int, *, held_out: bool) -> dict[str, Any]:
    results = {seed: directory.finished_result() for seed, directory in run.seeds.items()}
    fingerprint = next(iter(run.seeds.values())).machine().get("data_fingerprint", dataset.fingerprint)
    is_own = (dataset.spec.name, dataset.fingerprint) == (run.experiment.spec.name, fingerprint)
    logits, targets = model.logits(dataset.test.images), model.learner.targets(dataset.test.labels)
    about = (run.name, str(run.path), model.learner.measures, results)
    return run_record(
        *about, logits, targets, dataset.spec, same_scores=is_own and not held_out, most_images=most_images
    )


def _augmentation(
    variants: Variants, models: Mapping[str, _Model], test: Split, records: Sequence[dict[str, Any]], console: Console
) -> dict[str, Any]:
    console.note(f"scoring {len(variants)} variants of each image")
    of_runs: dict[str, Predicted] = {
        name: (*predicted(model.main_logits, test.images, variants), model.labels(test.labels))
        for name, model in models.items()
    }
    return augmentation_record(variants, records, of_runs)


def _corruptions(
    names: Sequence[str], models: Mapping[str, _Model], test: Split, runs: Sequence[_Run], console: Console
) -> dict[str, Any]:
    infer = {name: model.main_logits for name, model in models.items()}
    found = accuracies(infer, test, names, console.note)
    return corruption_record(found, {run.name: list(run.seeds) for run in runs})


def _print(console: Console, record: Mapping[str, Any]) -> None:
    for run in record["runs"]:
        if len(record["runs"]) > 1:
            console.line(f"{run['name']}: {run['path']}")
        if len(run["seeds"]) == 1:
            _print_score(console, record, run["seeds"][0])
        else:
            console.table(seed_table(record, run))
            console.table(ensemble_table(record, run))
        for line in sentences(record, run):
            console.line(line)
        for found in run["classification"]:
            _print_classes(console, found)
    if metrics_table(record).rows:
        console.table(metrics_table(record))
    if "test_augmentation" in record:
        console.report([augmentation_table(record)], augmentation_sentences(record))
    if "corruptions" in record:
        console.table(strength_table(record))
        console.table(corruption_table(record))
    for remark in interval_remarks(record):
        console.line(remark)


def _print_classes(console: Console, found: Mapping[str, Any]) -> None:
    """Prints the scores of each class, and the confusion matrix or, where it is too large, its largest numbers."""
    names, matrix = short_names(found), console_matrix(found)
    console.table(report_table(found, names))
    for remark in remarks(found):
        console.line(remark)
    shown = matrix if fits(matrix, TERMINAL_WIDTH) else confusions_table(found, names)
    if shown.rows:
        console.table(shown)


def _print_score(console: Console, record: Mapping[str, Any], seed: Mapping[str, Any]) -> None:
    scores = {record["dataset"]: seed} | {f"  {name}": score for name, score in seed.get("outputs", {}).items()}
    for name, score in scores.items():
        console.score(f"{name} {which_images(record)}", score["loss"], score["accuracy"], record["test_examples"])


def _write(folder: Path, record: Mapping[str, Any], images: np.ndarray) -> None:
    """Writes record and page. images: those that are scored, uint8 [N, H, W, C]."""
    scores = {name: part for name, part in record.items() if name != "corruptions"}
    files = {"evaluation.json": json.dumps(scores, indent=1, allow_nan=False)}
    shown: dict[str, np.ndarray] = {}
    if "corruptions" in record:
        shared = {name: record[name] for name in ("format", "dataset", "test_examples", "machine")}
        files["corruptions.json"] = json.dumps(shared | record["corruptions"], indent=1, allow_nan=False)
        shown = {name: samples(images[:SHOWN_IMAGES], name) for name in record["corruptions"]["kinds"]}
    files["evaluation.html"] = render_page(record, images, shown)
    write_files(folder, {name: text + "\n" for name, text in files.items()})
