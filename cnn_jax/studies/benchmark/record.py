"""`benchmark.json`: the record of a benchmark, and the comparison with an earlier one."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax import compilation
from cnn_jax.config import Config, config_from_mapping, differences_in_words
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import read_json
from cnn_jax.studies.benchmark.cases import BenchmarkModel, Measurement
from cnn_jax.studies.benchmark.layers import operations, operations_by_xla, timed_layers
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work, compare
from cnn_jax.studies.benchmark.timing import TimeBudget

FORMAT = 1
LARGEST_FILE = 1 << 22  # bytes; a record has about 10,000
Case = tuple[Any, ...]
_CASE = ("what", "dtype", "batch_size")  # what two measurements must have in common to be compared
# A baseline may differ in these fields: a benchmark sets the first three itself, the others do not change the speed.
_MAY_DIFFER = {
    *("batch_size", "dtype", "matmul_precision", "seed", "dataset.seed", "epochs", "experiment"),
    *("keep", "monitor", "patience"),
}


@dataclass(frozen=True)
class Baseline:
    """A stored benchmark. speeds: the images per second of each case."""

    path: Path
    config: Config
    device: str
    speeds: Mapping[Case, float]


def create(
    model: BenchmarkModel, budget: TimeBudget, machine: dict, measurements: Iterable[Measurement]
) -> dict[str, Any]:
    """The record of these measurements. Rooflines, profile and comparison are added to it."""
    return {
        "format": FORMAT,
        "config": model.config.as_mapping(),
        "machine": machine,
        "compiler_options": compilation.compiler_options(small_loops=True),
        "settings": vars(budget) | {"train_examples": len(model.train), "test_examples": len(model.test)},
        "parameters": sum(layer.parameters for layer in model.layers),
        "measurements": list(measurements),
    }


def roofline(model: BenchmarkModel, peaks: DevicePeaks, layers: Sequence[Work], step: Measurement) -> dict[str, Any]:
    """The layers and the whole training step, against the device's peaks. The step moves the bytes of all layers."""
    batch_size = model.config.batch_size
    counts = [
        {"operations": operations(layer, batch_size), "operations_by_xla": operations_by_xla(layer, batch_size)}
        for layer, _ in timed_layers(model.layers)
    ]
    moved_bytes = sum(layer.moved_bytes for layer in layers)
    whole = Work("training step", step["multiply_adds"], moved_bytes, step["seconds"]["median"])
    return {
        "dtype": model.dtype,
        "batch_size": batch_size,
        "roofs": dataclasses.asdict(peaks),
        "layers": [compare(layer, peaks) | count for layer, count in zip(layers, counts, strict=True)],
        "step": compare(whole, peaks),
    }


def read(path: Path) -> Baseline:
    """Reads a stored benchmark. Raises InputError when the file is not one, is damaged or has another format."""
    try:
        content = read_json(path, LARGEST_FILE)
        if content["format"] != FORMAT:
            raise InputError(f"--baseline={path}: has format {content['format']!r}; this program reads {FORMAT}.")
        config = config_from_mapping(content["config"], f"--baseline={path}")
        speeds = {_case(measurement): _speed(measurement) for measurement in content["measurements"]}
        return Baseline(path, config, str(content["machine"]["device"]), speeds)
    except OSError as error:
        raise InputError(f"--baseline={path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--baseline={path}: not a benchmark.json, or damaged ({type(error).__name__}: {error})."
        ) from None


def _speed(measurement: Measurement) -> float:
    """The images per second. They are divided by, so that no other number will do."""
    speed = measurement["images_per_second"]
    if type(speed) not in (int, float) or not 0 < speed < math.inf:
        raise ValueError("images_per_second: not a positive number")
    return speed


def _case(measurement: Measurement) -> Case:
    return tuple(measurement[name] for name in _CASE)


def require_comparable(
    baseline: Baseline, experiment: Experiment, batch_sizes: Iterable[int], dtypes: Sequence[str]
) -> None:
    """Raises InputError when the baseline has another model or dataset, or none of these cases."""
    changed = {n: p for n, p in experiment.differences(baseline.config).items() if n not in _MAY_DIFFER}
    if changed:
        raise InputError(f"--baseline={baseline.path}: has another experiment ({differences_in_words(changed)}).")
    wanted = {(dtype, batch_size) for batch_size in batch_sizes for dtype in dtypes}
    if not wanted & {(dtype, batch_size) for _, dtype, batch_size in baseline.speeds}:
        raise InputError(f"--baseline={baseline.path}: has none of these batch sizes and dtypes: nothing to compare.")


def comparison(measurements: Iterable[Measurement], baseline: Baseline, tolerance: float) -> dict[str, Any]:
    """The cases that are in both. ratio: images per second now, divided by the baseline's. tolerance: a share."""
    rows = []
    for measurement in measurements:
        earlier = baseline.speeds.get(_case(measurement))
        if earlier:
            ratio = measurement["images_per_second"] / earlier
            row = {name: measurement[name] for name in (*_CASE, "images_per_second")}
            rows.append(row | {"baseline_images_per_second": earlier, "ratio": ratio, "slower": ratio < 1 - tolerance})
    return {"device": baseline.device, "tolerance": tolerance, "rows": rows}
