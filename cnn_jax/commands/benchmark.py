"""Measure how fast a config trains and infers here, how fast it could, and against an earlier benchmark."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.benchmark import cases, layers, record, roofs
from cnn_jax.benchmark import profile as profiles
from cnn_jax.benchmark.cases import DTYPES, Effort, Measurement, Subject
from cnn_jax.benchmark.record import Baseline
from cnn_jax.config import Config, run_name
from cnn_jax.errors import InputError, MachineError, ProjectError, unknown_name
from cnn_jax.execution import directory, machine
from cnn_jax.reporting import benchmark as report
from cnn_jax.reporting.console import Console
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

RUNS = Path("runs")
PROFILED_STEPS = 10
ROOFLINE_SECONDS = 1.0  # what a layer or a roof is measured for


class SlowerThanBaseline(ProjectError):
    """Some case is slower than the tolerance allows."""


def run(
    config: Config,
    *,
    batch_sizes: Sequence[int] = (64, 256, 1024),
    dtypes: Sequence[str] | None = None,
    repeats: int = 7,
    seconds: float = 20.0,
    baseline: Path | None = None,
    tolerance: float = 0.1,
    profile: bool = False,
    deterministic: bool = False,
    changed: Collection[str] = (),
    workdir: Path | None = None,
    overwrite: bool = False,
    command_line: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Measures, prints, and writes `benchmark.json` and `benchmark.html`; returns the record.

    dtypes: names in `cases.DTYPES`; None: all that the platform has. Roofline and profile are of the first batch size.
    Raises InputError before anything is measured where that can be told, and SlowerThanBaseline at the end.
    """
    compilation.start(persistent_cache=False, deterministic=deterministic)  # out of a cache, compiling takes no time
    subject, console, effort = cases.subject(config), Console(), Effort(repeats=repeats, seconds=seconds)
    dtypes = _checked_dtypes(dtypes or cases.dtypes_of_platform())
    _check_numbers(batch_sizes, len(subject.train), effort, tolerance)
    then = _read(baseline, config, batch_sizes, dtypes)
    folder = workdir or directory.numbered(RUNS, f"benchmark-{run_name(config, changed)}")
    directory.require_free(folder, "benchmark.json", overwrite=overwrite)

    measured = list(_measure(subject, batch_sizes, dtypes, effort, console))
    content = record.begun(subject, effort, machine.describe(list(command_line)), measured)
    content["rooflines"] = [_roofline(subject.at(dtype, batch_sizes[0]), measured, effort, console) for dtype in dtypes]
    if then:
        content["comparison"] = record.compared(measured, then, tolerance)
    if profile:
        content["profile"] = _profile(subject.at(dtypes[0], batch_sizes[0]), folder, console)
    _write(folder, content)
    _print(console, content)
    console.line(f"{folder / 'benchmark.json'} and {folder / 'benchmark.html'} written")
    _require_not_slower(content)
    return content


def _checked_dtypes(dtypes: Sequence[str]) -> Sequence[str]:
    here = cases.dtypes_of_platform()
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise unknown_name("--dtypes", dtype, "dtype", DTYPES)
        if dtype not in here:
            raise InputError(f"--dtypes={dtype}: only NVIDIA's GPUs have it. Here: {', '.join(here)}.")
    return dtypes


def _check_numbers(batch_sizes: Sequence[int], examples: int, effort: Effort, tolerance: float) -> None:
    for batch_size in batch_sizes:
        if not 1 <= batch_size <= examples:
            raise InputError(f"--batch_sizes={batch_size}: must be between 1 and the {examples:,} training images.")
    if not effort.repeats >= 1:
        raise InputError(f"--repeats={effort.repeats}: must be at least 1.")
    if not effort.seconds > 0:
        raise InputError(f"--seconds={effort.seconds:g}: must be above 0.")
    if not 0 <= tolerance < 1:
        raise InputError(f"--tolerance={tolerance:g}: must be at least 0 and below 1, as in 0.1 for 10 %.")


def _read(baseline: Path | None, config: Config, batch_sizes: Sequence[int], dtypes: Sequence[str]) -> Baseline | None:
    if baseline is None:
        return None
    then = record.read(baseline)
    record.require_comparable(then, config, batch_sizes, dtypes, baseline)
    return then


def _measure(
    subject: Subject, batch_sizes: Sequence[int], dtypes: Sequence[str], effort: Effort, console: Console
) -> Iterator[Measurement]:
    """Every case, small batches first: the peak of memory only grows."""
    for batch_size in sorted(set(batch_sizes)):
        for dtype in dict.fromkeys(dtypes):
            console.note(f"measuring batch {batch_size}, {dtype}")
            yield from cases.measure(subject.at(dtype, batch_size), effort)


def _roofline(subject: Subject, measured: Sequence[Measurement], effort: Effort, console: Console) -> dict[str, Any]:
    """The layers of the training step under this device's roofs."""
    config, seconds = subject.config, min(effort.seconds, ROOFLINE_SECONDS)
    console.note(f"measuring the roofs and the layers, {subject.dtype}")
    found = layers.measure(subject.model, config.batch_size, config.dtype, config.matmul_precision, seconds=seconds)
    step = next(
        case
        for case in measured
        if (case.what, case.dtype, case.batch_size) == ("training step", subject.dtype, config.batch_size)
    )
    return record.roofline(subject, roofs.measure(config.dtype, config.matmul_precision, seconds=seconds), found, step)


def _profile(subject: Subject, folder: Path, console: Console) -> dict[str, Any]:
    """Traces some training steps into the folder, and finds the operations that take the time."""
    console.note(f"tracing training steps, {subject.dtype}")
    training = programs.compile_training(subject.config, subject.spec, subject.train, meshes.over_all_devices())
    steps, count = cases.steps_of(training), min(PROFILED_STEPS, training.epoch_steps)
    jax.block_until_ready(steps(count))  # or the end of these would be in the trace
    profiles.trace(lambda: steps(count), folder / "profile")
    return record.profile(count, profiles.most_expensive(folder / "profile", training.program_text()))


def _write(folder: Path, content: dict[str, Any]) -> None:
    files = {"benchmark.html": report.page(content), "benchmark.json": json.dumps(content, indent=1, allow_nan=False)}
    if "profile" in content:
        files["profile.txt"] = report.as_text(report.profile(content))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            directory.write_at_once(folder / name, text + "\n")
    except OSError as error:
        raise MachineError(f"{folder}: cannot be written: {error.strerror}.") from None


def _print(console: Console, content: dict[str, Any]) -> None:
    tables = [report.speeds(content)]
    tables += [report.against_baseline(content)] if "comparison" in content else []
    tables += [report.roofline(part) for part in content["rooflines"]]
    tables += [report.profile(content)] if "profile" in content else []
    for table in tables:
        console.table(table.title, list(table.headings), [list(row) for row in table.rows])
    for part in content["rooflines"]:
        console.line(f"{report.roofs_line(part)} {report.operations_line(part)}")


def _require_not_slower(content: dict[str, Any]) -> None:
    comparison = content.get("comparison", {"rows": []})
    slower = [row for row in comparison["rows"] if row["slower"]]
    if slower:
        raise SlowerThanBaseline(
            f"{len(slower)} of {len(comparison['rows'])} cases are more than {comparison['tolerance']:.0%} slower than "
            "the baseline."
        )
