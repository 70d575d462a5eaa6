"""Augmentations that move pixels. Maps of the plane are sampled bilinearly by one function; 0 comes in from outside.

Signature and images are those of `augmentations.py`: pure functions of a key and float32 [N, H, W, C] from 0 to 1.
"""

import math
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.settings import About


def shift(
    key: Array, images: Array, pixels: Annotated[int, About("the largest distance", at_least=0, at_most=255)] = 2
) -> Array:
    """Moves each image by a random whole number of pixels along rows and along columns."""
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    return _windows(key, padded, images.shape)


def crop(
    key: Array,
    images: Array,
    padding: Annotated[int, About("pixels added on each side", at_least=0, at_most=255)] = 4,
    mode: Annotated[Literal["reflect", "edge"], About("what is added: the mirrored image, or its edge")] = "reflect",
) -> Array:
    """Pads each photograph with its own pixels and cuts out a random part. Padding with zeros is what shift does."""
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode=mode)
    return _windows(key, padded, images.shape)


def _windows(key: Array, padded: Array, shape: tuple[int, ...]) -> Array:
    """A random window of the given shape [N, H, W, C] of each padded image."""
    examples, height, width, channels = shape
    corners = jax.random.randint(key, (examples, 2), 0, padded.shape[1] - height + 1)

    def window(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(window)(padded, corners)


def flip(
    key: Array, images: Array, probability: Annotated[float, About("of each image", at_least=0, at_most=1)] = 0.5
) -> Array:
    """Mirrors each image from left to right with this probability."""
    is_flipped = jax.random.bernoulli(key, probability, (images.shape[0], 1, 1, 1))
    return jnp.where(is_flipped, images[:, :, ::-1], images)


def rotation(
    key: Array, images: Array, degrees: Annotated[float, About("the largest angle", at_least=0, at_most=180)] = 15.0
) -> Array:
    """Turns each image about its centre by a random angle in one of both directions."""
    return rotated(images, math.radians(degrees) * _signed(key, images))


def rotated(images: Array, angle: Array | float) -> Array:
    """The images turned clockwise about their centres. angle: in radians, one number or float32 [N, 1, 1]."""
    return affine(images, ((jnp.cos(angle), -jnp.sin(angle)), (jnp.sin(angle), jnp.cos(angle))))


def scale(
    key: Array,
    images: Array,
    factor: Annotated[float, About("the largest; the smallest is its inverse", at_least=1, at_most=10)] = 1.2,
) -> Array:
    """Makes each image larger or smaller by a random factor about its centre; both are as likely."""
    inverse = factor ** _signed(key, images)
    return affine(images, ((inverse, 0), (0, inverse)))


def shear(
    key: Array,
    images: Array,
    slope: Annotated[float, About("pixels to the side a row, at most", at_least=0, at_most=5)] = 0.2,
) -> Array:
    """Slants each image to the left or right by a random amount: each row moves further than the one below it."""
    return affine(images, ((1, 0), (slope * _signed(key, images), 1)))


def elastic(
    key: Array,
    images: Array,
    pixels: Annotated[float, About("standard deviation of the displacements", at_least=0, at_most=100)] = 1.0,
    grid: Annotated[int, About("points along each side of the grid", at_least=2, at_most=64)] = 6,
) -> Array:
    """Bends each image by random normal displacements on a coarse grid, interpolated in between.

    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003), draw a displacement for
    each pixel and blur them; a coarse grid is much faster. The defaults bend digits as much as theirs: a displacement
    differs from that of the next pixel by 0.23 pixels (root mean square), theirs by 0.22.
    """
    examples, height, width, _ = images.shape
    coarse = pixels * jax.random.normal(key, (examples, grid, grid, 2))
    moved = jax.image.resize(coarse, (examples, height, width, 2), "linear")
    rows, columns = _positions(images)
    return sample(images, rows + moved[..., 0], columns + moved[..., 1])


def affine(images: Array, matrix: tuple[tuple, tuple], offset: tuple = (0, 0)) -> Array:
    """The images after an affine map about their centres.

    matrix, offset: from a new pixel's row and column, counted from the centre, to the old ones; each member is a number
    or float32 [N, 1, 1].
    """
    centre = [(length - 1) / 2 for length in images.shape[1:3]]
    row, column = (positions - middle for positions, middle in zip(_positions(images), centre, strict=True))
    old = (a * row + b * column + c + d for (a, b), c, d in zip(matrix, offset, centre, strict=True))
    rows, columns = (jnp.broadcast_to(positions, images.shape[:3]) for positions in old)
    return sample(images, rows, columns)


def sample(images: Array, rows: Array, columns: Array) -> Array:
    """The images between their pixels, bilinearly; 0 outside. rows, columns: float32 [N, H, W], from 0."""
    height, width = images.shape[1:3]
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = rows - top, columns - left
    take = jax.vmap(lambda image, row, column: image.at[row, column].get(mode="promise_in_bounds"))

    def weighted(row: Array, column: Array, weight: Array) -> Array:
        is_inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = (jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1))
        pixels = take(images, row.astype(jnp.int32), column.astype(jnp.int32))
        return jnp.where(is_inside, weight, 0)[..., None] * pixels

    return (
        weighted(top, left, (1 - down) * (1 - right))
        + weighted(top, left + 1, (1 - down) * right)
        + weighted(top + 1, left, down * (1 - right))
        + weighted(top + 1, left + 1, down * right)
    )


def _positions(images: Array) -> tuple[Array, Array]:
    """The rows and the columns of pixels, from 0: float32 [1, H, 1] and [1, 1, W]."""
    height, width = images.shape[1:3]
    rows, columns = (jnp.arange(length, dtype=jnp.float32) for length in (height, width))
    return rows[None, :, None], columns[None, None, :]


def _signed(key: Array, images: Array) -> Array:
    """A random number from -1 to 1 for each image: float32 [N, 1, 1]."""
    return jax.random.uniform(key, (images.shape[0], 1, 1), minval=-1, maxval=1)
