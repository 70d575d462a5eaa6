"""Convolution and its gradients in the forms that XLA's CPU backend runs fast, also inside a compiled loop.

`operators.py` calls these functions on a CPU. There are four forms; shapes decide which is used, and the results are
equal within float32 rounding:

  tiles     3 x 3 kernels: Winograd's minimal filtering, 2.25 to 4 products where the definition needs 9
  patches   small inputs: every window copied to a row, then one matrix product
  shifts    one filter for each channel: shifted images, each times one number of the filter
  direct    everything else: XLA's convolution, with gradients that are written as plain NHWC convolutions

A kernel with fewer channels than the images is one for groups of them. Tiles and patches work on blocks of images whose
intermediate values stay in the processor's cache. Optimization barriers hold what is read more than once: XLA would
otherwise recompute it inside of every reader. Numbers: docs/performance.md.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from math import ceil, prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import pooling, winograd
from cnn_jax.ops.blocks import in_blocks
from cnn_jax.ops.winograd import flat, product

Padding = tuple[tuple[int, int], tuple[int, int]]

# Gradients add over all images: in fewer blocks these sums are written fewer times.
GRADIENT_BLOCK_BYTES = 64 * 2**20

NO_PADS = ((0, 0), (0, 0))
Finish = Callable[[Array], Array]  # bias and ReLU; they may be applied to parts of the outputs, [..., F]
Gradients = tuple[Array, Array, Array]  # for images, kernel and bias

_NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    pads: Padding = NO_PADS,
    relu: bool = False,
) -> Array:
    """Cross-correlation, plus a bias [F], and a ReLU: [N, H, W, C] and [KH, KW, C / groups, F] to [N, H', W', F]."""
    form, _ = _chosen(images.shape, kernel.shape, stride, pads)
    return form(images, kernel, stride, pads, partial(finished, bias=bias, relu=relu))


def finished(outputs: Array, bias: Array | None, *, relu: bool) -> Array:
    """The outputs, or a part of them [..., F], plus a bias [F], and a ReLU."""
    if bias is not None:
        outputs = outputs + bias.reshape((1,) * (outputs.ndim - 1) + (-1,))
    return jnp.maximum(outputs, 0) if relu else outputs


def gradients(images: Array, kernel: Array, gradient: Array, *, stride: int = 1, pads: Padding = NO_PADS) -> Gradients:
    """The gradients for images, kernel and bias [F], given the one for what is before the ReLU of `convolve`."""
    _, form = _chosen(images.shape, kernel.shape, stride, pads)
    return form(images, kernel, gradient, stride, pads)


def bias_gradient(gradient: Array) -> Array:
    """The sum over all but the last axis. Of a matrix it takes XLA a tenth of the time that it takes of four axes."""
    return jnp.sum(lax.optimization_barrier(flat(gradient)), 0)


def _chosen(images: tuple[int, ...], kernel: tuple[int, ...], stride: int, pads: Padding) -> tuple[Callable, Callable]:
    if kernel[2] != images[3]:
        is_depthwise = kernel[2] == 1 and kernel[3] == images[3]
        return (_convolve_shifts, _shifts_gradients) if is_depthwise else (_convolve_directly, _stock_gradients)
    if not isinstance(images[0], int):  # an exported program is for any number of images: no blocks can be cut
        return _convolve_directly, direct_gradients
    height, width = output_size(images, kernel, stride, pads)
    products = tiles_numbers((height, width), best_tiles((height, width)))
    if has_tiles(kernel) and stride == 1 and products < 0.6 * 9 * height * width:
        return _convolve_tiles, _tiles_gradients
    if not has_few_products(kernel) and 4 * height * width * prod(kernel[:3]) > 60 * 1024:
        return _convolve_directly, direct_gradients
    # With many features, or a single window, only the gradients of XLA's form are slower.
    has_many_features = has_few_products(kernel) and prod(kernel) > 2048
    is_direct = has_many_features or height * width == 1
    return _convolve_directly if is_direct else _convolve_patches, _patches_gradients


def has_tiles(kernel: tuple[int, ...]) -> bool:
    """Whether tiles are worth it: with fewer channels the transforms cost more than the products that they save."""
    return kernel[:2] == (3, 3) and min(kernel[2:]) >= 16 and prod(kernel[2:]) >= 512


def best_tiles(outputs: tuple[int, int]) -> int:
    """The size of the tiles that need the fewest products for outputs of this height and width."""
    return min(winograd.SIZES, key=lambda size: tiles_numbers(outputs, size))


def has_few_products(kernel: tuple[int, ...]) -> bool:
    """Whether a window has so few products that copying the windows is faster than XLA's convolution."""
    return prod(kernel[:3]) <= 32


