"""A benchmark's record, made by the study's own code from measurements whose numbers are known."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.experiment import Experiment
from cnn_jax.report import statistics
from cnn_jax.runs import machine
from cnn_jax.studies.benchmark import cases, comparison, record
from cnn_jax.studies.benchmark.cases import BenchmarkModel, Case, Measurement, build_model
from cnn_jax.studies.benchmark.layers import working_layers
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work
from cnn_jax.studies.benchmark.timing import Rounds, TimeBudget

DEVICE = "1 x abacus"
SECONDS = (1.0, 0.98, 1.01, 1.02, 0.99, 1.03, 0.97)  # of the rounds of a case
SLOW_SECONDS = tuple(1.5 * seconds for seconds in SECONDS)
_PEAKS = DevicePeaks(multiply_adds_per_second=1e11, bytes_per_second=1e10)
_UNKNOWN = {
    "date": "2026-12-01T12:00:00+00:00",
    **dict.fromkeys(("load", "clock_mhz", "temperature_celsius", "gpu_clock_mhz", "gpu_temperature_celsius")),
}


@functools.cache
def _model() -> BenchmarkModel:
    """The lecture's CNN."""
    return build_model(Experiment())


def measurement(
    what: str = "inference",
    *,
    batch_size: int = 64,
    seconds: Sequence[float] = SECONDS,
    reference: Sequence[float] | None = None,
) -> Measurement:
    """A case of 1,000 images. seconds, reference: in each round; the reference takes 10 ms by default."""
    compile_seconds = None if what == "training epoch" else 1.5
    case = Case(what, _model().variant("float32", batch_size), 1000, 10**6, compile_seconds, 2**28, lambda: None, 1)
    return cases.measurement(case, Rounds(tuple(seconds), tuple(reference or (0.01,) * len(seconds))))


def content(
    *measurements: Measurement, device: str = DEVICE, used_by_others: float | None = 0.0, **more: Any
) -> dict[str, Any]:
    """The record of these measurements, without rooflines, profile and comparison. more: other entries."""
    described = machine.describe(["--mode=benchmark"]) | {"device": device}
    state = {"before": _UNKNOWN, "after": _UNKNOWN, "used_by_others": used_by_others}
    return record.create(_model(), TimeBudget(repeats=7, seconds=20.0), described, state, measurements) | more


def stored(path: Path, *measurements: Measurement, **settings: Any) -> Path:
    """The same as a file. settings: of `content`."""
    path.write_text(json.dumps(record.sealed(content(*measurements, **settings))))
    return path


def target(seconds: Sequence[float | None], accuracy: float = 0.99) -> dict[str, Any]:
    """The times to an accuracy of the seeds from 0 on; None for a seed that did not get there."""
    seeds = [
        {
            **{"seed": seed, "reference_seconds": 0.01, "seconds": taken},
            **{"epochs": 2 if taken else None, "test_accuracies": [0.98, accuracy if taken else 0.985]},
        }
        for seed, taken in enumerate(seconds)
    ]
    reached = [taken for taken in seconds if taken]
    mean = statistics.summary(reached, statistics.POSITIVE) if len(reached) == len(seconds) else None
    return {"accuracy": accuracy, "dtype": "float32", "batch_size": 64, "epochs": 5, "seconds": mean, "seeds": seeds}


def whole_content() -> dict[str, Any]:
    """A record with all of its parts."""
    what = ("training step", "step on one device", "training epoch", "inference")
    measurements = [measurement(one) for one in what]
    layers = [layer for layer, _ in working_layers(_model().layers)]
    works = [Work(layer.name, layer.multiply_adds, 10**5, 1e-4) for layer in layers]
    slow = content(measurement(seconds=SLOW_SECONDS), used_by_others=0.3, target=target([30.0, 31.0, 32.0]))
    now = content(*measurements, target=target([20.0, 21.0, None]))
    source = "gradient of CNN/Conv_0/dot_general"
    product = {"name": "dot.3", "source": source, "calls": 10, "seconds": 0.2, "share": 0.4}
    loop = {"name": "while", "source": "", "calls": 1, "seconds": 0.0, "share": 0.0}
    more = {
        "rooflines": [record.roofline(_model(), _PEAKS, works, measurements[0])],
        "comparison": comparison.compare(record.of(slow, "before/benchmark.json"), record.of(now), 0.1),
        "profile": {"steps": 10, "operations": [product, loop]},
    }
    return record.sealed(now | more)
