"""`benchmark.json`: what was measured, as a record that another benchmark can be compared with."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import compilation
from cnn_jax import config as configs
from cnn_jax.benchmark.cases import DTYPES, Effort, Measurement, Subject
from cnn_jax.benchmark.layers import LayerWork
from cnn_jax.benchmark.profile import Operation
from cnn_jax.benchmark.roofline import Work, bound
from cnn_jax.benchmark.roofs import Roofs
from cnn_jax.config import Config
from cnn_jax.errors import InputError

FORMAT = 1
LARGEST_FILE = 1 << 22  # bytes; a record is some ten kilobytes
# A benchmark sets the first three itself, and the others do not change what is computed.
_COMPARED_ANYWAY = {"batch_size", "dtype", "matmul_precision", "seed", "glyph_seed", "epochs", "experiment"}


@dataclass(frozen=True)
class Speed:
    """A case's images a second, as a record holds it."""

    what: str
    dtype: str
    batch_size: int
    images_per_second: float

    @property
    def case(self) -> tuple[str, str, int]:
        return self.what, self.dtype, self.batch_size


@dataclass(frozen=True)
class Baseline:
    """What a stored benchmark says: of which config, on which device, how fast."""

    config: Config
    device: str
    speeds: list[Speed]


def begun(subject: Subject, effort: Effort, machine: dict, measured: Iterable[Measurement]) -> dict[str, Any]:
    """The record of what was measured how, on which machine; rooflines and what else there is are added to it."""
    return {
        "format": FORMAT,
        "config": dataclasses.asdict(subject.config),
        "machine": machine,
        "compiler_options": compilation.compiler_options(small_loops=True),
        "settings": vars(effort) | {"train_examples": len(subject.train), "test_examples": len(subject.test)},
        "parameters": sum(layer.parameters for layer in subject.model),
        "measurements": [_measurement(case) for case in measured],
    }


def _measurement(case: Measurement) -> dict[str, Any]:
    rates = {
        "images_per_second": case.images_per_second,
        "multiply_adds_per_second": case.multiply_adds_per_second,
    }
    return dataclasses.asdict(case) | rates


def roofline(subject: Subject, roofs: Roofs, found: Sequence[LayerWork], step: Measurement) -> dict[str, Any]:
    """The layers and the whole training step under the device's roofs. The step must move what its layers move."""
    moved_bytes = sum(layer.work.moved_bytes for layer in found)
    whole = Work(step.multiply_adds, moved_bytes, step.seconds.median)
    return {
        "dtype": subject.dtype,
        "batch_size": subject.config.batch_size,
        "roofs": dataclasses.asdict(roofs),
        "layers": [_place(layer.name, layer.work, roofs) | _operations(layer) for layer in found],
        "step": _place("training step", whole, roofs),
    }


def _place(name: str, work: Work, roofs: Roofs) -> dict[str, Any]:
    found = bound(work, roofs)
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
    """What a trace of so many training steps showed."""
    return {"steps": steps, "operations": [dataclasses.asdict(found) for found in operations]}


def read(path: Path) -> Baseline:
    """A stored benchmark. Raises InputError where the file is none, is damaged or is of another format."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"--baseline={path}: too large to be a benchmark (over {LARGEST_FILE:,} bytes).")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(f"--baseline={path}: of format {content['format']!r}; this program reads {FORMAT}.")
        config = configs.from_mapping(content["config"], f"--baseline={path}")
        return Baseline(config, str(content["machine"]["device"]), [_speed(m) for m in content["measurements"]])
    except OSError as error:
        raise InputError(f"--baseline={path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"--baseline={path}: not a benchmark.json, or damaged ({type(error).__name__}).") from None


def _speed(content: Any) -> Speed:
    speed = Speed(*(content[field.name] for field in dataclasses.fields(Speed)))
    right_types = isinstance(speed.what, str) and isinstance(speed.batch_size, int)
    rate = speed.images_per_second
    if not right_types or speed.dtype not in DTYPES or type(rate) not in (int, float) or not 0 < rate < math.inf:
        raise ValueError("a measurement's values")
    return speed


def require_comparable(
    baseline: Baseline, config: Config, batch_sizes: Iterable[int], dtypes: Sequence[str], path: Path
) -> None:
    """Raises InputError where the baseline measured another network or dataset, or none of these cases."""
    changed = {n: p for n, p in configs.differences(baseline.config, config).items() if n not in _COMPARED_ANYWAY}
    if changed:
        fields = "; ".join(f"{name}: {old!r} there, {new!r} here" for name, (old, new) in changed.items())
        raise InputError(f"--baseline={path}: of another experiment ({fields}).")
    wanted = {(dtype, batch_size) for batch_size in batch_sizes for dtype in dtypes}
    if not wanted & {(speed.dtype, speed.batch_size) for speed in baseline.speeds}:
        raise InputError(f"--baseline={path}: has none of these batch sizes and dtypes: nothing to compare.")


def compared(measured: Iterable[Measurement], baseline: Baseline, tolerance: float) -> dict[str, Any]:
    """The cases that both have, side by side. ratio: images a second now over then. tolerance: as a share."""
    then = {speed.case: speed.images_per_second for speed in baseline.speeds}
    rows = []
    for case in measured:
        before = then.get((case.what, case.dtype, case.batch_size))
        if before is not None:
            ratio = case.images_per_second / before
            rows.append(
                {
                    "what": case.what,
                    "dtype": case.dtype,
                    "batch_size": case.batch_size,
                    "images_per_second": case.images_per_second,
                    "baseline_images_per_second": before,
                    "ratio": ratio,
                    "slower": ratio < 1 - tolerance,
                }
            )
    return {"device": baseline.device, "tolerance": tolerance, "rows": rows}
