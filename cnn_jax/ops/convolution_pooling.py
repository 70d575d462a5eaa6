"""Unpadded convolution and 2 x 2 max-pooling in one piece, as XLA's CPU backend runs it fast.

`operators.py` calls these functions on a CPU. The forms are those of `convolution.py`; the maximum is taken inside a
block.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import pooling, winograd
from cnn_jax.ops.blocks import in_blocks
from cnn_jax.ops.convolution import (
    GRADIENT_BLOCK_BYTES,
    NO_PADS,
    Gradients,
    bias_gradient,
    convolve,
    direct_gradients,
    finished,
    gradients,
    has_few_products,
    has_tiles,
    in_rows,
    output_size,
    padded_images,
    tiles_bytes,
    window_rows,
)
from cnn_jax.ops.winograd import flat, product

NOWHERE = 4  # the place of a maximum that the ReLU makes 0: it is no member of the window


def convolve_and_pool(
    images: Array, kernel: Array, bias: Array | None = None, *, relu: bool = False
) -> tuple[Array, Array]:
    """Unpadded convolution, 2 x 2 max-pooling, bias and ReLU: [N, H'', W'', F], and the maxima's places (uint8).

    A place is `NOWHERE` where the ReLU gives 0. What the pooling would drop is not computed. Tiles of the size of the
    pooling window never leave the cache.
    """
    images = images[:, *_pooled_window(images, kernel)]
    if has_tiles(kernel.shape):
        tiles = winograd.kernel_tiles(kernel, 2)
        members, size = partial(_tiles_members, tiles=tiles), tiles_bytes(images, kernel, NO_PADS, 2)
    elif has_few_products(kernel.shape):
        members, size = partial(_shifted_products, kernel=kernel), _shifted_bytes(images, kernel)
    else:
        return _maxima(pooling.members(convolve(images, kernel), 2), bias, relu=relu)

    def block(images: Array) -> tuple[tuple[Array, Array], tuple]:
        return _maxima(members(images), bias, relu=relu), ()

    return in_blocks(block, (images,), size)[0]


def _maxima(members: list[Array], bias: Array | None, *, relu: bool) -> tuple[Array, Array]:
    """The maxima of the windows after bias and ReLU, and their places."""
    pooled, place = pooling.largest(members)
    outputs = finished(pooled, bias, relu=relu)
    return outputs, jnp.where(outputs > 0, place, jnp.uint8(NOWHERE)) if relu else place


def pooled_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> Gradients:
    """The gradients of `convolve_and_pool` for images, kernel and bias, given the one for its outputs."""
    whole, images = images, images[:, *_pooled_window(images, kernel)]
    if has_tiles(kernel.shape):
        of_images, *others = _pooled_tiles_gradients(images, kernel, place, gradient)
    elif has_few_products(kernel.shape):
        of_images, *others = _pooled_patches_gradients(images, kernel, place, gradient)
    else:
        outputs = pooling.interleaved(pooling.shares(gradient, place, 4), 2)
        of_images, *others = gradients(images, kernel, outputs)
    dropped = [(0, whole.shape[axis] - images.shape[axis]) for axis in (1, 2)]
    return padded_images(of_images, dropped), others[0], others[1]


def _tiles_members(images: Array, tiles: winograd.Grid) -> list[Array]:
    return lax.optimization_barrier(winograd.output_members(images, tiles))


def _pooled_window(images: Array, kernel: Array) -> tuple[slice, slice]:
    """The rows and columns of the images that reach the pooled outputs."""
    height, width = output_size(images.shape, kernel.shape, 1, NO_PADS)
    return slice(height // 2 * 2 + kernel.shape[0] - 1), slice(width // 2 * 2 + kernel.shape[1] - 1)


def _pooled_tiles_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> Gradients:
    tiles = winograd.kernel_tiles(kernel, 2)

    def block(images: Array, place: Array, gradient: Array) -> tuple[Array, Any]:
        of_images, *sums = winograd.gradients(images, tiles, pooling.shares(gradient, place, 4))
        return of_images, tuple(sums)

    size = tiles_bytes(images, kernel, NO_PADS, 2)
    of_images, sums = in_blocks(block, (images, place, gradient), size, GRADIENT_BLOCK_BYTES)
    return of_images, winograd.kernel_gradient(sums[0]), sums[1]


def _shifted_kernels(kernel: Array) -> list[Array]:
    """The kernel at the four places of a 2 x 2 pooling window, each [(KW + 1) * (KH + 1) * C, F]."""
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    return [in_rows(jnp.pad(kernel, ((row, 1 - row), (column, 1 - column), (0, 0), (0, 0)))) for row, column in places]


def _shifted_patches(images: Array, kernel: Array) -> Array:
    """What each pooling window sees of the images, as a row: [N, H'', W'', (KW + 1) * (KH + 1) * C]."""
    return lax.optimization_barrier(window_rows(images, (kernel.shape[0] + 1, kernel.shape[1] + 1), 2))


def _shifted_bytes(images: Array, kernel: Array) -> int:
    return 4 * images.shape[1] * images.shape[2] * kernel.shape[3]


def _shifted_products(images: Array, kernel: Array) -> list[Array]:
    """The four members of the pooling windows as one matrix product, each [N, H'', W'', F]."""
    patches = _shifted_patches(images, kernel)
    outputs = product(flat(patches), lax.concatenate(_shifted_kernels(kernel), 1))
    shape = (*patches.shape[:3], kernel.shape[3])
    return [member.reshape(shape) for member in jnp.split(outputs, 4, 1)]


def _pooled_patches_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> Gradients:
    def block(images: Array, place: Array, gradient: Array) -> tuple[Array, Any]:
        place, gradient = lax.optimization_barrier((place, gradient))
        members = lax.optimization_barrier(pooling.shares(gradient, place, 4))
        of_images, *_ = direct_gradients(images, kernel, pooling.interleaved(members, 2), 1, NO_PADS)
        patches = flat(_shifted_patches(images, kernel))
        shifted = [product(patches, flat(member), 0, 0) for member in members]
        return of_images, (shifted, bias_gradient(_somewhere(gradient, place)))

    of_images, (shifted, of_bias) = in_blocks(block, (images, place, gradient), _shifted_bytes(images, kernel))
    (of_kernel,) = jax.linear_transpose(_shifted_kernels, kernel)(shifted)
    return of_images, of_kernel, of_bias


def _somewhere(gradient: Array, place: Array) -> Array:
    """The gradient, and zero where the place is `NOWHERE`."""
    return gradient * jnp.minimum(NOWHERE - place.astype(jnp.int32), 1).astype(gradient.dtype)
