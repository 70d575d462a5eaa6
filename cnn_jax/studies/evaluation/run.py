"""Score finished runs' parameters again: seeds, ensembles, calibration, and test images that were corrupted."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.errors import InputError
from cnn_jax.report.console import Console
from cnn_jax.report.page import Table
from cnn_jax.report.statistics import estimate
from cnn_jax.runs import directory, machine, seeds, trained
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.result import Result
from cnn_jax.studies.evaluation import calibration, ensembles, robustness
from cnn_jax.studies.evaluation import corruptions as corrupting
from cnn_jax.studies.evaluation import page as report
from cnn_jax.studies.evaluation.robustness import Infer
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

RUNS = Path("runs")
FORMAT = 1
CORRUPTION_SEED = 0
SHOWN_IMAGES = 3  # that the page shows corrupted


@dataclass(frozen=True)
class _Run:
    """What was asked to be scored. seeds: its finished ones; of an ordinary run its one."""

    name: str
    path: Path
    config: Config
    seeds: Mapping[int, RunDirectory]

    @property
    def results(self) -> list[Result]:
        return [directory.finished_result() for directory in self.seeds.values()]


def run(
    *,
    workdir: Path | None = None,
    runs: Sequence[Path] = (),
    dataset: str | None = None,
    corruptions: Sequence[str] = (),
    output: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Recomputes, from the parameters that runs left, what the test images say of them; prints and returns the record.

    workdir, runs: one run's folder or several; each holds an ordinary run or one sub-folder a seed. Writes nothing,
    unless `output` or `corruptions` is given: then `evaluation.json` and `evaluation.html`, and of corruptions
    `corruptions.json`, into the folder `output`, by default a new numbered one in `runs`.

    Raises InputError where a run is not finished or has no checkpoint, where the images or classes are not its
    model's, where runs are of different datasets, or where the folder cannot be written or holds an evaluation.
    """
    console, names = Console(), corrupting.chosen(corruptions)
    compilation.start(persistent_cache=compilation_cache)
    asked = _named([_opened(path) for path in _paths(workdir, runs)])
    spec, glyph_seed = _images_of(asked, dataset)
    folder = _folder(output, asked, needed=bool(names), overwrite=overwrite)
    if _has_several_outputs(asked):
        _require_plain(asked, folder)
    test = data.load(spec.name, data_dir=data_dir, manual_dir=manual_dir, glyph_seed=glyph_seed, warn=console.note).test
    if _has_several_outputs(asked):
        return _scored_by_output(asked[0], spec, test, console)
    models = {run.name: _inference(run, spec, test) for run in asked}
    if folder:
        directory.make(folder, flag="output")

    record = {"format": FORMAT, "dataset": spec.name, "test_examples": len(test), "bins": calibration.BINS}
    record["machine"] = machine.describe(list(command_line))
    record["runs"] = [_scored(run, spec, models[run.name](test.images), test.labels) for run in asked]
    if names:
        record["corruptions"] = _corrupted(names, asked, models, test, console)
    _print(console, record)
    if folder:
        _write(folder, record, test.images[:SHOWN_IMAGES])
        console.line(f"{folder / 'evaluation.html'} written, and its numbers beside it")
    return record


def _paths(workdir: Path | None, runs: Sequence[Path]) -> Sequence[Path]:
    if (workdir is None) == (not runs):
        raise InputError("--mode=evaluate: name the run with --workdir=RUN, or several with --runs=RUN,RUN.")
    doubled = [path for path in runs if list(runs).count(path) > 1]
    if doubled:
        raise InputError(f"--runs: names {doubled[0]} twice.")
    return [workdir] if workdir else runs


def _opened(path: Path) -> _Run:
    found = seeds.finished(path)
    return _Run(str(path), path, next(iter(found.values())).config(), found)


