"""A benchmark's record, made by the study's own code from measurements whose numbers are known."""

import functools
from pathlib import Path
from typing import Any

from cnn_jax.experiment import Experiment
from cnn_jax.runs import machine
from cnn_jax.studies.benchmark import cases, record
from cnn_jax.studies.benchmark.cases import BenchmarkModel, Measurement, build_model
from cnn_jax.studies.benchmark.layers import working_layers
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work
from cnn_jax.studies.benchmark.timing import TimeBudget, Timing

DEVICE = "1 x abacus"
_PEAKS = DevicePeaks(multiply_adds_per_second=1e11, bytes_per_second=1e10)


@functools.cache
def _model() -> BenchmarkModel:
    """The lecture's CNN."""
    return build_model(Experiment())


def measurement(what: str = "inference", *, images: int = 64_000, batch_size: int = 64) -> Measurement:
    """A case in which one call takes one second."""
    compile_seconds = None if what == "training epoch" else 1.5
    model = _model().variant("float32", batch_size)
    return cases.measurement(what, model, images, 10**6, Timing(1.0, 0.9, 2.0, 7), compile_seconds)


def content(*measurements: Measurement) -> dict[str, Any]:
    """The record of these measurements, without rooflines, profile and comparison."""
    described = machine.describe(["--mode=benchmark"]) | {"device": DEVICE}
    return record.create(_model(), TimeBudget(repeats=7, seconds=20.0), described, measurements)


def whole_content() -> dict[str, Any]:
    """A record with all of its parts."""
    measurements = [measurement(what) for what in ("training step", "training epoch", "inference")]
    layers = [layer for layer, _ in working_layers(_model().layers)]
    works = [Work(layer.name, layer.multiply_adds, 10**5, 1e-4) for layer in layers]
    speeds = {("inference", "float32", 64): 1000.0}
    baseline = record.Baseline(Path("benchmark.json"), _model().config, DEVICE, speeds)
    source = "gradient of CNN/Conv_0/dot_general"
    product = {"name": "dot.3", "source": source, "calls": 10, "seconds": 0.2, "share": 0.4}
    loop = {"name": "while", "source": "", "calls": 1, "seconds": 0.0, "share": 0.0}
    return content(*measurements) | {
        "rooflines": [record.roofline(_model(), _PEAKS, works, measurements[0])],
        "comparison": record.comparison(measurements, baseline, tolerance=0.1),
        "profile": {"steps": 10, "operations": [product, loop]},
    }
