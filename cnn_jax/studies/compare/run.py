"""Compare models seed by seed, by runs that are finished or made now: is one better, and by more than chance?"""

import csv
import dataclasses
import datetime
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation, data, models
from cnn_jax.config import Config, run_name
from cnn_jax.errors import InputError, OutOfReachError
from cnn_jax.models import summary
from cnn_jax.report.console import Console
from cnn_jax.runs import directory, experiments
from cnn_jax.runs import seeds as seed_folders
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import Place
from cnn_jax.studies.compare import numbers as comparison
from cnn_jax.studies.compare import page as report
from cnn_jax.studies.compare.numbers import NUMBERS, Variant
from cnn_jax.training import programs

RUNS = Path("runs")
FORMAT = 1
SEEDS = 10  # of each experiment, where nobody says how many
_BEYOND_MEASURE = 1e15
_MACHINE = (
    "device",
    "cores",
    "system",
    "python",
    "versions",
    "xla_flags",
    "git_commit",
)  # no command line: it may name folders

Seeds = Mapping[int, RunDirectory]


def run(
    configs: Sequence[Config] = (),
    *,
    changed: Collection[str] = (),
    runs: Sequence[Path] = (),
    seeds: int | None = None,
    seed_strategy: str | None = None,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Compares runs in folders, or configs, which are trained first; prints, writes and returns the record.

    configs: train these, or go on with them, as `--mode=train --seeds` does and in its folders; finished seeds are
    kept. runs: folders of a run each, or of a run for each seed. seeds: of each config; None: 10. changed: fields that
    the command line set. overwrite: a comparison, never a run. Raises InputError, and writes nothing, where nothing can
    be compared.
    """
    if workdir:
        directory.require_free(workdir, "compare.json", overwrite=overwrite)
    if configs:
        compilation.start(persistent_cache=compilation_cache)
        _require_experiments(configs, runs)
        place = Place(workdir=RUNS, data_dir=data_dir, manual_dir=manual_dir, command_line=command_line)
        number, console = SEEDS if seeds is None else seeds, Console(progress=progress)
        found = _trained(configs, changed, number, place, seed_strategy or "auto", console)
    else:
        of_training = {"seeds": seeds, "seed_strategy": seed_strategy}
        _require_folders(runs, [*changed, *(name for name, value in of_training.items() if value is not None)])
        compilation.start(persistent_cache=False)
        found = [seed_folders.finished(folder) for folder in runs]
    return compare(found, workdir=workdir, data_dir=data_dir, manual_dir=manual_dir, overwrite=overwrite)


def _require_experiments(configs: Sequence[Config], runs: Sequence[Path]) -> None:
    """Raises InputError where a comparison of experiments is asked for that cannot be made."""
    if runs:
        raise InputError("--mode=compare: name experiments to train, or finished runs, not both.")
    if len(configs) < 2:
        raise InputError("--mode=compare: name two experiments or more with --experiments=NAME,NAME.")
    experiments.require_comparable(configs)


def _trained(
    configs: Sequence[Config], changed: Collection[str], seeds: int, place: Place, strategy: str, console: Console
) -> list[dict[int, RunDirectory]]:
    """The configs' runs, each in the folder that `--mode=train --seeds` has for them. place: of all folders."""
    folders = [place.workdir / run_name(config, changed, many_seeds=True) for config in configs]
    return [
        experiments.trained(config, seeds, dataclasses.replace(place, workdir=folder), strategy, console)
        for config, folder in zip(configs, folders, strict=True)
    ]


def compare(
    runs: Sequence[Seeds],
    *,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Compares models by their finished runs, a mapping of seeds each; prints, writes, and returns the record."""
    console, configs = Console(), [next(iter(found.values())).config() for found in runs]
    _require_same_data(runs, configs)
    _require_common_seeds(runs)
    folder = workdir or directory.numbered(RUNS, _name(configs))
    directory.require_free(folder, "compare.json", overwrite=overwrite)

    _, labels = next(iter(runs[0].values())).predictions()
    variants = [_variant(*named, labels) for named in zip(comparison.names(configs), configs, runs, strict=True)]
    found = {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": configs[0].dataset,
        "classes": data.spec(configs[0].dataset).classes,
        **_machines(runs),
        **comparison.compare(variants, labels),
    }
    content = json.loads(json.dumps(found, allow_nan=False))  # what is shown and returned is what a reader will find
    images = _images(content, runs, configs[0], data_dir, manual_dir, console)
    _write(folder, content, report.page(content, images))
    _print(console, content)
    console.line(f"{folder}: compare.json, compare.csv and compare.html written")
    return content


def _require_folders(folders: Sequence[Path], given: Sequence[str]) -> None:
    """Raises InputError on fewer than two folders, the same one twice, or with settings that only training has."""
    if len(folders) < 2:
        raise InputError("--mode=compare: name two runs or more, --runs=DIR,DIR, or --experiments=NAME,NAME to train.")
    if given:
        raise InputError(f"--{given[0]}: has no meaning with --runs, only with --experiments.")
    resolved = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, resolved, strict=True):
        if resolved.count(place) > 1:
            raise InputError(f"--runs: {folder} is named twice. A run cannot be compared with itself.")


def _require_same_data(runs: Sequence[Seeds], configs: Sequence[Config]) -> None:
    """Raises InputError where the runs are not of one dataset, to the byte, or of models of several outputs."""
    first = next(iter(runs[0].values()))
    for found, config in zip(runs, configs, strict=True):
        if config.dataset != configs[0].dataset:
            raise InputError(
                f"{next(iter(found.values())).path}: of {config.dataset}, but {first.path} of {configs[0].dataset}. "
                "Only runs of one dataset can be compared."
            )
        for run in found.values():
            _require_data_of(first, run)


def _require_data_of(first: RunDirectory, run: RunDirectory) -> None:
    mine, theirs = (one.machine().get("data_fingerprint") for one in (run, first))
    if run.finished_result().outputs:
        raise InputError(f"{run.path}: of a model of several outputs. Only models of one can be compared.")
    if not isinstance(mine, str):
        raise InputError(f"{run.path}: its machine.json does not say on which data it ran.")
    if mine != theirs:
        raise InputError(
            f"{run.path}: ran on other data than {first.path} (their fingerprints in machine.json differ)."
        )


def _require_common_seeds(runs: Sequence[Seeds]) -> None:
    """Raises InputError where no two have a seed in common, or one has none with any other."""
    for index, found in enumerate(runs):
        others = [other for place, other in enumerate(runs) if place != index]
        if not any(comparison.common_seeds(list(found), list(other)) for other in others):
            path, mine = next(iter(found.values())).path, ", ".join(map(str, found))
            theirs = ", ".join(map(str, sorted({seed for other in others for seed in other})))
            raise InputError(f"{path}: no seed in common with another run ({mine} here, {theirs} there).")


def _name(configs: Sequence[Config]) -> str:
    names = "-".join(dict.fromkeys(config.experiment for config in configs))
    return f"compare-{names}" if len(names) <= 100 else f"compare-{len(configs)}-models"


def _variant(name: str, config: Config, runs: Seeds, labels: np.ndarray) -> Variant:
    """A model's runs, read. Raises InputError where their files are damaged or contradict each other."""
    spec = data.spec(config.dataset)
    layers = summary.layers(models.build(config, len(spec.classes)), programs.input_shapes(config, spec))
    results = [run.finished_result() for run in runs.values()]
    numbers = {number: np.array([getattr(result, number) for result in results], float) for number in NUMBERS}
    for number, values in numbers.items():
        _require_plausible(number, values, runs)
    return Variant(
        name=name,
        config=config,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        seeds=tuple(runs),
        numbers=numbers,
        predicted=np.stack([_predicted(run, len(spec.classes), labels) for run in runs.values()]),
        rows=[run.rows() for run in runs.values()],
    )


def _require_plausible(number: str, values: np.ndarray, runs: Seeds) -> None:
    """Raises InputError on what no run comes to, and no statistics either: times of nothing, numbers beyond measure."""
    for run, value in zip(runs.values(), values, strict=True):
        if not (value > 0 or number.startswith("test_")) or not abs(value) < _BEYOND_MEASURE:
            raise InputError(f"{run.path}: result.json: {number} cannot be {value:g}.")


def _predicted(run: RunDirectory, classes: int, labels: np.ndarray) -> np.ndarray:
    """The classes that a run predicted for the test images, int [N]."""
    logits, theirs = run.predictions()
    if logits.shape[1] != classes or not np.all((theirs >= 0) & (theirs < classes)):
        raise InputError(f"{run.path}: its predictions are not of the dataset's {classes} classes.")
    if not np.array_equal(theirs, labels):
        raise InputError(f"{run.path}: was scored on other test images than the first run.")
    predicted = np.argmax(logits, axis=1)
    if not math.isclose(np.mean(predicted == labels), run.finished_result().test_accuracy or 0.0, abs_tol=1e-6):
        raise InputError(f"{run.path}: predictions.npz and result.json contradict each other.")
    return predicted


def _machines(runs: Sequence[Seeds]) -> dict[str, Any]:
    """On what the runs ran: each machine once, and in what they differ."""
    machines = [_machine(run) for found in runs for run in found.values()]
    different = [m for i, m in enumerate(machines) if m not in machines[:i]]
    names = [name for name in _MACHINE if any(m[name] != machines[0][name] for m in different)]
    return {"machines": [m | {"runs": machines.count(m)} for m in different], "machines_differ_in": names}


def _machine(run: RunDirectory) -> dict[str, Any]:
    content = run.machine()
    versions = content.get("versions")
    shown = {name: "none" if content.get(name) is None else str(content[name]) for name in _MACHINE}
    return shown | {"versions": {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}}


def _images(
    content: Mapping[str, Any],
    runs: Sequence[Seeds],
    config: Config,
    data_dir: Path | None,
    manual_dir: Path | None,
    console: Console,
) -> dict[int, np.ndarray] | None:
    """The test images that the page shows, uint8 [H, W, C]; None where they are not at hand."""
    try:
        dataset = data.load(
            config.dataset,
            data_dir=data_dir,
            manual_dir=manual_dir,
            glyph_seed=config.glyph_seed,
            warn=console.note,
        )
    except OutOfReachError as error:
        console.note(f"The page is without pictures. {error}")
        return None
    if dataset.fingerprint != next(iter(runs[0].values())).machine()["data_fingerprint"]:
        console.note(f"The page is without pictures: {config.dataset} here is not what the runs ran on.")
        return None
    return {index: dataset.test.images[index] for index in report.images_shown(content)}


def _write(folder: Path, content: Mapping[str, Any], page: str) -> None:
    files = {
        "compare.html": page,
        "compare.csv": _as_csv(content),
        "compare.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
    }
    directory.write_files(folder, files)


def _as_csv(content: Mapping[str, Any]) -> str:
    """A line for each run: what one needs to compute everything again."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["model", "parameters", "multiply_adds", "seed", *NUMBERS])
    for model in content["models"]:
        for values in zip(model["seeds"], *(model[number]["values"] for number in NUMBERS), strict=True):
            lines.writerow([model["name"], model["parameters"], model["multiply_adds"], *values])
    return stream.getvalue()


def _print(console: Console, content: Mapping[str, Any]) -> None:
    for table in (
        report.scores(content),
        report.costs(content),
        report.pairs(content),
        report.other_differences(content),
    ):
        console.table(table.title, list(table.headings), [list(row) for row in table.rows])
    for sentence in report.sentences(content):
        console.line(sentence)
    console.line(report.times_line(content))
