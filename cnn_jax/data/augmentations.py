"""Augmentations: random changes of the training images, as pure functions of a key and a batch of images.

images: float32 [N, H, W, C], from 0 to 1, before normalization; returned in the same shape and dtype. They run on the
device in every training step, and never in scoring. Pixels that come in from outside an image are 0.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.settings import About


class Mixed(NamedTuple):
    """Images that are mixtures of two, as mixup and cutmix make them.

    An augmentation may return this. partners: int32 [N], the row of each image's other label. weight: float32 [N], from
    0 to 1, of the image's own label. The loss is `weight * own + (1 - weight) * partner's`. Metrics use the own label.
    """

    images: Array
    partners: Array
    weight: Array


def shift(
    key: Array, images: Array, pixels: Annotated[int, About("the largest distance", at_least=0, at_most=255)] = 2
) -> Array:
    """Moves each image by a random whole number of pixels, up to `pixels`, along rows and along columns."""
    examples, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    corners = jax.random.randint(key, (examples, 2), 0, 2 * pixels + 1)

    def window(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(window)(padded, corners)


def flip(
    key: Array, images: Array, probability: Annotated[float, About("of each image", at_least=0, at_most=1)] = 0.5
) -> Array:
    """Mirrors each image from left to right with this probability."""
    is_flipped = jax.random.bernoulli(key, probability, (images.shape[0], 1, 1, 1))
    return jnp.where(is_flipped, images[:, :, ::-1], images)


AUGMENTATIONS: Mapping[str, Callable[..., Array | Mixed]] = {"shift": shift, "flip": flip}
