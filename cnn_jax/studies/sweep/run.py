"""Try many settings on held-out images, train the best one again on all training images, and score it on test."""

import dataclasses
import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation, data
from cnn_jax import config as configs
from cnn_jax.config import FIELDS, Config, run_name
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import machine, many
from cnn_jax.runs.execute import Place
from cnn_jax.runs.seeds_result import SeedsResult
from cnn_jax.studies.sweep import numbers as analysis
from cnn_jax.studies.sweep import page as report
from cnn_jax.studies.sweep import space
from cnn_jax.studies.sweep import trials as trying
from cnn_jax.studies.sweep.directory import Row, SweepDirectory
from cnn_jax.studies.sweep.space import Factor
from cnn_jax.studies.sweep.trials import Task, Trial
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

RUNS = Path("runs")
FORMAT = 1
SEEDS = 3
HELD_OUT = 6  # a sixth of the training images, where nobody says how many: 10,000 of MNIST's 60,000
_MOST_PRINTED = 20


def run(
    config: Config,
    *,
    changed: Collection[str] = (),
    sweep: str | None = None,
    samples: int | None = None,
    seeds: int = SEEDS,
    jobs: int = 1,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
    compilation_cache: bool = True,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Sweeps over the settings that `sweep` names, as `space.factors` reads it; prints, writes, returns the record.

    samples: try so many, drawn at random; None: all combinations. jobs: so many processes. The same command goes on
    where it ended, and more settings, samples or seeds may be added. Raises InputError before anything is written,
    Interrupted after what is finished is stored, DivergedError at the end where no setting could win, or the winner
    diverged with other seeds.
    """
    console = Console(progress=progress)
    factors = space.factors(sweep or "")
    settings = space.grid(factors) if samples is None else space.drawn(factors, samples, config.seed)
    base = dataclasses.replace(config, validation_examples=_held_out(config))
    trials = _trials(base, settings, seeds)
    compilation.start(persistent_cache=compilation_cache)
    _require_jobs(jobs)
    directory = SweepDirectory(workdir or RUNS / f"sweep-{run_name(config, changed)}")
    if not overwrite:
        directory.kept(base)
    dataset = _load(trials, data_dir, manual_dir, console)
    place = Place(workdir=directory.path, data_dir=data_dir, manual_dir=manual_dir, command_line=command_line)
    with directory.locked():
        known = machine.describe(list(command_line)) | {"data_fingerprint": dataset.fingerprint}
        directory.begin(base, known, overwrite=overwrite)
        rows = _rows(base, trials, dataset, place, jobs, console)
        asked = {"sweep": sweep, "samples": samples, "seeds": [*range(config.seed, config.seed + seeds)]}
        record = _record(base, factors, rows, asked, known)
        test = _test(base, record, seeds, place, console)
        record = _with_test(record, test)
        directory.write(record, report.page(record))
    _print(console, record, directory)
    _require_converged(record, rows)
    return record


def _held_out(config: Config) -> int:
    return config.validation_examples or data.spec(config.dataset).train_examples // HELD_OUT


def _trials(base: Config, settings: Sequence[space.Setting], seeds: int) -> list[Trial]:
    """All trials. Raises InputError on more than can be, and on seeds that there are not."""
    largest = FIELDS["seed"].metadata["at_most"]
    if not 1 <= seeds <= many.MOST_SEEDS:
        raise InputError(f"--seeds={seeds}: must be between 1 and {many.MOST_SEEDS:,}.")
    if base.seed + 2 * seeds - 1 > largest:
        raise InputError(
            f"--seeds={seeds}: from --seed={base.seed} on, with as many for the winner, they go beyond the largest, "
            f"{largest:,}."
        )
    count = len(settings) * seeds
    if count > space.MOST_TRIALS:
        raise InputError(
            f"--sweep: {count:,} trials, of {len(settings):,} settings with {seeds:,} seeds each. At most "
            f"{space.MOST_TRIALS:,} can be made."
        )
    return trying.trials(base, settings, seeds)


def _require_jobs(jobs: int) -> None:
    if jobs < 1:
        raise InputError(f"--jobs={jobs}: must be at least 1.")
    if jobs > 1 and jax.default_backend() != "cpu":
        device = jax.default_backend()
        raise InputError(f"--jobs={jobs}: only on a CPU: several processes on one {device} would each want its memory.")


def _load(trials: Sequence[Trial], data_dir: Path | None, manual_dir: Path | None, console: Console) -> Dataset:
    """The dataset. Raises InputError where a trial could not be run on it, or no such model be built."""
    different = {trying.program_of(trial.config): trial.config for trial in trials}
    first = trials[0].config
    for config in different.values():
        programs.state_shapes(config, data.spec(config.dataset), meshes.over_all_devices())
    dataset = data.load(
        first.dataset, data_dir=data_dir, manual_dir=manual_dir, glyph_seed=first.glyph_seed, warn=console.note
    )
    for config in different.values():
        split_training_images(dataset, config.train_examples, config.validation_examples)
    return dataset


def _rows(
    base: Config, trials: Sequence[Trial], dataset: Dataset, place: Place, jobs: int, console: Console
) -> list[Row]:
    """A row of each trial, in their order; those that are not there yet are run."""
    directory = SweepDirectory(place.workdir)
    kept = directory.kept(base)
    left = [trial for trial in trials if trial.config not in kept]
    console.line(
        f"{len(trials):,} trials of {base.experiment} on {base.dataset}, {base.validation_examples:,} training images "
        f"held out, {machine.device()}, {place.workdir}"
    )
    if len(left) < len(trials):
        console.line(f"{len(trials) - len(left):,} of them are there already")
    if left:
        task = Task(left, len(trials), directory, place.data_dir, place.manual_dir, compilation.settings())
        trying.run(task, dataset, jobs, console)
        kept = directory.kept(base)
    return [kept[trial.config] for trial in trials]


def _record(
    base: Config, factors: Sequence[Factor], rows: Sequence[Row], asked: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """What the trials say; the winner has not been tested yet."""
    settings = analysis.ranked(rows)
    best = analysis.winner(settings)
    names = [factor.field for factor in factors]
    ends = [name for name in names if best and analysis.is_at_the_end(settings, name)]
    search = {
        **asked,
        "settings": len(settings),
        "trials": len(rows),
        "diverged": sum(row["status"] == "diverged" for row in rows),
        "validation_examples": base.validation_examples,
    }
    return {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": base.dataset,
        "base": json.loads(base.to_json()),
        "machine": {name: value for name, value in known.items() if name != "command_line"},  # it may name folders
        "search": search,
        "fields": [_field(factor, settings) for factor in factors],
        "settings": settings,
        "winner": best and best | {"at_the_end": ends, "folder": None, "test": None},
    }


def _field(factor: Factor, settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A swept field, and how accuracy responds to it."""
    return {
        "name": factor.field,
        "is_numeric": configs.kind_of(FIELDS[factor.field])[0] in (int, float)
        and all(found["settings"][factor.field] is not None for found in settings),
        "is_logarithmic": factor.is_logarithmic,
        "lines": analysis.response(settings, factor.field),
    }


def _test(
    base: Config, record: Mapping[str, Any], seeds: int, place: Place, console: Console
) -> tuple[str, SeedsResult] | None:
    """The winner trained again on all training images, with seeds that no trial had, and scored on test; and where."""
    best = record["winner"]
    if best is None:
        return None
    config = dataclasses.replace(base, **best["settings"], validation_examples=0, seed=base.seed + seeds)
    folder = SweepDirectory(place.workdir).winner(config)
    console.line(f"the winner again: {report.words(best['settings'])}")
    return folder.name, many.execute(config, seeds, dataclasses.replace(place, workdir=folder), "auto", console)


def _with_test(record: Mapping[str, Any], test: tuple[str, SeedsResult] | None) -> dict[str, Any]:
    """The record as a reader will find it."""
    tested = dict(record)
    if test:
        tested["winner"] = record["winner"] | {"folder": test[0], "test": dataclasses.asdict(test[1])}
    return json.loads(json.dumps(tested, allow_nan=False))


def _print(console: Console, record: Mapping[str, Any], directory: SweepDirectory) -> None:
    table = report.settings(record, _MOST_PRINTED)
    console.table(table.title, list(table.headings), [list(row) for row in table.rows])
    for sentence in report.sentences(record):
        console.line(sentence)
    console.line(f"{directory.path}: sweep.jsonl, sweep.json and sweep.html written")


def _require_converged(record: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Raises DivergedError where nothing could be scored, or not with each seed."""
    best = record["winner"]
    if best is None:
        first = min(row["steps"] for row in rows if row["status"] == "diverged")
        raise DivergedError("Every setting has diverged with some seed. Try smaller learning rates.", first)
    bad = [seed for seed in best["test"]["seeds"] if seed["status"] == "diverged"]
    if bad:
        names = ", ".join(str(seed["seed"]) for seed in bad)
        raise DivergedError(f"The winner has diverged with seed {names}.", bad[0]["steps"])
