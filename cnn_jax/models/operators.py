"""Convolution and max-pooling whose gradients stay on the fast kernels of every platform, also inside a compiled loop.

The values and gradients are those of `lax.conv_general_dilated` and of flax's `max_pool`. GPU and TPU run exactly
these. On a CPU the gradients are written differently: XLA brings a convolution into the layout that its fast kernel takes only
outside of loops, and the gradient of max-pooling as autodiff writes it, a select-and-scatter, is a scalar loop.
The platform is chosen when the program is lowered, so nothing has to be configured. Numbers: docs/performance.md.
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import Array, lax

Padding = tuple[tuple[int, int], tuple[int, int]]


def convolution(images: Array, kernel: Array, *, stride: int = 1, padding: str = "VALID") -> Array:
    """Cross-correlates images with a kernel, as every deep-learning library's "convolution" does.

    images: float [N, H, W, C]. kernel: the same dtype, [KH, KW, C, F]. padding: "VALID", or "SAME" (zeros, as in
    TensorFlow). Returns [N, H', W', F]. First derivatives in reverse mode only.
    """
    pads = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (stride, stride), padding)
    (top, bottom), (left, right) = pads
    return _convolution(images, kernel, stride, ((top, bottom), (left, right)))


def max_pool(images: Array, *, window: int = 2) -> Array:
    """The largest value of each window x window square; an odd last row or column is left out, as in Keras.

    images: float [N, H, W, C]. Returns [N, H // window, W // window, C]. A NaN reaches the output. The gradient of a
    window goes to its maximum, to the first in row-major order where several are equal, as in XLA's
    select-and-scatter. First derivatives in reverse mode only.
    """
    return _max_pool(images, window)


def _stock_convolution(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    return lax.conv_general_dilated(images, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    return _stock_convolution(images, kernel, stride, pads)


def _convolution_forward(images: Array, kernel: Array, stride: int, pads: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _convolution(images, kernel, stride, pads), (images, kernel)


def _convolution_backward(
    stride: int, pads: Padding, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    """Two separate choices, so that the compiler drops the images' gradient where nobody asks for it."""
    images, kernel = saved

    def stock_images_gradient(images: Array, kernel: Array, gradient: Array) -> Array:
        return jax.vjp(lambda images: _stock_convolution(images, kernel, stride, pads), images)[1](gradient)[0]

    def stock_kernel_gradient(images: Array, kernel: Array, gradient: Array) -> Array:
        return jax.vjp(lambda kernel: _stock_convolution(images, kernel, stride, pads), kernel)[1](gradient)[0]

    operands = (images, kernel, gradient)
    return (
        lax.platform_dependent(
            *operands, cpu=partial(_images_gradient, stride=stride, pads=pads), default=stock_images_gradient
        ),
        lax.platform_dependent(
            *operands, cpu=partial(_kernel_gradient, stride=stride, pads=pads), default=stock_kernel_gradient
        ),
    )


_convolution.defvjp(_convolution_forward, _convolution_backward)


def _images_gradient(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Array:
    """The gradient for the images as a plain NHWC convolution of the (spread) output gradient with the turned kernel.

    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section 4.
    """

    def margin(axis: int) -> tuple[int, int]:
        before, _ = pads[axis]
        spread = (gradient.shape[axis + 1] - 1) * stride + 1
        return kernel.shape[axis] - 1 - before, images.shape[axis + 1] - spread + before

    return lax.conv_general_dilated(
        gradient,
        lax.rev(kernel, (0, 1)).swapaxes(2, 3),
        (1, 1),
        (margin(0), margin(1)),
        lhs_dilation=(stride, stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _kernel_gradient(images: Array, kernel: Array, gradient: Array, stride: int, pads: Padding) -> Array:
    """The gradient for the kernel as a plain NHWC convolution: channels as the batch, images as channels."""

    def margin(axis: int) -> tuple[int, int]:
        before, _ = pads[axis]
        spread = (gradient.shape[axis + 1] - 1) * stride + 1
        return before, kernel.shape[axis] - 1 + spread - images.shape[axis + 1] - before

    turned = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        (margin(0), margin(1)),
        rhs_dilation=(stride, stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return turned.transpose(1, 2, 0, 3)


def _stock_max_pool(images: Array, window: int) -> Array:
    square = (1, window, window, 1)
    return lax.reduce_window(images, -jnp.inf, lax.max, square, square, "VALID")


def _corners(images: Array, window: int) -> list[Array]:
    """The members of every window as strided views [N, H // window, W // window, C], in row-major order."""
    _, height, width, _ = images.shape
    last_row, last_column = height // window * window, width // window * window
    return [
        images[:, row:last_row:window, column:last_column:window] for row in range(window) for column in range(window)
    ]


def _max_of_corners(images: Array, window: int) -> Array:
    return reduce(jnp.maximum, _corners(images, window))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(images: Array, window: int) -> Array:
    return lax.platform_dependent(
        images, cpu=partial(_max_of_corners, window=window), default=partial(_stock_max_pool, window=window)
    )


def _max_pool_forward(images: Array, window: int) -> tuple[Array, tuple[Array, Array]]:
    pooled = _max_pool(images, window)
    return pooled, (images, pooled)


def _max_pool_backward(window: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    def stock(images: Array, pooled: Array, gradient: Array) -> Array:
        return jax.vjp(partial(_stock_max_pool, window=window), images)[1](gradient)[0]

    compare = partial(_gradient_by_comparison, window=window)
    return (lax.platform_dependent(*saved, gradient, cpu=compare, default=stock),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _gradient_by_comparison(images: Array, pooled: Array, gradient: Array, window: int) -> Array:
    """Each window's gradient at its first member that is not below the maximum, zero elsewhere."""
    batch, height, width, channels = images.shape
    _, rows, columns, _ = pooled.shape
    free, parts = jnp.ones_like(pooled, bool), []
    for corner in _corners(images, window):
        # "not below" instead of "equal": a window whose maximum is NaN then passes its gradient on as well.
        hit = free & ~(corner < pooled)
        free = free & ~hit
        parts.append(jnp.where(hit, gradient, jnp.zeros_like(gradient)))
    lines = [
        jnp.stack(parts[first : first + window], 3).reshape(batch, rows, 1, columns * window, channels)
        for first in range(0, window * window, window)
    ]
    whole = jnp.concatenate(lines, 2).reshape(batch, rows * window, columns * window, channels)
    return jnp.pad(whole, ((0, 0), (0, height - rows * window), (0, width - columns * window), (0, 0)))