def _named(asked: Sequence[_Run]) -> list[_Run]:
    """The runs under the names of their experiments, where these tell them apart; else under their paths."""
    names = {run.config.experiment for run in asked}
    if len(names) < len(asked):
        return list(asked)
    return [dataclasses.replace(run, name=run.config.experiment) for run in asked]


def _images_of(asked: Sequence[_Run], dataset: str | None) -> tuple[Spec, int]:
    """The dataset to score all runs on, and the seed of its glyphs."""
    wanted = {dataset or run.config.dataset: run for run in asked}
    if len(wanted) > 1:
        said = ", ".join(f"{run.path} of {name}" for name, run in wanted.items())
        raise InputError(f"--runs: are of different datasets ({said}). Score all on one with --dataset=NAME.")
    spec, glyph_seeds = data.spec(next(iter(wanted))), {run.config.glyph_seed for run in asked}
    if len(glyph_seeds) > 1 and spec.name == "glyphs":
        raise InputError("--runs: are of glyphs drawn with different seeds, which are different datasets.")
    for run in asked:
        _require_same_form(data.spec(run.config.dataset), spec)
    return spec, max(glyph_seeds)  # other datasets do without


def _require_same_form(trained_on: Spec, spec: Spec) -> None:
    for what, mine, theirs in (
        ("images of shape", trained_on.image_shape, spec.image_shape),
        ("classes numbering", len(trained_on.classes), len(spec.classes)),
    ):
        if mine != theirs:
            raise InputError(f"--dataset={spec.name}: has {what} {theirs}; the run was trained on {mine}.")


def _folder(output: Path | None, asked: Sequence[_Run], *, needed: bool, overwrite: bool) -> Path | None:
    """Where record and page go; None where nothing is to be written."""
    if output is None:
        name = "-".join(["evaluate", *(run.config.experiment for run in asked)])
        return directory.numbered(RUNS, name) if needed else None
    directory.require_free(output, "evaluation.json", overwrite=overwrite, flag="output")
    return output


def _inference(run: _Run, spec: Spec, test: Split) -> Infer:
    """The run's models, all seeds of them, as one function of images."""
    program, params = programs.compile_inference(run.config, spec, test, meshes.over_all_devices()), _params(run)

    def infer(images: np.ndarray) -> np.ndarray:
        on_images = program.on(images)
        return np.stack([on_images.logits(seed) for seed in params])

    return infer


def _params(run: _Run) -> list[dict]:
    """The parameters that each seed ended with."""
    return [trained.params(seed) for seed in run.seeds.values()]


def _has_several_outputs(asked: Sequence[_Run]) -> bool:
    label = np.zeros(1, np.int32)
    return any(isinstance(tasks.TASKS[run.config.view].targets(label), dict) for run in asked)


def _require_plain(asked: Sequence[_Run], folder: Path | None) -> None:
    if folder or len(asked) > 1 or len(asked[0].seeds) > 1:
        raise InputError(
            f"{asked[0].path}: of models of several outputs only one run of one seed can be scored, without "
            "--corruptions and --output."
        )


def _scored_by_output(run: _Run, spec: Spec, test: Split, console: Console) -> dict[str, Any]:
    """Prints loss and accuracy of each output of a run, and returns them."""
    [params], [seed], [end] = _params(run), run.seeds, run.results
    score = programs.compile_inference(run.config, spec, test, meshes.over_all_devices()).score(params)
    outputs = {name: (output.loss, output.accuracy) for name, output in score.outputs.items()}
    console.score(spec.name, score.loss, score.accuracy, score.examples, outputs)
    if spec.name == run.config.dataset:
        console.line(f"the run itself recorded loss {end.test_loss:.4f}  accuracy {end.test_accuracy:.2%}")
    return {"runs": [{"name": run.name, "seeds": [{"seed": seed, "loss": score.loss, "accuracy": score.accuracy}]}]}


