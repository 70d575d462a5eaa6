"""`benchmark.json`: the record of a benchmark, and the comparison with an earlier one."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import compilation
from cnn_jax.config import Config, config_differences, config_from_mapping
from cnn_jax.errors import InputError
from cnn_jax.studies.benchmark.cases import DTYPES, BenchmarkModel, Measurement
from cnn_jax.studies.benchmark.layers import LayerWork
from cnn_jax.studies.benchmark.profile import Operation
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work, bound
from cnn_jax.studies.benchmark.timing import TimeBudget

FORMAT = 1
LARGEST_FILE = 1 << 22  # bytes; a record has about 10,000
# A baseline may differ in these fields: a benchmark sets the first three itself, the others do not change the speed.
_MAY_DIFFER = {"batch_size", "dtype", "matmul_precision", "seed", "glyph_seed", "epochs", "experiment"}


@dataclass(frozen=True)
class Speed:
    """The images per second of one case in a stored record."""

    what: str
    dtype: str
    batch_size: int
    images_per_second: float

    @property
    def case(self) -> tuple[str, str, int]:
        return self.what, self.dtype, self.batch_size


@dataclass(frozen=True)
class Baseline:
    """A stored benchmark: its file, its config, its device, and the speed of each case."""

    path: Path
    config: Config
    device: str
    speeds: list[Speed]


def create(
    model: BenchmarkModel, budget: TimeBudget, machine: dict, measurements: Iterable[Measurement]
) -> dict[str, Any]:
    """The record of these measurements. Rooflines, profile and comparison are added to it."""
    return {
        "format": FORMAT,
        "config": dataclasses.asdict(model.config),
        "machine": machine,
        "compiler_options": compilation.compiler_options(),
        "settings": vars(budget) | {"train_examples": len(model.train), "test_examples": len(model.test)},
        "parameters": sum(layer.parameters for layer in model.layers),
        "measurements": [_measurement(case) for case in measurements],
    }


def _measurement(case: Measurement) -> dict[str, Any]:
    rates = ("images_per_second", "multiply_adds_per_second")
    return dataclasses.asdict(case) | {name: getattr(case, name) for name in rates}


def roofline(
    model: BenchmarkModel, peaks: DevicePeaks, layers: Sequence[LayerWork], step: Measurement
) -> dict[str, Any]:
    """The layers and the whole training step, against the device's peaks. The step moves the bytes of all layers."""
    moved_bytes = sum(layer.work.moved_bytes for layer in layers)
    whole = Work(step.multiply_adds, moved_bytes, step.seconds.median)
    return {
        "dtype": model.dtype,
        "batch_size": model.config.batch_size,
        "roofs": dataclasses.asdict(peaks),
        "layers": [_work(layer.name, layer.work, peaks) | _operations(layer) for layer in layers],
        "step": _work("training step", whole, peaks),
    }


def _work(name: str, work: Work, peaks: DevicePeaks) -> dict[str, Any]:
    found = bound(work, peaks)
    return {
        "name": name,
        **dataclasses.asdict(work),
        "multiply_adds_per_byte": work.intensity,
        "multiply_adds_per_second": work.multiply_adds_per_second,
        "bound": found.limit,
        "share": found.share,
        "verdict": found.verdict,
    }


def _operations(layer: LayerWork) -> dict[str, float | None]:
    return {"operations": layer.operations, "operations_by_xla": layer.operations_by_xla}


def profile(steps: int, operations: Iterable[Operation]) -> dict[str, Any]:
    """The operations in a trace of so many training steps."""
    return {"steps": steps, "operations": [dataclasses.asdict(found) for found in operations]}


def read(path: Path) -> Baseline:
    """Reads a stored benchmark. Raises InputError when the file is not one, is damaged or has another format."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"--baseline={path}: too large for a benchmark.json (over {LARGEST_FILE:,} bytes).")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(f"--baseline={path}: has format {content['format']!r}; this program reads {FORMAT}.")
        config = config_from_mapping(content["config"], f"--baseline={path}")
        return Baseline(path, config, str(content["machine"]["device"]), [_speed(m) for m in content["measurements"]])
    except OSError as error:
        raise InputError(f"--baseline={path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"--baseline={path}: not a benchmark.json, or damaged ({type(error).__name__}).") from None


def _speed(content: Any) -> Speed:
    speed = Speed(*(content[field.name] for field in dataclasses.fields(Speed)))
    right_types = isinstance(speed.what, str) and isinstance(speed.batch_size, int)
    rate = speed.images_per_second
    if not right_types or speed.dtype not in DTYPES or type(rate) not in (int, float) or not 0 < rate < math.inf:
        raise ValueError("a value of a measurement is not possible")
    return speed


def require_comparable(baseline: Baseline, config: Config, batch_sizes: Iterable[int], dtypes: Sequence[str]) -> None:
    """Raises InputError when the baseline has another model or dataset, or none of these cases."""
    changed = {n: p for n, p in config_differences(baseline.config, config).items() if n not in _MAY_DIFFER}
    if changed:
        fields = "; ".join(f"{name}: {old!r} in the baseline, {new!r} now" for name, (old, new) in changed.items())
        raise InputError(f"--baseline={baseline.path}: has another experiment ({fields}).")
    wanted = {(dtype, batch_size) for batch_size in batch_sizes for dtype in dtypes}
    if not wanted & {(speed.dtype, speed.batch_size) for speed in baseline.speeds}:
        raise InputError(f"--baseline={baseline.path}: has none of these batch sizes and dtypes: nothing to compare.")


def compare(measurements: Iterable[Measurement], baseline: Baseline, tolerance: float) -> dict[str, Any]:
    """The cases that are in both. ratio: images per second now, divided by the baseline's. tolerance: a share."""
    earlier = {speed.case: speed.images_per_second for speed in baseline.speeds}
    now = [Speed(m.what, m.dtype, m.batch_size, m.images_per_second) for m in measurements]
    rows = [_comparison(speed, earlier[speed.case], tolerance) for speed in now if speed.case in earlier]
    return {"device": baseline.device, "tolerance": tolerance, "rows": rows}


def _comparison(speed: Speed, earlier: float, tolerance: float) -> dict[str, Any]:
    ratio = speed.images_per_second / earlier
    found = {"baseline_images_per_second": earlier, "ratio": ratio, "slower": ratio < 1 - tolerance}
    return dataclasses.asdict(speed) | found
