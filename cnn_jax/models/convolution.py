"""Convolution and its gradients in the forms that XLA's CPU backend runs fast, also inside a compiled loop.

For `operators.py`, which says when. Three forms, chosen by shape, equal within float32 rounding:

  tiles     3 x 3 kernels: Winograd's minimal filtering F(2 x 2, 3 x 3), 16 products where the definition needs 36
  patches   small inputs: every window copied to a row, then one matrix product
  direct    everything else: XLA's convolution, with gradients that are written as plain NHWC convolutions

Tiles and patches work on blocks of images whose intermediate values stay in the processor's cache. Optimization
barriers hold what is read more than once: XLA would otherwise recompute it inside of every reader. Numbers:
docs/performance.md.
"""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.models import pooling, winograd
from cnn_jax.models.winograd import flat, product

Padding = tuple[tuple[int, int], tuple[int, int]]

_NO_PADS = ((0, 0), (0, 0))
_BLOCK_BYTES = 8 * 2**20
_FEW_PRODUCTS = 32
_NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    """Cross-correlation: [N, H, W, C] and [KH, KW, C, F] to [N, H', W', F]."""
    form, _ = _chosen(images.shape, kernel.shape, stride, pads)
    return form(images, kernel, stride, pads)


def gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> tuple[Array, Array]:
    """The gradients of `convolve` for images and kernel, given the one for its outputs."""
    _, form = _chosen(images.shape, kernel.shape, stride, pads)
    return form(images, kernel, gradient, stride, pads)


def _chosen(images: tuple[int, ...], kernel: tuple[int, ...], stride: int, pads: Padding) -> tuple[Callable, Callable]:
    height, width = _output_size(images, kernel, stride, pads)
    products = kernel[0] * kernel[1] * kernel[2]
    tiles = ceil(height / 2) * ceil(width / 2)
    if _has_tiles(kernel) and stride == 1 and 16 * tiles < 0.6 * 9 * height * width:
        return _convolve_tiles, _tiles_gradients
    if products <= _FEW_PRODUCTS or 4 * height * width * products <= 64 * 1024:
        return _convolve_patches, _patches_gradients
    return _convolve_directly, _direct_gradients


def _has_tiles(kernel: tuple[int, ...]) -> bool:
    """With fewer channels the transforms cost more than the products that they save."""
    return kernel[:2] == (3, 3) and min(kernel[2:]) >= 16


