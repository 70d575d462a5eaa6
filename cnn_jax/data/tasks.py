"""What a model is given and what it is asked: pure functions of images and labels, computed on the device in each step.

A task's inputs and targets are arrays, or dicts of arrays where a model has several inputs or outputs. The arrays may
be numpy's or jax's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

INK = 0.5  # a pixel of at least this value counts as ink for the bounding box


@dataclass(frozen=True)
class Task:
    """What a model receives, and what it has to answer.

    inputs: a function of images as `Spec.inputs` gives them, float32 [N, H, W, C]. targets: a function of labels,
    int32 [N]. main_output: where there are several outputs, the name of the one for the dataset's classes.
    """

    inputs: Callable[[Any], Any]
    targets: Callable[[Any], Any]
    main_output: str | None = None


def permuted(images: Any) -> Any:
    """The images with their pixels in another order, the same for all images: neighbours are then far apart."""
    examples, height, width, channels = images.shape
    order = np.random.default_rng(0).permutation(height * width)
    return images.reshape(examples, height * width, channels)[:, order].reshape(images.shape)


def with_metadata(images: Any) -> dict[str, Any]:
    """`image`, float32 [N, H, W, C], and `metadata`, float32 [N, 3]: total ink, aspect ratio and slant of the image."""
    import jax.numpy as jnp  # a start from the cache does not need it

    grey = images.mean(axis=-1)
    total_ink = grey.mean(axis=(1, 2))
    return {"image": images, "metadata": jnp.stack([total_ink, _aspect_ratio(grey), _slant(grey)], axis=-1)}


def digit_and_size(labels: Any) -> dict[str, Any]:
    """The targets of two questions: which digit it is, and whether it is 5 or more (0 or 1). Both int32 [N]."""
    return {"digit": labels, "five_or_more": (labels >= 5).astype(np.int32)}


def _aspect_ratio(grey: Any) -> Any:
    """Width divided by height of the ink's bounding box; 0 where there is no ink."""
    rows, columns = ((grey >= INK).any(axis=axis) for axis in (2, 1))
    return _extent(columns) / _at_least_one(_extent(rows))


def _extent(has_ink: Any) -> Any:
    """The length from the first True of each row to the last, both included: [N, L] to [N]; 0 where there is none."""
    length = has_ink.shape[1]
    extent = length - has_ink.argmax(axis=1) - has_ink[:, ::-1].argmax(axis=1)
    return (extent * has_ink.any(axis=1)).astype(np.float32)


def _at_least_one(values: Any) -> Any:
    return values + (values < 1) * (1 - values)


def _slant(grey: Any) -> Any:
    """The slope of the ink, in pixels to the right per pixel upwards: a least-squares line, weighted by ink."""
    ink = grey * (grey > 0)
    height, width = grey.shape[1:]
    up = np.arange(height, dtype=np.float32)[::-1].reshape(1, height, 1)
    right = np.arange(width, dtype=np.float32).reshape(1, 1, width)
    mass = _at_least_one(ink.sum(axis=(1, 2), keepdims=True))
    up, right = (position - (ink * position).sum(axis=(1, 2), keepdims=True) / mass for position in (up, right))
    covariance, variance = ((ink * up * other).sum(axis=(1, 2)) for other in (right, up))
    return covariance / _at_least_one(variance)


def _unchanged(arrays: Any) -> Any:
    return arrays


def _permuted_task() -> Task:
    """The pixels are in another order, the same for all images."""
    return Task(permuted, _unchanged)


def _plain_task() -> Task:
    """Images and labels as they are."""
    return Task(_unchanged, _unchanged)


def _metadata_task() -> Task:
    """Three numbers beside the image; two questions: the digit, and whether it is 5 or more."""
    return Task(with_metadata, digit_and_size, main_output="digit")


# settings -> task
TASKS: Mapping[str, Callable[..., Task]] = {
    "plain": _plain_task,
    "permuted": _permuted_task,
    "with_metadata": _metadata_task,
}
