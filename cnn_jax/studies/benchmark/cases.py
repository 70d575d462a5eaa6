"""The cases of a benchmark: training step, training epoch and inference of a model, at a batch size and a dtype."""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax import compilation
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.errors import InputError, MachineError
from cnn_jax.experiment import Experiment, build
from cnn_jax.models import summary
from cnn_jax.models.summary import Layer
from cnn_jax.report import statistics
from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.layers import training_multiply_adds, working_layers
from cnn_jax.studies.benchmark.timing import Call, Rounds
from cnn_jax.training.compiled import Training, compile_inference, compile_training
from cnn_jax.training.mesh import make_mesh, place, replicated

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]


# The names that --dtypes takes, and the Config fields that each of them sets.
DTYPES: Mapping[str, Mapping[str, Any]] = {
    "float32": {"dtype": "float32", "matmul_precision": "float32"},
    "tensorfloat32": {"dtype": "float32", "matmul_precision": "tensorfloat32"},
    "bfloat16": {"dtype": "bfloat16", "matmul_precision": "float32"},
}

# What is measured.
TRAINING_STEP, TRAINING_EPOCH, INFERENCE = "training step", "training epoch", "inference"
ON_ONE_DEVICE = "step on one device"  # where there are several

Measurement = Mapping[str, Any]  # the numbers of one case, as `measurement` gives them

_CALL_SECONDS = 0.5  # a timed call of training steps takes about as long as a chunk in `fit`


@dataclass(frozen=True)
class BenchmarkModel:
    """The model that is measured: an experiment, its layers, and random images of its dataset's shape and number.

    The images are on the devices already, once for all variants.
    """

    experiment: Experiment
    spec: Spec
    layers: list[Layer]
    train: Split
    test: Split

    def variant(self, dtype: str, batch_size: int) -> "BenchmarkModel":
        """The same model with another dtype, a name in DTYPES, and another batch size."""
        experiment = self.experiment.replace(batch_size=batch_size, **DTYPES[dtype])
        return dataclasses.replace(self, experiment=experiment)

    @property
    def config(self) -> Config:
        """The experiment's settings."""
        return self.experiment.config

    @property
    def dtype(self) -> str:
        """The config's dtype as a name in DTYPES."""
        fields = vars(self.config).items()
        return next(name for name, settings in DTYPES.items() if settings.items() <= fields)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image in the forward pass."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def training_multiply_adds(self) -> int:
        """Multiply-adds of one image in a training step."""
        return sum(training_multiply_adds(layer, is_first=is_first) for layer, is_first in working_layers(self.layers))


@dataclass(frozen=True)
class Case:
    """Something to measure, compiled, and run once. call: runs `parts` equal parts of it.

    images: of one part. multiply_adds: of one image, by definition. compile_seconds: None if it uses the program of
    another case. peak_memory_bytes: until it had run.
    """

    what: str
    model: BenchmarkModel
    images: int
    multiply_adds: int
    compile_seconds: float | None
    peak_memory_bytes: int | None
    call: Call
    parts: int


def available_dtypes() -> tuple[str, ...]:
    """The names in DTYPES that this platform has. Only NVIDIA's GPUs multiply in TensorFloat-32."""
    return tuple(name for name in DTYPES if name != "tensorfloat32" or jax.default_backend() == "gpu")


def build_model(experiment: Experiment) -> BenchmarkModel:
    """The experiment's model with random images: the speed does not depend on what they show, and no file is needed."""
    spec, rng = experiment.spec, np.random.default_rng(0)

    def random_split(examples: int) -> Split:
        images = rng.integers(0, 256, (examples, *spec.image_shape), dtype=np.uint8)
        labels = rng.integers(0, len(spec.classes), examples, dtype=np.int32)
        return Split(place(images, replicated(make_mesh())), labels)

    learner = build(experiment, fused=False)
    layers = summary.layers(learner.module, learner.input_shapes, is_training=True)
    train = random_split(experiment.config.train_examples or spec.train_examples)
    return BenchmarkModel(experiment, spec, layers, train, random_split(spec.test_examples))


