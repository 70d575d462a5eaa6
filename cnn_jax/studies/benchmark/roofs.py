"""What this device can do at best, measured on the spot: products of large matrices, and copying memory."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from cnn_jax import compilation
from cnn_jax.studies.benchmark import timing

_REPEATS = 5
_PRODUCT_SECONDS = 0.05  # a product that takes longer than this is large enough
_LARGEST_MATRIX = 16_384
_COPIED_BYTES = 2**28  # far more than caches hold


@dataclass(frozen=True)
class Roofs:
    """Multiply-adds a second of matrix products, and bytes a second read and written together."""

    multiply_adds_per_second: float
    bytes_per_second: float


def measure(dtype: str, matmul_precision: str, *, seconds: float) -> Roofs:
    """The best that products of square matrices of this dtype, and copies, reached in about so many seconds each."""
    best, size, taken = 0.0, 512, 0.0
    while taken < _PRODUCT_SECONDS and size <= _LARGEST_MATRIX:
        taken = _product_seconds(size, dtype, matmul_precision, seconds)
        best, size = max(best, size**3 / taken), 2 * size
    return Roofs(best, 2 * _COPIED_BYTES / _copy_seconds(seconds))


def _product_seconds(size: int, dtype: str, matmul_precision: str, seconds: float) -> float:
    matrix = jnp.full((size, size), 1 / size, dtype)

    def products(matrix: jax.Array, count: jax.Array) -> jax.Array:
        # Each product waits for the one before, so that none is left out.
        return lax.fori_loop(0, count, lambda _, product: matrix @ product, matrix)

    with jax.default_matmul_precision(matmul_precision):
        program, _ = compilation.compiled(compilation.jit(products), matrix, 1)
    return _least_seconds(lambda count: program(matrix, count), seconds)


def _copy_seconds(seconds: float) -> float:
    """Of reading and writing an array once, in place: new memory would cost the system's time too."""
    array = jnp.ones(_COPIED_BYTES // 4, jnp.float32)
    program, _ = compilation.compiled(compilation.jit(jnp.negative, donate_argnums=0), array)

    def copies(count: int) -> jax.Array:
        nonlocal array
        for _ in range(count):
            array = program(array)
        return array

    return _least_seconds(copies, seconds)


def _least_seconds(call: Callable[[int], object], seconds: float) -> float:
    """Seconds of one part of a call that does `count` of them, in the fastest of some repeats."""
    parts = timing.fitting(call, seconds=seconds / _REPEATS, at_most=1000)
    return min(timing.once(lambda: call(parts)) for _ in range(_REPEATS)) / parts
