"""Score the models of finished runs again: every seed, ensembles, calibration, and corrupted test images."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.errors import InputError
from cnn_jax.experiment import build
from cnn_jax.files import make_folder, numbered, require_free, write_files
from cnn_jax.report.console import Console
from cnn_jax.report.format import percent
from cnn_jax.runs import machine
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import finished_seeds, load_params
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.evaluation import robustness
from cnn_jax.studies.evaluation.corruptions import selected
from cnn_jax.studies.evaluation.numbers import CORRUPTION_SEED, corruption_record, evaluation_record, run_record
from cnn_jax.studies.evaluation.page import corruption_tables, ensemble_table, render_page, seed_table, sentences
from cnn_jax.studies.evaluation.robustness import Infer
from cnn_jax.training.compiled import compile_inference
from cnn_jax.training.mesh import make_mesh

SHOWN_IMAGES = 3  # test images that the page shows corrupted


@dataclass(frozen=True)
class _Run:
    """A run to score. seeds: its finished seeds; one for an ordinary run."""

    name: str
    path: Path
    config: Config
    seeds: Mapping[int, RunDirectory]

    @property
    def results(self) -> dict[int, Result]:
        """What each seed recorded, by seed."""
        return {seed: run.finished_result() for seed, run in self.seeds.items()}


def run(
    options: RunOptions,
    *,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    corruptions: Sequence[str] = (),
    output: Path | None = None,
) -> dict[str, Any]:
    """Scores the final parameters of finished runs on test images; prints and returns the record.

    options.workdir, runs: the folder of one run, or several. Each holds one run, or one sub-folder for each seed.
    dataset: whose test images; None means that of the runs. corruptions: their names, or `all`. output: the folder for
    `evaluation.json` and `evaluation.html`, and of corruptions `corruptions.json`. Without `output`, these files are
    written only for corruptions, into a new numbered folder in `runs`.

    Raises InputError when a run is not finished or has no checkpoint, when its model does not fit the images or
    classes, when runs used different datasets, or when the folder cannot be written or holds an evaluation.
    """
    console, names = Console(), selected(corruptions)
    compilation.start(persistent_cache=options.compilation_cache)
    chosen = _named([_opened(path) for path in _paths(options.workdir, runs)])
    spec, glyph_seed = _common_dataset(chosen, dataset)
    folder = _folder(output, chosen, is_needed=bool(names), overwrite=options.overwrite)
    if _has_several_outputs(chosen):
        _require_single_run(chosen, folder)
    test = load_dataset(Config(dataset=spec.name, glyph_seed=glyph_seed), options, console).test
    if _has_several_outputs(chosen):
        return _scored_by_output(chosen[0], spec, test, console)
    models = {run.name: _inference(run, spec, test) for run in chosen}
    if folder:
        make_folder(folder, flag="output")

    records = [_run_record(run, spec, models[run.name](test.images), test.labels) for run in chosen]
    record = evaluation_record(spec.name, len(test), machine.describe(list(options.command_line)), records)
    if names:
        accuracies = robustness.accuracies(models, test, names, seed=CORRUPTION_SEED, note=console.note)
        record["corruptions"] = corruption_record(accuracies, {run.name: list(run.seeds) for run in chosen})
    _print(console, record)
    if folder:
        _write(folder, record, test.images[:SHOWN_IMAGES])
        console.line(f"{folder / 'evaluation.html'} written, and its numbers beside it")
    return record


def _paths(workdir: Path | None, runs: Sequence[Path]) -> Sequence[Path]:
    if (workdir is None) == (not runs):
        raise InputError("--mode=evaluate: name one run with --workdir=RUN, or several with --runs=RUN,RUN.")
    doubled = [path for path in runs if list(runs).count(path) > 1]
    if doubled:
        raise InputError(f"--runs: {doubled[0]} is named twice.")
    return [workdir] if workdir else runs


def _opened(path: Path) -> _Run:
    seeds = finished_seeds(path)
    return _Run(str(path), path, next(iter(seeds.values())).config(), seeds)


def _named(runs: Sequence[_Run]) -> list[_Run]:
    """The runs, named after their experiments where these are all different, otherwise after their paths."""
    names = {run.config.experiment for run in runs}
    if len(names) < len(runs):
        return list(runs)
    return [dataclasses.replace(run, name=run.config.experiment) for run in runs]


def _common_dataset(runs: Sequence[_Run], dataset: str | None) -> tuple[Spec, int]:
    """The dataset to score all runs on, and its glyph seed."""
    wanted = {dataset or run.config.dataset: run for run in runs}
    if len(wanted) > 1:
        which = ", ".join(f"{run.path} {name}" for name, run in wanted.items())
        raise InputError(f"--runs: they use different datasets ({which}). Score all on one with --dataset=NAME.")
    spec, glyph_seeds = data.spec(next(iter(wanted))), {run.config.glyph_seed for run in runs}
    if len(glyph_seeds) > 1 and spec.name == "glyphs":
        raise InputError("--runs: they use glyphs drawn with different seeds, which are different datasets.")
    for run in runs:
        _require_same_shapes(data.spec(run.config.dataset), spec)
    return spec, max(glyph_seeds)  # only glyphs depend on it


def _require_same_shapes(trained_on: Spec, spec: Spec) -> None:
    for what, before, wanted in (
        ("image shape", trained_on.image_shape, spec.image_shape),
        ("number of classes", len(trained_on.classes), len(spec.classes)),
    ):
        if before != wanted:
            raise InputError(f"--dataset={spec.name}: its {what} is {wanted}; the run was trained with {before}.")


def _folder(output: Path | None, runs: Sequence[_Run], *, is_needed: bool, overwrite: bool) -> Path | None:
    """The folder for record and page; None when nothing is to be written."""
    if output is None:
        name = "-".join(["evaluate", *(run.config.experiment for run in runs)])
        return numbered(RUNS, name) if is_needed else None
    require_free(output, "evaluation.json", overwrite=overwrite, flag="output")
    return output


def _inference(run: _Run, spec: Spec, test: Split) -> Infer:
    """A function that gives the logits of all seeds of a run."""
    program, params = compile_inference(build(run.config, spec), test, make_mesh()), _params(run)

    def infer(images: np.ndarray) -> np.ndarray:
        on_images = program.on(images)
        return np.stack([on_images.logits(seed) for seed in params])

    return infer


def _params(run: _Run) -> list[dict]:
    """The final parameters of each seed."""
    return [load_params(seed) for seed in run.seeds.values()]


def _has_several_outputs(runs: Sequence[_Run]) -> bool:
    return any(result.outputs for run in runs for result in run.results.values())


def _require_single_run(runs: Sequence[_Run], folder: Path | None) -> None:
    if folder or len(runs) > 1 or len(runs[0].seeds) > 1:
        raise InputError(
            f"{runs[0].path}: a model with several outputs can only be scored as one run with one seed, without "
            "--corruptions and --output."
        )


def _scored_by_output(run: _Run, spec: Spec, test: Split, console: Console) -> dict[str, Any]:
    """Prints and returns loss and accuracy of a model with several outputs."""
    [params], [(seed, recorded)] = _params(run), run.results.items()
    score = compile_inference(build(run.config, spec), test, make_mesh()).score(params)
    outputs = {name: (output.loss, output.accuracy) for name, output in score.outputs.items()}
    console.score(spec.name, score.loss, score.accuracy, score.examples, outputs)
    if spec.name == run.config.dataset:
        accuracy = percent(recorded.test_accuracy or 0.0)
        console.line(f"the run itself recorded loss {recorded.test_loss:.4f}  accuracy {accuracy}")
    return {"runs": [{"name": run.name, "seeds": [{"seed": seed, "loss": score.loss, "accuracy": score.accuracy}]}]}


def _run_record(run: _Run, spec: Spec, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    is_own = spec.name == run.config.dataset
    return run_record(run.name, str(run.path), run.results, logits, labels, same_dataset=is_own)


def _print(console: Console, record: Mapping[str, Any]) -> None:
    for run in record["runs"]:
        if len(record["runs"]) > 1:
            console.line(f"{run['name']}: {run['path']}")
        mean = run["mean"]
        if len(run["seeds"]) == 1:
            console.score(record["dataset"], mean["loss"]["mean"], mean["accuracy"]["mean"], record["test_examples"])
        else:
            console.table(seed_table(record, run))
            console.table(ensemble_table(record, run))
        for line in sentences(record, run):
            console.line(line)
    for table in corruption_tables(record) if "corruptions" in record else ():
        console.table(table)


def _write(folder: Path, record: Mapping[str, Any], images: np.ndarray) -> None:
    """Writes record and page. images: test images to show corrupted, uint8 [N, H, W, C]."""
    scores = {name: part for name, part in record.items() if name != "corruptions"}
    files = {"evaluation.json": json.dumps(scores, indent=1, allow_nan=False)}
    samples = {}
    if "corruptions" in record:
        shared = {name: record[name] for name in ("format", "dataset", "test_examples", "machine")}
        files["corruptions.json"] = json.dumps(shared | record["corruptions"], indent=1, allow_nan=False)
        samples = {name: robustness.samples(images, name, CORRUPTION_SEED) for name in record["corruptions"]["kinds"]}
    files["evaluation.html"] = render_page(record, samples)
    write_files(folder, {name: text + "\n" for name, text in files.items()})