def _output_size(images: tuple[int, ...], kernel: tuple[int, ...], stride: int, pads: Padding) -> tuple[int, int]:
    height, width = (max(0, (images[axis + 1] + sum(pads[axis]) - kernel[axis]) // stride + 1) for axis in (0, 1))
    return height, width


def _padded(images: Array, pads: Padding) -> Array:
    """Zeros around the images; a negative number crops."""
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


# Blocks ---------------------------------------------------------------------------------------------------------------


def _in_blocks(function: Callable, arrays: tuple[Array, ...], bytes_per_image: int) -> Any:
    """function(*arrays) -> (values per image, sums over images), on as many images at a time as the cache holds.

    A block takes every k-th image, so that a batch that is split over devices stays where it is.
    """
    batch = arrays[0].shape[0]
    least = max(1, ceil(batch * bytes_per_image / _BLOCK_BYTES))
    # Blocks of equal size where some number of them gives that; else the last is filled up with zeros.
    blocks = next((blocks for blocks in range(least, min(2 * least, batch) + 1) if batch % blocks == 0), least)
    size = ceil(batch / blocks)
    if blocks == 1:
        return function(*arrays)
    short = size * blocks - batch
    split = [
        jnp.pad(array, ((0, short), *((0, 0),) * (array.ndim - 1))).reshape(size, blocks, *array.shape[1:])
        for array in arrays
    ]

    def block(index: Array) -> Any:
        return function(*(lax.dynamic_index_in_dim(array, index, 1, keepdims=False) for array in split))

    def add(index: Array, results: Any) -> Any:
        rows, sums = results
        new_rows, new_sums = block(index)
        place = partial(lax.dynamic_update_index_in_dim, index=index, axis=1)
        return jax.tree.map(place, rows, new_rows), jax.tree.map(jnp.add, sums, new_sums)

    rows, sums = jax.eval_shape(block, jnp.int32(0))
    empty = jax.tree.map(lambda row: jnp.zeros((size, blocks, *row.shape[1:]), row.dtype), rows)
    rows, sums = lax.fori_loop(0, blocks, add, (empty, jax.tree.map(jnp.zeros_like, sums)))
    return jax.tree.map(lambda row: row.reshape(size * blocks, *row.shape[2:])[:batch], rows), sums


# Direct ---------------------------------------------------------------------------------------------------------------


def _convolve_directly(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    return lax.conv_general_dilated(images, kernel, (stride, stride), pads, dimension_numbers=_NHWC)


def _direct_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> tuple[Array, Array]:
    """Both as plain NHWC convolutions; for the kernel, channels take the part of the batch and images that of channels.

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section 4.
    """
    images, gradient = lax.optimization_barrier((images, gradient))
    before = [low for low, _ in pads]
    spread = [(size - 1) * stride + 1 for size in gradient.shape[1:3]]
    margins = [
        (kernel.shape[axis] - 1 - before[axis], images.shape[axis + 1] - spread[axis] + before[axis]) for axis in (0, 1)
    ]
    turned = lax.rev(kernel, (0, 1)).swapaxes(2, 3)
    images_gradient = lax.conv_general_dilated(
        gradient, turned, (1, 1), margins, lhs_dilation=(stride, stride), dimension_numbers=_NHWC
    )
    margins = [
        (before[axis], kernel.shape[axis] - 1 + spread[axis] - images.shape[axis + 1] - before[axis]) for axis in (0, 1)
    ]
    kernel_gradient = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        margins,
        rhs_dilation=(stride, stride),
        dimension_numbers=_NHWC,
    )
    return images_gradient, kernel_gradient.transpose(1, 2, 0, 3)


# Patches --------------------------------------------------------------------------------------------------------------


def _patches(images: Array, size: tuple[int, int], stride: int) -> Array:
    """Every window as a row: [N, H, W, C] to [N, H', W', size[0] * size[1] * C]."""
    batch, height, width, channels = images.shape
    bottom, right = height - size[0] + 1, width - size[1] + 1
    views = [
        lax.slice(images, (0, row, column, 0), (batch, row + bottom, column + right, channels), (1, stride, stride, 1))
        for row in range(size[0])
        for column in range(size[1])
    ]
    return lax.concatenate(views, 3)


def _patches_bytes(images: Array, kernel: Array, stride: int, pads: Padding) -> int:
    height, width = _output_size(images.shape, kernel.shape, stride, pads)
    return 4 * height * width * max(kernel.shape[0] * kernel.shape[1] * kernel.shape[2], kernel.shape[3])


def _convolve_patches(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    def block(images: Array) -> tuple[Array, tuple]:
        patches = _patches(_padded(images, pads), kernel.shape[:2], stride)
        return product(flat(patches), flat(kernel)).reshape(*patches.shape[:3], -1), ()

    return _in_blocks(block, (images,), _patches_bytes(images, kernel, stride, pads))[0]


def _patches_gradients(
    images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding
) -> tuple[Array, Array]:
    def block(images: Array, gradient: Array) -> tuple[Array, Array]:
        padded = _padded(images, pads)
        patches = flat(_patches(padded, kernel.shape[:2], stride))
        # One column a member of the window; what it contributed to comes back to where it was read.
        columns = product(flat(gradient), flat(kernel), 1, 1).reshape(*gradient.shape[:3], -1, images.shape[3])
        returned = sum(
            _put_back(columns[..., row * kernel.shape[1] + column, :], (row, column), padded.shape, stride)
            for row in range(kernel.shape[0])
            for column in range(kernel.shape[1])
        )
        outside = [(-low, -high) for low, high in pads]
        return _padded(returned, outside), product(patches, flat(gradient), 0, 0)

    size = _patches_bytes(images, kernel, stride, pads)
    images_gradient, kernel_gradient = _in_blocks(block, (images, gradient), size)
    return images_gradient, kernel_gradient.reshape(kernel.shape)


def _put_back(values: Array, origin: tuple[int, int], shape: tuple[int, ...], stride: int) -> Array:
    """Zeros of the given shape, with the values at every stride-th row and column from the origin on."""
    margins = [
        (start, shape[axis] - start - (values.shape[axis] - 1) * stride - 1, stride - 1)
        for axis, start in zip((1, 2), origin, strict=True)
    ]
    return lax.pad(values, jnp.zeros((), values.dtype), ((0, 0, 0), *margins, (0, 0, 0)))


def _tiles_bytes(outputs: tuple[int, int], kernel: Array) -> int:
    """The 16 products of an image's tiles, or the 16 transformed inputs, whichever is larger."""
    height, width = outputs
    return 4 * 16 * ceil(height / 2) * ceil(width / 2) * max(kernel.shape[2:])


def _even(images: Array, pads: Padding) -> tuple[Padding, tuple[int, int]]:
    """Padding that also makes the output's height and width even, and what they are without that."""
    height, width = _output_size(images.shape, (3, 3), 1, pads)
    (top, bottom), (left, right) = pads
    return ((top, bottom + height % 2), (left, right + width % 2)), (height, width)


def _convolve_tiles(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    even, (height, width) = _even(images, pads)
    tiles = winograd.kernel_tiles(kernel)

    def block(images: Array) -> tuple[Array, tuple]:
        outputs = pooling.interleaved(winograd.output_tiles(_padded(images, even), tiles), 2)
        return outputs[:, :height, :width], ()

    return _in_blocks(block, (images,), _tiles_bytes((height, width), kernel))[0]


def _tiles_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> tuple[Array, Array]:
    even, (height, width) = _even(images, pads)
    tiles = winograd.kernel_tiles(kernel)

    def block(images: Array, gradient: Array) -> tuple[Array, winograd.Grid]:
        gradient = _padded(gradient, ((0, height % 2), (0, width % 2)))
        padded_gradient, kernel_tiles = winograd.tile_gradients(
            _padded(images, even),
            tiles,
            lax.optimization_barrier(pooling.members(lax.optimization_barrier(gradient), 2)),
        )
        return _padded(padded_gradient, [(-low, -high) for low, high in even]), kernel_tiles

    images_gradient, kernel_tiles = _in_blocks(block, (images, gradient), _tiles_bytes((height, width), kernel))
    return images_gradient, winograd.kernel_gradient(kernel_tiles)


# With pooling ---------------------------------------------------------------------------------------------------------


def convolve_and_pool(images: Array, kernel: Array) -> tuple[Array, Array]:
    """Unpadded convolution and 2 x 2 max-pooling, [N, H'', W'', F], and the maxima's places (uint8).

    What the pooling would drop is not computed. Tiles of the size of the pooling window never leave the cache.
    """
    images = images[:, *_pooled_window(images, kernel)]
    if _has_tiles(kernel.shape):
        tiles = winograd.kernel_tiles(kernel)
        return _in_blocks(
            lambda images: (pooling.largest(lax.optimization_barrier(winograd.output_tiles(images, tiles))), ()),
            (images,),
            _tiles_bytes(_output_size(images.shape, kernel.shape, 1, _NO_PADS), kernel),
        )[0]
    if kernel.shape[0] * kernel.shape[1] * kernel.shape[2] <= _FEW_PRODUCTS:
        return _in_blocks(
            lambda images: (pooling.largest(_shifted_products(images, kernel)), ()),
            (images,),
            _shifted_bytes(images, kernel),
        )[0]
    return pooling.largest(pooling.members(convolve(images, kernel, 1, _NO_PADS), 2))


def pooled_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
    """The gradients of `convolve_and_pool` for images and kernel, given the one for the pooled outputs."""
    whole, images = images, images[:, *_pooled_window(images, kernel)]
    if _has_tiles(kernel.shape):
        images_gradient, kernel_gradient = _pooled_tiles_gradients(images, kernel, place, gradient)
    elif kernel.shape[0] * kernel.shape[1] * kernel.shape[2] <= _FEW_PRODUCTS:
        images_gradient, kernel_gradient = _pooled_patches_gradients(images, kernel, place, gradient)
    else:
        outputs = pooling.interleaved(pooling.shares(gradient, place, 4), 2)
        images_gradient, kernel_gradient = gradients(images, kernel, outputs, 1, _NO_PADS)
    dropped = [(0, whole.shape[axis] - images.shape[axis]) for axis in (1, 2)]
    return _padded(images_gradient, dropped), kernel_gradient


def _pooled_window(images: Array, kernel: Array) -> tuple[slice, slice]:
    """The rows and columns of the images that reach the pooled outputs."""
    height, width = _output_size(images.shape, kernel.shape, 1, _NO_PADS)
    return slice(height // 2 * 2 + kernel.shape[0] - 1), slice(width // 2 * 2 + kernel.shape[1] - 1)


def _pooled_tiles_gradients(images: Array, kernel: Array, place: Array, gradient: Array) -> tuple[Array, Array]:
    tiles = winograd.kernel_tiles(kernel)
    images_gradient, kernel_tiles = _in_blocks(
        lambda images, place, gradient: winograd.tile_gradients(images, tiles, pooling.shares(gradient, place, 4)),
        (images, place, gradient),
        _tiles_bytes(_output_size(images.shape, kernel.shape, 1, _NO_PADS), kernel),
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
    return lax.optimization_barrier(_patches(images, (kernel.shape[0] + 1, kernel.shape[1] + 1), 2))


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
        images_gradient, _ = _direct_gradients(images, kernel, outputs, 1, _NO_PADS)
        return images_gradient, product(flat(_shifted_patches(images, kernel)), lax.concatenate(members, 1), 0, 0)

    size = _shifted_bytes(images, kernel)
    images_gradient, shifted = _in_blocks(block, (images, place, gradient), size)
    back = jax.linear_transpose(_shifted_kernels, kernel)
    shape = (kernel.shape[0] + 1, kernel.shape[1] + 1, kernel.shape[2], 4, kernel.shape[3])
    return images_gradient, back(shifted.reshape(shape))[0]
