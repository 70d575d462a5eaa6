"""The cases of a benchmark: training step, epoch and inference of a config, at a batch size and a dtype."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cnn_jax import compilation, data, models
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.errors import InputError, MachineError
from cnn_jax.models import summary
from cnn_jax.models.summary import Layer
from cnn_jax.studies.benchmark import layers, memory, timing
from cnn_jax.studies.benchmark.timing import Timing
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs
from cnn_jax.training.programs import Inference, Training

# What --dtypes names: the settings of a Config that compute in it.
DTYPES: Mapping[str, Mapping[str, Any]] = {
    "float32": {"dtype": "float32", "matmul_precision": "float32"},
    "tensorfloat32": {"dtype": "float32", "matmul_precision": "tensorfloat32"},
    "bfloat16": {"dtype": "bfloat16", "matmul_precision": "float32"},
}

_CALL_SECONDS = 0.5  # what a timed call of training steps should last: as a chunk of `fit` does


@dataclass(frozen=True)
class Subject:
    """What is measured: a config's model on random images in its dataset's shape and numbers."""

    config: Config
    spec: Spec
    model: list[Layer]
    train: Split
    test: Split

    def at(self, dtype: str, batch_size: int) -> "Subject":
        """The same, computed in this dtype and with this batch size."""
        return dataclasses.replace(
            self, config=dataclasses.replace(self.config, batch_size=batch_size, **DTYPES[dtype])
        )

    @property
    def dtype(self) -> str:
        """The name in DTYPES of what the config computes in."""
        mine = vars(self.config).items()
        return next(name for name, settings in DTYPES.items() if settings.items() <= mine)

    @property
    def multiply_adds(self) -> int:
        """Of an image's forward pass."""
        return sum(layer.multiply_adds for layer in self.model)

    @property
    def training_multiply_adds(self) -> int:
        """Of an image in a training step."""
        first, *others = self.model
        return layers.training_multiply_adds(first, is_first=True) + sum(
            layers.training_multiply_adds(layer, is_first=False) for layer in others
        )


@dataclass(frozen=True)
class Measurement:
    """One case's numbers. what: `training step`, `training epoch` or `inference`. images: that the seconds are of.

    multiply_adds: of those images, by definition. compile_seconds: None where the program is that of the line before.
    peak_memory_bytes: the most in use so far.
    """

    what: str
    dtype: str
    batch_size: int
    images: int
    multiply_adds: int
    seconds: Timing
    compile_seconds: float | None
    peak_memory_bytes: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds.median

    @property
    def multiply_adds_per_second(self) -> float:
        return self.multiply_adds / self.seconds.median


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: so many repeats, fewer where they would take longer than `seconds`, but at least one."""

    repeats: int
    seconds: float

    def time(self, call: Callable[[], object]) -> Timing:
        """Times a call that is warm."""
        return timing.repeated(call, repeats=self.repeats, seconds=self.seconds)


def dtypes_of_platform() -> tuple[str, ...]:
    """The dtypes that differ here: tensorfloat32 is what NVIDIA's GPUs can make of float32 products."""
    return tuple(name for name in DTYPES if name != "tensorfloat32" or jax.default_backend() == "gpu")


def subject(config: Config) -> Subject:
    """The config's subject. How fast images pass does not depend on what they show: random ones need no files."""
    spec, rng = data.spec(config.dataset), np.random.default_rng(0)

    def drawn(examples: int) -> Split:
        images = rng.integers(0, 256, (examples, *spec.image_shape), dtype=np.uint8)
        return Split(images, rng.integers(0, len(spec.classes), examples, dtype=np.int32))

    model = summary.layers(models.build(config, len(spec.classes)), programs.input_shapes(config, spec))
    return Subject(config, spec, model, drawn(config.train_examples or spec.train_examples), drawn(spec.test_examples))


def measure(subject: Subject, effort: Effort) -> Iterator[Measurement]:
    """Measures training step, epoch and inference. Raises InputError where they do not fit into memory."""
    config, spec, mesh = subject.config, subject.spec, meshes.over_all_devices()
    with _refused_where_too_large(config.batch_size):
        training = programs.compile_training(config, spec, subject.train, mesh)
        _require_memory(training.memory_bytes, config.batch_size)
        yield from _measure_training(training, subject, effort)
        inference = programs.compile_inference(config, spec, subject.test, mesh, config.batch_size)
        _require_memory(inference.memory_bytes, config.batch_size)
        yield _measure_inference(inference, training.start(0).params, subject, effort)


def _measure_training(training: Training, subject: Subject, effort: Effort) -> Iterator[Measurement]:
    steps = steps_of(training)
    count = timing.fitting(steps, seconds=_CALL_SECONDS, at_most=training.epoch_steps)
    step = effort.time(lambda: steps(count)).divided(count)
    multiply_adds = subject.training_multiply_adds
    yield _measurement(
        "training step", subject, subject.config.batch_size, multiply_adds, step, training.compile_seconds
    )
    epoch = effort.time(lambda: (training.order(jax.random.key(0), 1), steps(training.epoch_steps)))
    yield _measurement("training epoch", subject, len(subject.train), multiply_adds, epoch, None)


def steps_of(training: Training) -> Callable[[int], Any]:
    """A function that takes the first so many steps of an epoch, from where it stands, and gives their sums."""
    state = training.start(0)
    order = training.order(state.key, 1)

    def steps(count: int) -> Any:
        nonlocal state  # each chunk takes the state before it as its own
        state, sums = training.chunk(state, training.zeros(), order, 0, count)
        return sums

    return steps


def _measure_inference(inference: Inference, params: dict, subject: Subject, effort: Effort) -> Measurement:
    inference.logits(params)
    seconds = effort.time(lambda: inference.logits(params))
    images = len(subject.test)
    return _measurement("inference", subject, images, subject.multiply_adds, seconds, inference.compile_seconds)


def _measurement(
    what: str, subject: Subject, images: int, multiply_adds: int, seconds: Timing, compile_seconds: float | None
) -> Measurement:
    """multiply_adds: of one image."""
    batch_size, total = subject.config.batch_size, images * multiply_adds
    return Measurement(what, subject.dtype, batch_size, images, total, seconds, compile_seconds, memory.peak())


def _require_memory(needed: int, batch_size: int) -> None:
    available = memory.available()
    if needed > available:
        raise InputError(
            f"--batch_sizes={batch_size}: needs {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB "
            "are free. Use smaller batches."
        )


@contextmanager
def _refused_where_too_large(batch_size: int) -> Iterator[None]:
    try:
        with compilation.memory_errors_named():
            yield
    except MachineError:
        raise InputError(f"--batch_sizes={batch_size}: too large for the device's memory. Use smaller ones.") from None