def output_size(images: tuple[int, ...], kernel: tuple[int, ...], stride: int, pads: Padding) -> tuple[int, int]:
    """Height and width of the outputs for these shapes."""
    height, width = (max(0, (images[axis + 1] + sum(pads[axis]) - kernel[axis]) // stride + 1) for axis in (0, 1))
    return height, width


def padded_images(images: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """Zeros around the images; a negative number crops."""
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


# Direct ---------------------------------------------------------------------------------------------------------------


def _itself(outputs: Array) -> Array:
    return outputs


def _convolve_directly(images: Array, kernel: Array, stride: int, pads: Padding, finish: Finish = _itself) -> Array:
    groups = images.shape[3] // kernel.shape[2]
    return finish(
        lax.conv_general_dilated(
            images, kernel, (stride, stride), pads, dimension_numbers=_NHWC, feature_group_count=groups
        )
    )


def _stock_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Gradients:
    backward = jax.vjp(partial(_convolve_directly, stride=stride, pads=pads), images, kernel)[1]
    return *backward(gradient), bias_gradient(gradient)


def direct_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Gradients:
    """Both gradients as plain NHWC convolutions; in the kernel's, channels and images of the batch change their roles.

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section 4.
    """
    images, gradient = lax.optimization_barrier((images, gradient))
    before = [low for low, _ in pads]
    spread = [(size - 1) * stride + 1 for size in gradient.shape[1:3]]
    margins = _gradient_margins(images, kernel, gradient, stride, pads)
    turned = lax.rev(kernel, (0, 1)).swapaxes(2, 3)
    images_gradient = lax.conv_general_dilated(
        gradient, turned, (1, 1), margins, lhs_dilation=(stride, stride), dimension_numbers=_NHWC
    )
    kernel_margins = [
        (before[axis], kernel.shape[axis] - 1 + spread[axis] - images.shape[axis + 1] - before[axis]) for axis in (0, 1)
    ]
    kernel_gradient = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        kernel_margins,
        rhs_dilation=(stride, stride),
        dimension_numbers=_NHWC,
    )
    return images_gradient, kernel_gradient.transpose(1, 2, 0, 3), bias_gradient(gradient)


def _gradient_margins(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Padding:
    """The zeros around the outputs' gradient, spread by the stride, from which the images' is computed."""
    (top, bottom), (left, right) = (
        (
            kernel.shape[axis] - 1 - pads[axis][0],
            images.shape[axis + 1] - (gradient.shape[axis + 1] - 1) * stride - 1 + pads[axis][0],
        )
        for axis in (0, 1)
    )
    return (top, bottom), (left, right)


# Shifts ---------------------------------------------------------------------------------------------------------------


def _convolve_shifts(images: Array, kernel: Array, stride: int, pads: Padding, finish: Finish = _itself) -> Array:
    shifted = window_views(lax.optimization_barrier(padded_images(images, pads)), kernel.shape[:2], stride)
    return finish(reduce(jnp.add, map(jnp.multiply, shifted, kernel.reshape(-1, 1, 1, 1, kernel.shape[3]))))


def _shifts_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Gradients:
    images, gradient = lax.optimization_barrier((images, gradient))
    (top, bottom), (left, right) = _gradient_margins(images, kernel, gradient, stride, pads)
    margins = ((0, 0, 0), (top, bottom, stride - 1), (left, right, stride - 1), (0, 0, 0))
    spread = lax.pad(gradient, jnp.zeros((), gradient.dtype), margins)
    images_gradient = _convolve_shifts(spread, lax.rev(kernel, (0, 1)), 1, NO_PADS)
    shifted = window_views(lax.optimization_barrier(padded_images(images, pads)), kernel.shape[:2], stride)
    # Inside a loop XLA runs a reduction on one core; these additions of rows are element-wise, and run on all.
    rows = range(gradient.shape[1])
    added = [reduce(jnp.add, [view[:, row] * gradient[:, row] for row in rows]) for view in shifted]
    kernel_gradient = jnp.stack([jnp.sum(row, (0, 1)) for row in lax.optimization_barrier(added)])
    return images_gradient, kernel_gradient.reshape(kernel.shape), bias_gradient(gradient)


# Patches --------------------------------------------------------------------------------------------------------------


def window_rows(images: Array, size: tuple[int, ...], stride: int) -> Array:
    """Every window as a row: [N, H, W, C] to [N, H', W', KW * KH * C]. `in_rows` gives the kernel that order.

    Rows of pixels first, then columns: XLA copies small pieces one number at a time.
    """
    images = lax.optimization_barrier(images)
    high = lax.optimization_barrier(_windows_along(images, 1, size[0], stride))
    return _windows_along(high, 2, size[1], stride)


def _windows_along(images: Array, axis: int, size: int, stride: int) -> Array:
    """Puts the members of every window along an axis side by side, as channels."""
    end = images.shape[axis] - size + 1
    return lax.concatenate([lax.slice_in_dim(images, at, at + end, stride, axis) for at in range(size)], 3)


def in_rows(kernel: Array) -> Array:
    """A kernel [KH, KW, C, F] as the matrix [KW * KH * C, F] that the rows of `window_rows` are multiplied with."""
    return flat(lax.transpose(kernel, (1, 0, 2, 3)))


def window_views(images: Array, size: tuple[int, ...], stride: int) -> list[Array]:
    """The members of every window, in row-major order: size[0] * size[1] views [N, H', W', C]."""
    batch, height, width, channels = images.shape
    bottom, right = height - size[0] + 1, width - size[1] + 1
    return [
        lax.slice(images, (0, row, column, 0), (batch, row + bottom, column + right, channels), (1, stride, stride, 1))
        for row in range(size[0])
        for column in range(size[1])
    ]


def _patches_bytes(images: Array, kernel: Array, stride: int, pads: Padding) -> int:
    height, width = output_size(images.shape, kernel.shape, stride, pads)
    return 4 * height * width * max(prod(kernel.shape[:3]), kernel.shape[3])


def _convolve_patches(images: Array, kernel: Array, stride: int, pads: Padding, finish: Finish) -> Array:
    def block(images: Array) -> tuple[Array, tuple]:
        patches = window_rows(padded_images(images, pads), kernel.shape[:2], stride)
        return finish(product(flat(patches), in_rows(kernel))).reshape(*patches.shape[:3], -1), ()

    return in_blocks(block, (images,), _patches_bytes(images, kernel, stride, pads))[0]


def _patches_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Gradients:
    def block(images: Array, gradient: Array) -> tuple[Array, Array]:
        padded = padded_images(images, pads)
        rows = partial(window_rows, size=kernel.shape[:2], stride=stride)
        # One column for each pixel of the window: its gradient is added where the pixel was read.
        columns = product(flat(gradient), in_rows(kernel), 1, 1).reshape(*gradient.shape[:3], -1)
        (of_padded,) = jax.linear_transpose(rows, padded)(columns)
        outside = [(-low, -high) for low, high in pads]
        return padded_images(of_padded, outside), product(flat(rows(padded)), flat(gradient), 0, 0)

    size = _patches_bytes(images, kernel, stride, pads)
    images_gradient, rows_gradient = in_blocks(block, (images, gradient), size)
    (kernel_gradient,) = jax.linear_transpose(in_rows, kernel)(rows_gradient)
    return images_gradient, kernel_gradient, bias_gradient(gradient)


def tiles_bytes(images: Array, kernel: Array, pads: Padding, size: int) -> int:
    """Bytes of the largest intermediate value for one image: the products of its tiles, or the transformed tiles."""
    outputs = output_size(images.shape, kernel.shape, 1, pads)
    return 4 * tiles_numbers(outputs, size) * max(kernel.shape[2:])


def tiles_numbers(outputs: tuple[int, int], size: int) -> int:
    """The products of one channel and one filter for an image, in tiles of size x size outputs."""
    return prod(ceil(length / size) for length in outputs) * (size + 2) ** 2


def _in_tiles(images: Array, kernel: Array, pads: Padding) -> tuple[int, Padding, tuple[int, int]]:
    """The tiles' size, the padding with which they cover the outputs, and the zeros that it adds at the end."""
    outputs = output_size(images.shape, kernel.shape, 1, pads)
    size = best_tiles(outputs)
    rows, columns = (-length % size for length in outputs)
    (top, bottom), (left, right) = pads
    return size, ((top, bottom + rows), (left, right + columns)), (rows, columns)


def _convolve_tiles(images: Array, kernel: Array, stride: int, pads: Padding, finish: Finish) -> Array:
    size, covering, rest = _in_tiles(images, kernel, pads)
    tiles = winograd.kernel_tiles(kernel, size)

    def block(images: Array) -> tuple[Array, tuple]:
        outputs = winograd.outputs(padded_images(images, covering), tiles, finish)
        return padded_images(outputs, [(0, -more) for more in rest]), ()

    return in_blocks(block, (images,), tiles_bytes(images, kernel, pads, size))[0]


def _tiles_gradients(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Gradients:
    size, covering, rest = _in_tiles(images, kernel, pads)
    tiles = winograd.kernel_tiles(kernel, size)

    def block(images: Array, gradient: Array) -> tuple[Array, Any]:
        members = lax.optimization_barrier(pooling.members(padded_images(gradient, [(0, more) for more in rest]), size))
        padded_gradient, *sums = winograd.gradients(padded_images(images, covering), tiles, members)
        return padded_images(padded_gradient, [(-low, -high) for low, high in covering]), tuple(sums)

    bytes_per_image = tiles_bytes(images, kernel, pads, size)
    images_gradient, sums = in_blocks(block, (images, gradient), bytes_per_image, GRADIENT_BLOCK_BYTES)
    return images_gradient, winograd.kernel_gradient(sums[0]), sums[1]
