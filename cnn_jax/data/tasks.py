"""How a dataset is shown to a model: pure functions of its images and labels that the device computes in the step.

A task's inputs and targets are arrays, or dicts of arrays where a model has several inputs or outputs. To add one,
write its functions, and name it in `TASKS` and in the choices of `Config.view`. The arrays may be numpy's or jax's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

INK = 0.5  # from this value on a pixel counts as ink where a box is put around it


@dataclass(frozen=True)
class Task:
    """What a model receives, and what it is asked.

    inputs: of images as `Spec.inputs` gives them, float32 [N, H, W, C]. targets: of labels, int32 [N]. main: of several
    outputs the one that names the dataset's classes.
    """

    inputs: Callable[[Any], Any]
    targets: Callable[[Any], Any]
    main: str | None = None

    def of_classes(self, outputs: Any) -> Any:
        """Of a model's outputs, or their targets, those of the dataset's classes."""
        return outputs if self.main is None else outputs[self.main]


def permuted(images: Any) -> Any:
    """The same images with their pixels in another order, one and the same for all: near things come to lie apart."""
    examples, height, width, channels = images.shape
    order = np.random.default_rng(0).permutation(height * width)
    return images.reshape(examples, height * width, channels)[:, order].reshape(images.shape)


def with_metadata(images: Any) -> dict[str, Any]:
    """The image beside three numbers computed from it: float32 [N, H, W, C] and `metadata`, float32 [N, 3]."""
    import jax.numpy as jnp  # a start from the cache does without it

    grey = images.mean(axis=-1)
    return {"image": images, "metadata": jnp.stack([_total_ink(grey), _aspect_ratio(grey), _slant(grey)], axis=-1)}


def digit_and_size(labels: Any) -> dict[str, Any]:
    """Two questions: which digit, and whether it is 5 or more (0 or 1). Both int32 [N]."""
    return {"digit": labels, "five_or_more": (labels >= 5).astype(np.int32)}


def _total_ink(grey: Any) -> Any:
    """The mean of all pixels."""
    return grey.mean(axis=(1, 2))


def _aspect_ratio(grey: Any) -> Any:
    """Width over height of the box around the ink; 0 where there is none."""
    rows, columns = ((grey >= INK).any(axis=axis) for axis in (2, 1))
    return _extent(columns) / _at_least_one(_extent(rows))


def _extent(inked: Any) -> Any:
    """From the first True of each row to the last, both included: [N, L] to [N]; 0 where there is none."""
    length = inked.shape[1]
    reach = length - inked.argmax(axis=1) - inked[:, ::-1].argmax(axis=1)
    return (reach * inked.any(axis=1)).astype(np.float32)


def _at_least_one(values: Any) -> Any:
    return values + (values < 1) * (1 - values)


def _slant(grey: Any) -> Any:
    """How many pixels to the right the ink leans for each pixel up: the slope of columns over rows, weighted by ink."""
    ink = grey * (grey > 0)
    height, width = grey.shape[1:]
    up = np.arange(height, dtype=np.float32)[::-1].reshape(1, height, 1)
    right = np.arange(width, dtype=np.float32).reshape(1, 1, width)
    mass = _at_least_one(ink.sum(axis=(1, 2), keepdims=True))
    up, right = (place - (ink * place).sum(axis=(1, 2), keepdims=True) / mass for place in (up, right))
    covariance, variance = ((ink * up * other).sum(axis=(1, 2)) for other in (right, up))
    return covariance / _at_least_one(variance)


def _as_they_are(arrays: Any) -> Any:
    return arrays


TASKS: Mapping[str, Task] = {
    "plain": Task(_as_they_are, _as_they_are),
    "permuted": Task(permuted, _as_they_are),
    "with_metadata": Task(with_metadata, digit_and_size, main="digit"),
}
