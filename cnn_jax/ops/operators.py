"""Convolution and max-pooling that are fast on every platform, also inside a compiled loop.

The values and gradients are those of `lax.conv_general_dilated` and of flax's `max_pool`, within float32 rounding. GPU
and TPU run exactly these. On a CPU `convolution.py` and `pooling.py` replace them: XLA brings a convolution into the
layout that its fast kernel takes only outside of loops, and the gradient of max-pooling as autodiff writes it, a
select-and-scatter, is a scalar loop. The platform is chosen when the program is lowered, so nothing has to be
configured. Numbers: docs/performance.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import convolution_pooling, pooling
from cnn_jax.ops.convolution import Padding, convolve, gradients


def convolution(
    images: Array,
    kernel: Array,
    *,
    stride: int = 1,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    groups: int = 1,
) -> Array:
    """Cross-correlates images with a kernel, as every deep-learning library's "convolution" does.

    images: float [N, H, W, C]. kernel: the same dtype, [KH, KW, C / groups, F]; each group of channels gives F / groups
    of the features. padding: "VALID", "SAME" (zeros, as in TensorFlow), or the zeros before and after rows and columns.
    Returns [N, H', W', F]. Only first derivatives in reverse mode are defined. Raises ValueError where the kernel is
    larger than the padded images or has not the channels of a group.
    """
    if kernel.shape[2] * groups != images.shape[3] or kernel.shape[3] % groups:
        raise ValueError(f"a kernel {kernel.shape} is not one for {groups} groups of {images.shape[3]} channels")
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], (stride, stride), padding)
    (top, bottom), (left, right) = padding
    for size, around, window in zip(images.shape[1:3], (top + bottom, left + right), kernel.shape[:2], strict=True):
        if size + around < window:
            raise ValueError(f"a convolution receives images of {images.shape[1:3]} pixels, smaller than its filters")
    return _convolution(images, kernel, stride, ((top, bottom), (left, right)))


def max_pool(images: Array, *, window: int = 2) -> Array:
    """The largest value of each window x window square; an odd last row or column is left out, as in Keras.

    images: float [N, H, W, C]. Returns [N, H // window, W // window, C]. A NaN reaches the output. The gradient of a
    window goes to its maximum, to the first in row-major order where several are equal, as in XLA's
    select-and-scatter. Only first derivatives in reverse mode are defined.
    """
    return _max_pool(images, window)


def convolution_max_pool(images: Array, kernel: Array) -> Array:
    """`max_pool(convolution(images, kernel))` in one piece: what the pooling drops is never computed.

    A bias and a ReLU that follow give the same values as between the two, on a quarter of the numbers: both keep the
    order. images: float [N, H, W, C]. kernel: [KH, KW, C, F]. Returns [N, (H - KH + 1) // 2, (W - KW + 1) // 2, F].
    """
    return _convolution_max_pool(images, kernel)


def _in_float32(function: Callable, *operands: Array) -> Any:
    """Calls with at least float32, so that no intermediate value has less; results keep the operands' dtype."""
    dtype = operands[0].dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    narrow = partial(_cast, of=wide, to=dtype)
    return jax.tree.map(narrow, function(*(_cast(operand, of=dtype, to=wide) for operand in operands)))


def _cast(array: Array, *, of: jnp.dtype, to: jnp.dtype) -> Array:
    return array.astype(to) if array.dtype == of else array


def _stock_convolution(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    layout, groups = ("NHWC", "HWIO", "NHWC"), images.shape[3] // kernel.shape[2]
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), pads, dimension_numbers=layout, feature_group_count=groups
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    def fast(images: Array, kernel: Array) -> Array:
        return _in_float32(partial(convolve, stride=stride, pads=pads), images, kernel)

    stock = partial(_stock_convolution, stride=stride, pads=pads)
    return lax.platform_dependent(images, kernel, cpu=fast, default=stock)


def _convolution_forward(images: Array, kernel: Array, stride: int, pads: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _convolution(images, kernel, stride, pads), (images, kernel)


def _convolution_backward(
    stride: int, pads: Padding, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    def fast(images: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return _in_float32(partial(gradients, stride=stride, pads=pads), images, kernel, gradient)

    def stock(images: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_stock_convolution, stride=stride, pads=pads), images, kernel)[1](gradient)

    return lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


_convolution.defvjp(_convolution_forward, _convolution_backward)


def _stock_max_pool(images: Array, window: int) -> Array:
    square = (1, window, window, 1)
    return lax.reduce_window(images, -jnp.inf, lax.max, square, square, "VALID")


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(images: Array, window: int) -> Array:
    return _max_pool_forward(images, window)[0]


# The gradient needs the images on one platform and the maxima's places on the other. Each hands zeros to the other: the
# compiler drops what is not read.


def _max_pool_forward(images: Array, window: int) -> tuple[Array, tuple[Array, Array]]:
    def fast(images: Array) -> tuple[Array, Array]:
        return pooling.largest(pooling.members(images, window))

    def stock(images: Array) -> tuple[Array, Array]:
        pooled = _stock_max_pool(images, window)
        return pooled, jnp.zeros(pooled.shape, jnp.uint8)

    pooled, place = lax.platform_dependent(images, cpu=fast, default=stock)
    return pooled, (images, place)


def _max_pool_backward(window: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    def fast(images: Array, place: Array, gradient: Array) -> Array:
        return pooling.spread(gradient, place, window, *images.shape[1:3])

    def stock(images: Array, place: Array, gradient: Array) -> Array:
        return jax.vjp(partial(_stock_max_pool, window=window), images)[1](gradient)[0]

    return (lax.platform_dependent(*saved, gradient, cpu=fast, default=stock),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@jax.custom_vjp
def _convolution_max_pool(images: Array, kernel: Array) -> Array:
    return _convolution_max_pool_forward(images, kernel)[0]


def _convolution_max_pool_forward(images: Array, kernel: Array) -> tuple[Array, tuple[Array, ...]]:
    unpadded = ((0, 0), (0, 0))
    whole = jax.eval_shape(partial(_stock_convolution, stride=1, pads=unpadded), images, kernel)

    def fast(images: Array, kernel: Array) -> tuple[Array, Array, Array]:
        pooled, place = _in_float32(convolution_pooling.convolve_and_pool, images, kernel)
        return pooled, place, jnp.zeros(whole.shape, whole.dtype)

    def stock(images: Array, kernel: Array) -> tuple[Array, Array, Array]:
        outputs = _stock_convolution(images, kernel, 1, unpadded)
        pooled = _stock_max_pool(outputs, 2)
        return pooled, jnp.zeros(pooled.shape, jnp.uint8), outputs

    pooled, *saved = lax.platform_dependent(images, kernel, cpu=fast, default=stock)
    return pooled, (images, kernel, *saved)


def _convolution_max_pool_backward(saved: tuple[Array, ...], gradient: Array) -> tuple[Array, Array]:
    def fast(images: Array, kernel: Array, place: Array, outputs: Array, gradient: Array) -> tuple[Array, Array]:
        return _in_float32(convolution_pooling.pooled_gradients, images, kernel, place, gradient)

    def stock(images: Array, kernel: Array, place: Array, outputs: Array, gradient: Array) -> tuple[Array, Array]:
        (gradient,) = jax.vjp(partial(_stock_max_pool, window=2), outputs)[1](gradient)
        return jax.vjp(partial(_stock_convolution, stride=1, pads=((0, 0), (0, 0))), images, kernel)[1](gradient)

    return lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


_convolution_max_pool.defvjp(_convolution_max_pool_forward, _convolution_max_pool_backward)
