"""Augmentations that change pixels where they are: strokes, brightness, contrast, noise, and squares cut out.

Signature and images are those of `augmentations.py`: pure functions of a key and float32 [N, H, W, C] from 0 to 1.
"""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.settings import About

_DEVIATION_OF_BYTES = (4 * (256**2 - 1) / 12) ** 0.5  # of the sum of four random bytes, whose mean is 510


def thickness(
    key: Array,
    images: Array,
    pixels: Annotated[float, About("the most that each side of a stroke moves", at_least=0, at_most=1)] = 0.7,
) -> Array:
    """Makes light strokes thicker or thinner by a random amount."""
    return thickened(images, pixels * _signed(key, images))


def thickened(images: Array, amount: Array | float) -> Array:
    """Images with thicker light strokes, or with thinner ones where the amount is negative.

    Each pixel goes so far towards the largest or the smallest of the 3 x 3 pixels around it (dilation and erosion).
    amount: from -1 to 1, one number or float32 [N, 1, 1, 1].
    """
    thick, thin = _extreme_of_neighbours(jnp.maximum, images, 0), _extreme_of_neighbours(jnp.minimum, images, 1)
    return images + jnp.maximum(amount, 0) * (thick - images) + jnp.maximum(-amount, 0) * (thin - images)


def _extreme_of_neighbours(choose: Callable[[Array, Array], Array], images: Array, outside: float) -> Array:
    """The largest or smallest of the 3 x 3 pixels around each one."""
    for axis in (1, 2):
        widths = [(int(other == axis), int(other == axis)) for other in range(4)]
        padded, length = jnp.pad(images, widths, constant_values=outside), images.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in (0, 2))
        images = choose(choose(before, after), images)
    return images


def brightness(
    key: Array, images: Array, strength: Annotated[float, About("the largest change", at_least=0, at_most=1)] = 0.3
) -> Array:
    """Multiplies each image by a random factor around 1."""
    return jnp.clip((1 + strength * _signed(key, images)) * images, 0, 1)


def contrast(
    key: Array, images: Array, strength: Annotated[float, About("the largest change", at_least=0, at_most=1)] = 0.3
) -> Array:
    """Multiplies the differences from each image's mean by a random factor around 1."""
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    return jnp.clip(mean + (1 + strength * _signed(key, images)) * (images - mean), 0, 1)


def noise(
    key: Array, images: Array, deviation: Annotated[float, About("standard deviation", at_least=0, at_most=1)] = 0.1
) -> Array:
    """Adds nearly normal noise to each pixel: sums of four random bytes, which are faster and end at 3.5 deviations."""
    bits = jax.random.bits(key, images.shape, jnp.uint32)
    total = sum(((bits >> byte) & 255).astype(jnp.float32) for byte in (0, 8, 16, 24))
    return jnp.clip(images + deviation / _DEVIATION_OF_BYTES * (total - 510), 0, 1)


def cutout(
    key: Array, images: Array, pixels: Annotated[int, About("side of the square", at_least=0, at_most=255)] = 8
) -> Array:
    """Sets a square to 0 whose centre is any pixel, so that a part may lie outside.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017).
    """
    side = jnp.full(images.shape[0], pixels)
    return jnp.where(boxes(key, images.shape, side, side), 0, images)


def boxes(key: Array, shape: tuple[int, ...], heights: Array, widths: Array) -> Array:
    """Boxes whose centres are any pixel: bool [N, H, W, 1], true inside. heights, widths: int32 [N], in pixels."""
    inside = []
    for length, sizes, of_axis in zip(shape[1:3], (heights, widths), jax.random.split(key), strict=True):
        first = jax.random.randint(of_axis, sizes.shape, 0, length) - sizes // 2
        positions = jnp.arange(length)[None]
        inside.append((positions >= first[:, None]) & (positions < (first + sizes)[:, None]))
    return inside[0][:, :, None, None] & inside[1][:, None, :, None]


def _signed(key: Array, images: Array) -> Array:
    """A random number from -1 to 1 for each image: float32 [N, 1, 1, 1]."""
    return jax.random.uniform(key, (images.shape[0], 1, 1, 1), minval=-1, maxval=1)
