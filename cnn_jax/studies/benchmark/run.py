"""Measure how fast a config trains and infers on this machine, compared with the device's peaks and a baseline."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import run_name
from cnn_jax.errors import InputError, ProjectError, unknown_name
from cnn_jax.experiment import Experiment
from cnn_jax.files import numbered, require_free, write_files
from cnn_jax.report.console import Console
from cnn_jax.report.format import percent
from cnn_jax.runs import machine
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.studies.benchmark import cases, layers, page, record, roofline
from cnn_jax.studies.benchmark.cases import DTYPES, BenchmarkModel, Measurement
from cnn_jax.studies.benchmark.profile import most_expensive
from cnn_jax.studies.benchmark.timing import TimeBudget

PROFILED_STEPS = 10
ROOFLINE_SECONDS = 1.0  # time for each layer, and for each of the device's peaks


def run(
    experiment: Experiment,
    options: RunOptions,
    *,
    batch_sizes: Sequence[int] = (64, 256, 1024),
    dtypes: Sequence[str] | None = None,
    repeats: int = 7,
    seconds: float = 20.0,
    baseline: Path | None = None,
    tolerance: float = 0.1,
    profile: bool = False,
) -> dict[str, Any]:
    """Measures, prints, and writes `benchmark.json` and `benchmark.html`; returns the record.

    dtypes: names in `cases.DTYPES`; None means all that the platform has. Rooflines and profile use the first batch
    size. Raises InputError before anything is measured, and ProjectError at the end if a case is slower than the
    tolerance allows.
    """
    # A cache would hide the compile time.
    compilation.start(persistent_cache=False, deterministic=options.deterministic)
    console, model, budget = Console(), cases.build_model(experiment), TimeBudget(repeats=repeats, seconds=seconds)
    dtypes = dtypes or cases.available_dtypes()
    _check(model, batch_sizes, dtypes, budget, tolerance)
    earlier = record.read(baseline) if baseline else None
    if earlier:
        record.require_comparable(earlier, experiment, batch_sizes, dtypes)
    folder = options.workdir or numbered(RUNS, f"benchmark-{run_name(experiment.config, options.changed)}")
    require_free(folder, "benchmark.json", overwrite=options.overwrite)

    measurements = list(_measure(model, batch_sizes, dtypes, budget, console))
    content = record.create(model, budget, machine.describe(list(options.command_line)), measurements)
    variants = [model.variant(dtype, batch_sizes[0]) for dtype in dtypes]
    content["rooflines"] = [_roofline(variant, measurements, budget, console) for variant in variants]
    if earlier:
        content["comparison"] = record.comparison(measurements, earlier, tolerance)
    if profile:
        content["profile"] = _profile(variants[0], folder, console)

    _write(content, folder)
    _print(content, folder, console)
    _require_not_slower(content)
    return content


def _check(
    model: BenchmarkModel, batch_sizes: Sequence[int], dtypes: Sequence[str], budget: TimeBudget, tolerance: float
) -> None:
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
    if not budget.repeats >= 1:
        raise InputError(f"--repeats={budget.repeats}: must be at least 1.")
    if not budget.seconds > 0:
        raise InputError(f"--seconds={budget.seconds:g}: must be above 0.")
    if not 0 <= tolerance < 1:
        raise InputError(f"--tolerance={tolerance:g}: must be at least 0 and below 1, as in 0.1 for 10 %.")


def _measure(
    model: BenchmarkModel, batch_sizes: Sequence[int], dtypes: Sequence[str], budget: TimeBudget, console: Console
) -> Iterator[Measurement]:
    """Measures every case. Small batches come first, because the peak memory can only grow."""
    for batch_size in sorted(set(batch_sizes)):
        for dtype in dict.fromkeys(dtypes):
            console.note(f"measuring batch size {batch_size}, {dtype}")
            yield from cases.measure(model.variant(dtype, batch_size), budget)


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
    files = {"benchmark.html": page.page(content), "benchmark.json": json.dumps(content, indent=1, allow_nan=False)}
    if "profile" in content:
        files["profile.txt"] = page.as_text(page.profile_table(content))
    write_files(folder, {name: text + "\n" for name, text in files.items()})


def _print(content: dict[str, Any], folder: Path, console: Console) -> None:
    for table in page.tables(content):
        console.table(table)
    for part in content["rooflines"]:
        console.line(page.roofline_words(part))
    console.line(f"{folder / 'benchmark.json'} and {folder / 'benchmark.html'} written")


def _require_not_slower(content: dict[str, Any]) -> None:
    comparison = content.get("comparison", {"rows": []})
    if slower := sum(row["slower"] for row in comparison["rows"]):
        raise ProjectError(
            f"{slower} of {len(comparison['rows'])} cases are more than {percent(comparison['tolerance'], 0)} slower "
            "than the baseline."
        )
