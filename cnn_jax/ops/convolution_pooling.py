"""Unpadded convolution and 2 x 2 max-pooling in one piece, as XLA's CPU backend runs it fast.

`operators.py` calls these functions on a CPU. The forms are those of `convolution.py`; the maximum is taken inside a
block.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import pooling, winograd
from cnn_jax.ops.blocks import in_blocks
from cnn_jax.ops.convolution import (
    NO_PADS,
    convolve,
    direct_gradients,
    gradients,
    has_few_products,
    has_tiles,
    output_size,
    padded_images,
    tiles_bytes,
    window_rows,
)
from cnn_jax.ops.winograd import flat, product


def convolve_and_pool(images: Array, kernel: Array) -> tuple[Array, Array]:
    """Unpadded convolution and 2 x 2 max-pooling, [N, H'', W'', F], and the maxima's places (uint8).

    What the pooling would drop is not computed. Tiles of the size of the pooling window never leave the cache.
    """
    images = images[:, *_pooled_window(images, kernel)]
    if has_tiles(kernel.shape):
        tiles = winograd.kernel_tiles(kernel)
        return in_blocks(
            lambda images: (pooling.largest(lax.optimization_barrier(winograd.output_tiles(images, tiles))), ()),
            (images,),
            tiles_bytes(output_size(images.shape, kernel.shape, 1, NO_PADS), kernel),
        )[0]
    if has_few_products(kernel.shape):
        return in_blocks(
            lambda images: (pooling.largest(_shifted_products(images, kernel)), ()),
            (images,),
            _shifted_bytes(images, kernel),
        )[0]
    return pooling.largest(pooling.members(convolve(images, kernel, 1, NO_PADS), 2))


def pooled_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
    """The gradients of `convolve_and_pool` for images and kernel, given the one for the pooled outputs."""
    whole, images = images, images[:, *_pooled_window(images, kernel)]
    if has_tiles(kernel.shape):
        images_gradient, kernel_gradient = _pooled_tiles_gradients(images, kernel, place, gradient)
    elif has_few_products(kernel.shape):
        images_gradient, kernel_gradient = _pooled_patches_gradients(images, kernel, place, gradient)
    else:
        outputs = pooling.interleaved(pooling.shares(gradient, place, 4), 2)
        images_gradient, kernel_gradient = gradients(images, kernel, outputs, 1, NO_PADS)
    dropped = [(0, whole.shape[axis] - images.shape[axis]) for axis in (1, 2)]
    return padded_images(images_gradient, dropped), kernel_gradient


def _pooled_window(images: Array, kernel: Array) -> tuple[slice, slice]:
    """The rows and columns of the images that reach the pooled outputs."""
    height, width = output_size(images.shape, kernel.shape, 1, NO_PADS)
    return slice(height // 2 * 2 + kernel.shape[0] - 1), slice(width // 2 * 2 + kernel.shape[1] - 1)


def _pooled_tiles_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
    tiles = winograd.kernel_tiles(kernel)
    images_gradient, kernel_tiles = in_blocks(
        lambda images, place, gradient: winograd.tile_gradients(images, tiles, pooling.shares(gradient, place, 4)),
        (images, place, gradient),
        tiles_bytes(output_size(images.shape, kernel.shape, 1, NO_PADS), kernel),
    )
    return images_gradient, winograd.kernel_gradient(kernel_tiles)


def _shifted_kernels(kernel: Array) -> Array:
    """The kernel at the four places of a 2 x 2 pooling window: [KH + 1, KW + 1, C, 4, F]."""
    return jnp.stack(
        [
            jnp.pad(kernel, ((row, 1 - row), (column, 1 - column), (0, 0), (0, 0)))
            for row in (0, 1)
            for column in (0, 1)
        ],
        3,
    )


def _shifted_patches(images: Array, kernel: Array) -> Array:
    """What each pooling window sees of the images, as a row: [N, H'', W'', (KH + 1) * (KW + 1) * C]."""
    return lax.optimization_barrier(window_rows(images, (kernel.shape[0] + 1, kernel.shape[1] + 1), 2))


def _shifted_bytes(images: Array, kernel: Array) -> int:
    return 4 * images.shape[1] * images.shape[2] * kernel.shape[3]


def _shifted_products(images: Array, kernel: Array) -> list[Array]:
    """The four members of the pooling windows as one matrix product, each [N, H'', W'', F]."""
    patches = _shifted_patches(images, kernel)
    shifted = _shifted_kernels(kernel)
    outputs = product(flat(patches), shifted.reshape(-1, 4 * kernel.shape[3]))
    shape = (*patches.shape[:3], kernel.shape[3])
    return [member.reshape(shape) for member in jnp.split(outputs, 4, 1)]


def _pooled_patches_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
    def block(images: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
        members = [flat(member) for member in pooling.shares(gradient, place, 4)]
        outputs = pooling.interleaved(pooling.shares(gradient, place, 4), 2)
        images_gradient, _ = direct_gradients(images, kernel, outputs, 1, NO_PADS)
        return images_gradient, product(flat(_shifted_patches(images, kernel)), lax.concatenate(members, 1), 0, 0)

    size = _shifted_bytes(images, kernel)
    images_gradient, shifted = in_blocks(block, (images, place, gradient), size)
    back = jax.linear_transpose(_shifted_kernels, kernel)
    shape = (kernel.shape[0] + 1, kernel.shape[1] + 1, kernel.shape[2], 4, kernel.shape[3])
    return images_gradient, back(shifted.reshape(shape))[0]
