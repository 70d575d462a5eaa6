"""Convolution and max-pooling that are fast on a CPU, also inside a compiled loop; elsewhere they are XLA's own.

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

from cnn_jax.ops import pooling
from cnn_jax.ops.convolution import NO_PADS, Padding, convolve, finished, gradients
from cnn_jax.ops.convolution_pooling import convolve_and_pool, pooled_gradients


def convolution(
    images: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    groups: int = 1,
    relu: bool = False,
) -> Array:
    """Cross-correlates images with a kernel, as every deep-learning library's "convolution" does.

    images: float [N, H, W, C]. kernel: the same dtype, [KH, KW, C / groups, F]; each group of channels gives F / groups
    of the features. bias: the same dtype, [F], is added. padding: "VALID", "SAME" (zeros, as in TensorFlow), or the
    zeros before and after rows and columns. relu: negative outputs become 0; the gradient of 0 is 0, as in `nn.relu`.
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
    return _convolution(images, kernel, bias, stride, ((top, bottom), (left, right)), relu)


def max_pool(images: Array, *, window: int = 2) -> Array:
    """The largest value of each window x window square; an odd last row or column is left out, as in Keras.

    images: float [N, H, W, C]. Returns [N, H // window, W // window, C]. A NaN reaches the output. The gradient of a
    window goes to its maximum, to the first in row-major order where several are equal, as in XLA's
    select-and-scatter. Only first derivatives in reverse mode are defined.
    """
    return _max_pool(images, window)


def convolution_max_pool(images: Array, kernel: Array, bias: Array | None = None, *, relu: bool = False) -> Array:
    """`max_pool(convolution(images, kernel, bias, relu=relu))` in one piece: what the pooling drops is never computed.

    Bias and ReLU come after the pooling, on a quarter of the numbers: both keep the order, so the values are the same.
    images: float [N, H, W, C]. kernel: [KH, KW, C, F]. bias: [F]. Returns [N, (H - KH + 1) // 2, (W - KW + 1) // 2, F].
    """
    return _convolution_max_pool(images, kernel, bias, relu)


def _in_float32(function: Callable, *operands: Array | None) -> Any:
    """Calls with at least float32, so that no intermediate value has less; results keep the operands' dtype."""
    dtype = jax.tree.leaves(operands)[0].dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    narrow = partial(_cast, of=wide, to=dtype)
    widened = jax.tree.map(partial(_cast, of=dtype, to=wide), operands)
    return jax.tree.map(narrow, function(*widened))


def _cast(array: Array, *, of: jnp.dtype, to: jnp.dtype) -> Array:
    return array.astype(to) if array.dtype == of else array


def _stock_convolution(images: Array, kernel: Array, stride: int, pads: Padding) -> Array:
    layout, groups = ("NHWC", "HWIO", "NHWC"), images.shape[3] // kernel.shape[2]
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), pads, dimension_numbers=layout, feature_group_count=groups
    )


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _convolution(images: Array, kernel: Array, bias: Array | None, stride: int, pads: Padding, relu: bool) -> Array:
    def fast(images: Array, kernel: Array, bias: Array | None) -> Array:
        return _in_float32(partial(convolve, stride=stride, pads=pads, relu=relu), images, kernel, bias)

    def stock(images: Array, kernel: Array, bias: Array | None) -> Array:
        return finished(_stock_convolution(images, kernel, stride, pads), bias, relu=relu)

    return lax.platform_dependent(images, kernel, bias, cpu=fast, default=stock)


def _convolution_forward(
    images: Array, kernel: Array, bias: Array | None, stride: int, pads: Padding, relu: bool
) -> tuple[Array, tuple[Array | None, ...]]:
    outputs = _convolution(images, kernel, bias, stride, pads, relu)
    return outputs, (images, kernel, bias, outputs if relu else None)


def _convolution_backward(
    stride: int, pads: Padding, relu: bool, saved: tuple[Array, ...], gradient: Array
) -> tuple[Array, Array, Array | None]:
    images, kernel, bias, outputs = saved

    def fast(images: Array, kernel: Array, gradient: Array) -> tuple[Array, Array, Array]:
        return _in_float32(partial(gradients, stride=stride, pads=pads), images, kernel, gradient)

    def stock(images: Array, kernel: Array, gradient: Array) -> tuple[Array, Array, Array]:
        backward = jax.vjp(partial(_stock_convolution, stride=stride, pads=pads), images, kernel)[1]
        return *backward(gradient), jnp.sum(gradient, (0, 1, 2))

    if relu:
        gradient = jnp.where(outputs > 0, gradient, 0)
    *found, of_bias = lax.platform_dependent(images, kernel, gradient, cpu=fast, default=stock)
    return *found, None if bias is None else of_bias


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


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _convolution_max_pool(images: Array, kernel: Array, bias: Array | None, relu: bool) -> Array:
    return _convolution_max_pool_forward(images, kernel, bias, relu)[0]


def _convolution_max_pool_forward(
    images: Array, kernel: Array, bias: Array | None, relu: bool
) -> tuple[Array, tuple[Array | None, ...]]:
    whole = jax.eval_shape(partial(_stock_convolution, stride=1, pads=NO_PADS), images, kernel)

    def fast(images: Array, kernel: Array, bias: Array | None) -> tuple[Array, Array, Array]:
        outputs, place = _in_float32(partial(convolve_and_pool, relu=relu), images, kernel, bias)
        return outputs, place, jnp.zeros(whole.shape, whole.dtype)

    def stock(images: Array, kernel: Array, bias: Array | None) -> tuple[Array, Array, Array]:
        unpooled = _stock_convolution(images, kernel, 1, NO_PADS)
        pooled = _stock_max_pool(unpooled, 2)
        return finished(pooled, bias, relu=relu), jnp.zeros(pooled.shape, jnp.uint8), unpooled

    outputs, place, unpooled = lax.platform_dependent(images, kernel, bias, cpu=fast, default=stock)
    return outputs, (images, kernel, bias, outputs, place, unpooled)


def _convolution_max_pool_backward(
    relu: bool, saved: tuple[Array, ...], gradient: Array
) -> tuple[Array, Array, Array | None]:
    images, kernel, bias, *others = saved

    def fast(
        images: Array, kernel: Array, outputs: Array, place: Array, unpooled: Array, gradient: Array
    ) -> tuple[Array, Array, Array]:
        return _in_float32(pooled_gradients, images, kernel, place, gradient)

    def stock(
        images: Array, kernel: Array, outputs: Array, place: Array, unpooled: Array, gradient: Array
    ) -> tuple[Array, Array, Array]:
        if relu:
            gradient = jnp.where(outputs > 0, gradient, 0)
        (of_unpooled,) = jax.vjp(partial(_stock_max_pool, window=2), unpooled)[1](gradient)
        backward = jax.vjp(partial(_stock_convolution, stride=1, pads=NO_PADS), images, kernel)[1]
        return *backward(of_unpooled), jnp.sum(gradient, (0, 1, 2))

    *found, of_bias = lax.platform_dependent(images, kernel, *others, gradient, cpu=fast, default=stock)
    return *found, None if bias is None else of_bias


_convolution_max_pool.defvjp(_convolution_max_pool_forward, _convolution_max_pool_backward)