def _scored(run: _Run, spec: Spec, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """What the test images say of a run: its seeds, their mean, ensembles of them, and the reliability diagram."""
    logs = calibration.log_probabilities(logits)
    found = [dataclasses.asdict(calibration.quality(seed, labels)) for seed in logs]
    pooled = calibration.reliability(np.exp(logs).reshape(-1, logs.shape[-1]), np.tile(labels, len(logs)))
    record: dict[str, Any] = {
        "name": run.name,
        "path": str(run.path),
        "trained_on": run.config.dataset,
        "parameters": run.results[0].parameters,
        "seeds": [{"seed": seed, **scores} for seed, scores in zip(run.seeds, found, strict=True)],
        "mean": {name: dataclasses.asdict(estimate([scores[name] for scores in found])) for name in found[0]},
        "reliability": {"single models": _plain(pooled)},
    }
    if spec.name == run.config.dataset:
        ends = [vars(end) for end in run.results]
        record["recorded"] = {name: fmean(end[f"test_{name}"] for end in ends) for name in ("loss", "accuracy")}
    if len(logs) > 1:
        record["ensembles"] = _plain(ensembles.by_size(logs, labels))
        whole = calibration.reliability(np.exp(ensembles.averaged(logs)), labels)
        record["reliability"][f"ensemble of {len(logs)}"] = _plain(whole)
    return record


def _plain(records: Sequence[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]


def _corrupted(
    names: Sequence[str], asked: Sequence[_Run], models: Mapping[str, Infer], test: Split, console: Console
) -> dict[str, Any]:
    """The accuracy of every seed of every run on corrupted test images."""
    accuracies = robustness.accuracies(models, test, names, seed=CORRUPTION_SEED, note=console.note)
    return {
        "seed": CORRUPTION_SEED,
        "kinds": {name: _kind(name) for name in names},
        "runs": [{"name": run.name, "seeds": list(run.seeds), **_table(accuracies[run.name])} for run in asked],
    }


def _kind(name: str) -> dict[str, Any]:
    corruption = corrupting.CORRUPTIONS[name]
    return {"meaning": corruption.meaning, "unit": corruption.unit, "amounts": list(corruption.amounts)}


def _table(accuracies: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "accuracy": {name: table.tolist() for name, table in accuracies.items()},
        "mean": {name: _plain([estimate(strength) for strength in table]) for name, table in accuracies.items()},
    }


def _print(console: Console, record: Mapping[str, Any]) -> None:
    for run in record["runs"]:
        if len(record["runs"]) > 1:
            console.line(f"{run['name']}: {run['path']}")
        mean = run["mean"]
        if len(run["seeds"]) == 1:
            console.score(record["dataset"], mean["loss"]["mean"], mean["accuracy"]["mean"], record["test_examples"])
        else:
            _print_table(console, report.seeds(record, run))
            _print_table(console, report.ensembles(record, run))
        for line in report.remarks(record, run):
            console.line(line)
    if "corruptions" in record:
        _print_table(console, report.strengths(record))
        _print_table(console, report.corruptions(record))


def _print_table(console: Console, table: Table) -> None:
    console.table(table.title, list(table.headings), [list(row) for row in table.rows])


def _write(folder: Path, record: Mapping[str, Any], images: np.ndarray) -> None:
    """images: uint8 [N, H, W, C], to be shown corrupted."""
    scores = {name: part for name, part in record.items() if name != "corruptions"}
    files = {"evaluation.json": json.dumps(scores, indent=1, allow_nan=False)}
    samples = {}
    if "corruptions" in record:
        shared = {name: record[name] for name in ("format", "dataset", "test_examples", "machine")}
        files["corruptions.json"] = json.dumps(shared | record["corruptions"], indent=1, allow_nan=False)
        samples = {name: robustness.samples(images, name, CORRUPTION_SEED) for name in record["corruptions"]["kinds"]}
    files["evaluation.html"] = report.page(record, samples)
    directory.write_files(folder, {name: text + "\n" for name, text in files.items()})
