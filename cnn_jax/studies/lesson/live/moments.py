"""Moments of one training: what the network is before the first step, at the end of an epoch, and between them."""

import base64
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax.data.dataset import Split
from cnn_jax.experiment import Experiment, build
from cnn_jax.models.summary import subtree
from cnn_jax.studies.lesson.live.chain import Layer, NotShown, encoded
from cnn_jax.studies.lesson.live.robustness import compiled_apply
from cnn_jax.training.compiled import compile_training
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import NEVER

TRAIN_EXAMPLES, MOMENTS = 20_000, 6


class Moment(NamedTuple):
    """The parameters after so many steps, as the page has them: float32, rounded to 8 bits a channel."""

    step: int
    params: dict[str, Any]


def compute(experiment: Experiment, layers: list[Layer], train: Split, sample: Split) -> dict[str, Any]:
    """The moments as JSON: the kernels and biases of each layer by its name, and the accuracy on a few test images.

    layers: the chain of the experiment's network. train: the training images, of which the first 20,000 are taken.
    sample: the test images. Raises NotShown if training diverges.
    """
    train, apply = train[:TRAIN_EXAMPLES], compiled_apply(experiment)
    found = []
    for moment in moments(experiment, train):
        answers = np.asarray(apply({"params": moment.params}, sample.images)).argmax(axis=-1)
        found.append(described(moment, layers, float(np.mean(answers == sample.labels))))
    batch_size = min(experiment.config.batch_size, len(train))
    return {"examples": len(train), "batch_size": batch_size, "moments": found}


def described(moment: Moment, layers: list[Layer], accuracy: float) -> dict[str, Any]:
    """A moment as JSON. Raises NotShown on a bias that float16 cannot hold."""
    names = [layer["name"] for layer in layers if "kernel" in layer]
    arrays = {name: _encoded(subtree(moment.params, name.split("/")), name) for name in names}
    return {"step": moment.step, "accuracy": accuracy, "layers": arrays}


def _encoded(params: Mapping[str, Any], name: str) -> dict[str, str]:
    values, step = quantized(params["kernel"])
    arrays = {"kernel": values, "step": step.astype("<f4")}
    result = {key: base64.b64encode(array.tobytes()).decode() for key, array in arrays.items()}
    return {**result, **({"bias": encoded(params["bias"], name)} if "bias" in params else {})}


def moments(experiment: Experiment, split: Split) -> Iterator[Moment]:
    """Trains one epoch, and gives the parameters at steps whose numbers grow by a factor, from 0 to the last.

    Raises NotShown if training diverges.
    """
    training = compile_training(build(experiment), split, make_mesh())
    state, sums = training.create_state(experiment.config.seed), training.zeros()
    indices = training.batch_indices(state.key, 1)
    yield Moment(0, rounded(jax.device_get(state.variables["params"])))
    for first, last in itertools.pairwise(steps(training.epoch_steps)):
        state, sums = training.chunk(state, sums, indices, first, last)
        if int(sums.diverged_at) != NEVER:
            raise NotShown(f"its training diverges at step {int(sums.diverged_at)}")
        yield Moment(last, rounded(jax.device_get(state.variables["params"])))


def steps(epoch_steps: int) -> list[int]:
    """The numbers of the steps that are shown, in ascending order, such as 0, 3, 10, 31, 99 and 313."""
    return sorted({0, *(round(epoch_steps ** (part / (MOMENTS - 1))) for part in range(1, MOMENTS))})


def quantized(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel as int8 and the step of each output channel, float32: their product is the kernel but for rounding.

    kernel: float32 [..., channels].
    """
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    step = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(kernel / step).astype(np.int8), step


def rounded(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the page has them: kernels of 8 bits a channel, all others as float16. Returns float32."""

    def one(leaf: np.ndarray) -> np.ndarray:
        if leaf.ndim < 2:
            return np.asarray(leaf, np.float16).astype(np.float32)
        values, step = quantized(np.asarray(leaf, np.float32))
        return values * step

    return jax.tree.map(one, dict(params))
