"""Batch normalization in training, over the real images of a batch alone, and fast inside a compiled loop too.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift"
(2015). The values are those of `flax.linen.BatchNorm` with a mask, within float32 rounding. XLA's CPU backend runs a
reduction inside a loop on one core, and a matrix product on all: there, sums over a batch are written as products.
"""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
from jax import Array, lax


def batch_norm(x: Array, scale: Array, bias: Array, mask: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Normalizes every channel by its mean and variance over the rows that the mask keeps, and over all positions.

    x: float [N, ..., C]. scale, bias: float32 [C]. mask: bool [N]. Returns the outputs, float32 [N, ..., C], and mean
    and biased variance, float32 [C], through which no gradient flows. Only first derivatives in reverse mode.
    """
    outputs, mean, variance = _batch_norm(x.astype(jnp.float32), scale, bias, mask.astype(jnp.float32), epsilon)
    return outputs, lax.stop_gradient(mean), lax.stop_gradient(variance)


def _sums(x: Array, weights: Array) -> Array:
    """Weighted sums of the channels over everything else: [N, ..., C] and [N] to [C]."""
    rows = x.reshape(x.shape[0], -1, x.shape[-1])

    def as_product(rows: Array, weights: Array) -> Array:
        repeated = jnp.repeat(weights, rows.shape[1])[None]
        return jnp.dot(repeated, rows.reshape(-1, rows.shape[-1]), precision=lax.Precision.HIGHEST)[0]

    def as_sum(rows: Array, weights: Array) -> Array:
        return jnp.sum(rows * weights[:, None, None], axis=(0, 1))

    return lax.platform_dependent(rows, weights, cpu=as_product, default=as_sum)


def _like(channels: Array, x: Array) -> Array:
    """Numbers of the channels, in the form that broadcasts over x."""
    return channels.reshape((1,) * (x.ndim - 1) + (-1,))


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _batch_norm(x: Array, scale: Array, bias: Array, weights: Array, epsilon: float) -> tuple[Array, Array, Array]:
    return _forward(x, scale, bias, weights, epsilon)[0]


def _forward(
    x: Array, scale: Array, bias: Array, weights: Array, epsilon: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    count = jnp.sum(weights) * prod(x.shape[1:-1])
    mean = _sums(x, weights) / count
    # Rounding could make it negative, as in linen.
    variance = jnp.maximum(_sums(x * x, weights) / count - mean * mean, 0.0)
    inverse = lax.rsqrt(variance + epsilon)
    outputs = (x - _like(mean, x)) * _like(inverse * scale, x) + _like(bias, x)
    return (outputs, mean, variance), (x, scale, weights, mean, inverse, count)


def _backward(
    epsilon: float, saved: tuple[Array, ...], gradients: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array, Array]:
    x, scale, weights, mean, inverse, count = saved
    gradient, every = gradients[0], jnp.ones_like(weights)
    bias_gradient = _sums(gradient, every)
    scale_gradient = (_sums(gradient * x, every) - mean * bias_gradient) * inverse
    # The statistics depend on the rows that count alone, and so do their parts of the gradient.
    through_mean, through_variance = bias_gradient / count, inverse * scale_gradient / count
    through_statistics = _like(through_mean, x) + (x - _like(mean, x)) * _like(through_variance, x)
    per_row = weights.reshape((-1,) + (1,) * (x.ndim - 1))
    x_gradient = _like(inverse * scale, x) * (gradient - per_row * through_statistics)
    return x_gradient, scale_gradient, bias_gradient, jnp.zeros_like(weights)


_batch_norm.defvjp(_forward, _backward)
