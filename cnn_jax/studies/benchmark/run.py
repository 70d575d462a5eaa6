"""Measure how fast a config trains and infers on this machine, compared with the device's peaks and a baseline."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import run_name
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.experiment import Experiment
from cnn_jax.files import numbered, require_free, write_files
from cnn_jax.report.console import Console
from cnn_jax.runs import machine
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.seeds import seed_range
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.benchmark import (
    cases,
    comparison,
    conditions,
    layers,
    page,
    record,
    reference,
    roofline,
    rows,
    target,
)
from cnn_jax.studies.benchmark.cases import DTYPES, BenchmarkModel, Measurement
from cnn_jax.studies.benchmark.profile import most_expensive
from cnn_jax.studies.benchmark.record import FILE, MOST_ROUNDS, Record
from cnn_jax.studies.benchmark.timing import Reference, TimeBudget

PROFILED_STEPS = 10
ROOFLINE_SECONDS = 1.0  # time for each layer, and for each of the device's peaks


def run(
    experiment: Experiment,
    options: RunOptions,
    *,
    batch_sizes: Sequence[int] = (64, 256, 1024),
    dtypes: Sequence[str] | None = None,
    repeats: int = 11,
    seconds: float = 20.0,
    baseline: Path | None = None,
    tolerance: float = 0.1,
    profile: bool = False,
    target_accuracy: float | None = None,
) -> dict[str, Any]:
    """Measures, prints, and writes `benchmark.json`, `.html`, `.md` and `.csv`; returns the record.

    dtypes: names in `cases.DTYPES`; None means all that the platform has. Rooflines and profile use the first batch
    size. target_accuracy: also measure the time to this share of the test images, with the real images, for
    `options.seeds` seeds; None means not to. Raises InputError before anything is measured, and ProjectError at the end
    if a case is slower than the tolerance allows.
    """
    # A cache would hide the compile time.
    compilation.start(persistent_cache=False, deterministic=options.deterministic)
    console, model, budget = Console(), cases.build_model(experiment), TimeBudget(repeats=repeats, seconds=seconds)
    dtypes = list(dict.fromkeys(dtypes or cases.available_dtypes()))
    _check(model, batch_sizes, dtypes, budget)
    comparison.require_tolerance(tolerance)
    seeds = _seeds(experiment, options, target_accuracy)
    earlier = _baseline(baseline, model, batch_sizes, dtypes) if baseline else None
    folder = options.workdir or numbered(RUNS, f"benchmark-{run_name(experiment.config, options.changed)}")
    require_free(folder, FILE, overwrite=options.overwrite)
    dataset = load_dataset(experiment, options, console) if target_accuracy is not None else None

    variants = [model.variant(dtype, batch_sizes[0]) for dtype in dtypes]
    pace = reference.prepare()
    content = _measured(model, batch_sizes, dtypes, budget, pace, options, console)
    content["rooflines"] = [_roofline(variant, content["measurements"], budget, console) for variant in variants]
    if dataset and target_accuracy is not None:
        content["target"] = target.measure(experiment, dataset, target_accuracy, seeds, pace, console)
    if profile:
        content["profile"] = _profile(variants[0], folder, console)
    if earlier:
        content["comparison"] = comparison.compare(earlier, record.of(content), tolerance)

    content = record.sealed(content)
    _write(content, folder)
    console.report(page.tables(content), page.sentences(content))
    console.line(f"{folder / FILE}, {folder / 'benchmark.html'}, benchmark.md and benchmark.csv written")
    if earlier:
        comparison.require_not_slower(content["comparison"])
    return content


def _check(model: BenchmarkModel, batch_sizes: Sequence[int], dtypes: Sequence[str], budget: TimeBudget) -> None:
    """Raises InputError for a flag whose value cannot be used."""
    available, examples = cases.available_dtypes(), len(model.train)
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise unknown_name("--dtypes", dtype, "dtype", DTYPES)
        if dtype not in available:
            raise InputError(f"--dtypes={dtype}: only NVIDIA's GPUs have it. Here: {', '.join(available)}.")
    for batch_size in batch_sizes:
        if not 1 <= batch_size <= examples:
            raise InputError(f"--batch_sizes={batch_size}: must be between 1 and the {examples:,} training images.")
    if not 1 <= budget.repeats <= MOST_ROUNDS:
        raise InputError(f"--repeats={budget.repeats}: must be at least 1 and at most {MOST_ROUNDS:,}.")
    if not budget.seconds > 0:
        raise InputError(f"--seconds={budget.seconds:g}: must be above 0.")


def _seeds(experiment: Experiment, options: RunOptions, target_accuracy: float | None) -> Sequence[int]:
    """The seeds of the time to an accuracy. Raises InputError where they or the accuracy cannot be used."""
    if target_accuracy is None:
        if options.seeds is not None:
            raise InputError(f"--seeds={options.seeds}: has no meaning here without --target_accuracy, as in 0.99.")
        return ()
    if not 0 < target_accuracy <= 1:
        raise InputError(f"--target_accuracy={target_accuracy:g}: must be above 0 and at most 1, as in 0.99 for 99 %.")
    chosen = options if options.seeds is not None else dataclasses.replace(options, seeds=target.DEFAULT_SEEDS)
    return seed_range(experiment.config, chosen)


def _baseline(path: Path, model: BenchmarkModel, batch_sizes: Sequence[int], dtypes: Sequence[str]) -> Record:
    """The baseline. Raises InputError where it is of another experiment, or has none of these cases."""
    earlier = record.read(path, "baseline")
    wanted = {(what, dtype, size) for what, _, _ in earlier.cases for dtype in dtypes for size in batch_sizes}
    comparison.require_comparable(earlier, model.config, wanted, model.experiment, "baseline")
    return earlier


def _measured(
    model: BenchmarkModel,
    batch_sizes: Sequence[int],
    dtypes: Sequence[str],
    budget: TimeBudget,
    pace: Reference,
    options: RunOptions,
    console: Console,
) -> dict[str, Any]:
    """Measures every case in rounds. Small batches are prepared first, because the peak memory can only grow."""
    prepared = []
    for batch_size in sorted(set(batch_sizes)):
        for dtype in dict.fromkeys(dtypes):
            console.note(f"compiling batch size {batch_size}, {dtype}")
            prepared += cases.prepare(model.variant(dtype, batch_size))
    console.note(f"measuring {len(prepared)} cases in {budget.repeats} rounds")
    before, used_before = conditions.read(), conditions.cpu_time()
    timed = budget.time([case.call for case in prepared], pace)
    used = conditions.used_by_others(used_before, conditions.cpu_time())
    state = {"before": before, "after": conditions.read(), "used_by_others": used}
    found = [cases.measurement(case, rounds) for case, rounds in zip(prepared, timed, strict=True)]
    return record.create(model, budget, machine.describe(list(options.command_line)), state, found)


def _roofline(
    model: BenchmarkModel, measurements: Sequence[Measurement], budget: TimeBudget, console: Console
) -> dict[str, Any]:
    """Measures the layers of the training step and this device's peaks."""
    config, seconds = model.config, min(budget.seconds, ROOFLINE_SECONDS)
    console.note(f"measuring the device's peaks and the layers, {model.dtype}")
    case = {"what": "training step", "dtype": model.dtype, "batch_size": config.batch_size}
    step = next(measurement for measurement in measurements if case.items() <= measurement.items())
    works = layers.measure(model.layers, config.batch_size, config.dtype, config.matmul_precision, seconds=seconds)
    peaks = roofline.measure_peaks(config.dtype, config.matmul_precision, seconds=seconds)
    return record.roofline(model, peaks, works, step)


def _profile(model: BenchmarkModel, folder: Path, console: Console) -> dict[str, Any]:
    """Writes a trace of some training steps into the folder, and finds the operations that take the most time."""
    console.note(f"tracing training steps, {model.dtype}")
    training = cases.compile_training_of(model)
    run_steps, count = cases.steps_of(training), min(PROFILED_STEPS, training.epoch_steps)
    jax.block_until_ready(run_steps(count))  # otherwise the end of these steps would be in the trace
    operations = most_expensive(lambda: run_steps(count), folder / "profile", training.hlo_text())
    return {"steps": count, "operations": operations}


def _write(content: dict[str, Any], folder: Path) -> None:
    files = {
        FILE: json.dumps(content, indent=1, allow_nan=False),
        "benchmark.html": page.page(content),
        "benchmark.md": rows.as_markdown(content),
        "benchmark.csv": rows.as_csv(content).rstrip(),
    }
    if "profile" in content:
        files["profile.txt"] = page.profile_text(content)
    write_files(folder, {name: text + "\n" for name, text in files.items()})