def prepare(model: BenchmarkModel) -> list[Case]:
    """Compiles training step, epoch and inference, and runs them once; with several devices, the step on one as well.

    Raises InputError when they do not fit into memory.
    """
    devices = jax.devices()
    try:
        with compilation.memory_errors_named():
            step, epoch, inference = _on(make_mesh(), model)
            alone = [_on(make_mesh(devices=devices[:1]), model)[0]] if len(devices) > 1 else []
            return [step, *(dataclasses.replace(case, what=ON_ONE_DEVICE) for case in alone), epoch, inference]
    except MachineError:
        flag = f"--batch_sizes={model.config.batch_size}"
        raise InputError(f"{flag}: too large for the device's memory. Use smaller batches.") from None


def _on(mesh: Mesh, model: BenchmarkModel) -> tuple[Case, Case, Case]:
    """Training step, epoch and inference on these devices."""
    batch_size, multiply_adds = model.config.batch_size, model.training_multiply_adds
    training = compile_training(build(model.experiment), model.train, mesh)
    _require_memory(training.memory_bytes, batch_size)
    run_steps = steps_of(training)
    count = timing.calibrate(run_steps, seconds=_CALL_SECONDS, at_most=training.epoch_steps)

    def run_epoch() -> Any:
        return training.batch_indices(jax.random.key(0), 1), run_steps(training.epoch_steps)

    def case(what: str, images: int, multiply_adds: int, compile_seconds: float | None, call: Call, parts: int) -> Case:
        return Case(what, model, images, multiply_adds, compile_seconds, _peak_memory(), call, parts)

    step = case(TRAINING_STEP, batch_size, multiply_adds, training.compile_seconds, lambda: run_steps(count), count)
    epoch = case(TRAINING_EPOCH, len(model.train), multiply_adds, None, run_epoch, 1)

    inference = compile_inference(training.learner, model.test, mesh, batch_size)
    _require_memory(inference.memory_bytes, batch_size)
    variables = training.create_state(0).variables
    inference.logits(variables)

    def infer() -> Any:
        return inference.logits(variables)

    compile_seconds = inference.compile_seconds
    return step, epoch, case(INFERENCE, len(model.test), model.multiply_adds, compile_seconds, infer, 1)


def measurement(case: Case, rounds: Rounds) -> Measurement:
    """The numbers of a case, as in the record. rounds: of its calls.

    images, multiply_adds, seconds: of one part of a call. reference_seconds: of the reference before each call.
    compile_seconds: None if the case uses the program of another. The peak memory is the most since the process
    started.
    """
    rounds, images = rounds.divided(case.parts), case.images
    return {
        "what": case.what,
        "dtype": case.model.dtype,
        "batch_size": case.model.config.batch_size,
        "images": images,
        "multiply_adds": images * case.multiply_adds,
        "seconds": {
            "median": rounds.median,
            "interval": statistics.median_interval(rounds.seconds),
            "rounds": list(rounds.seconds),
        },
        "reference_seconds": list(rounds.reference),
        "compile_seconds": case.compile_seconds,
        "peak_memory_bytes": case.peak_memory_bytes,
        "images_per_second": images / rounds.median,
        "multiply_adds_per_second": images * case.multiply_adds / rounds.median,
    }


def compile_training_of(model: BenchmarkModel) -> Training:
    """Compiles the training of the model on its random images, on all devices."""
    return compile_training(build(model.experiment), model.train, make_mesh())


def steps_of(training: Training) -> Callable[[int], Any]:
    """A function that trains on the first `count` batches of an epoch and returns their metric sums.

    It keeps the state: each call continues with the params that the call before it has left.
    """
    state = training.create_state(0)
    indices = training.batch_indices(state.key, 1)

    def run_steps(count: int) -> Any:
        nonlocal state
        state, sums = training.chunk(state, training.zeros(), indices, 0, count)
        return sums

    return run_steps


def _require_memory(needed: int, batch_size: int) -> None:
    available = _available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"--batch_sizes={batch_size}: needs {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB "
            "are free. Use smaller batches."
        )


def _available_memory() -> int | None:
    """Bytes that a program may use on one device. On a CPU: the bytes that the system has free now, if it says so."""
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    return int(limit) if limit else _available_host_memory()


def _available_host_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        if not hasattr(os, "sysconf"):  # on Windows
            return None
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _peak_memory() -> int | None:
    """The most bytes in use since the process started: on the first device if it counts them, else of the process.

    None where the system does not say so, as Windows.
    """
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return int(statistics["peak_bytes_in_use"])
    if resource is None:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used  # macOS counts bytes, other systems kibibytes
