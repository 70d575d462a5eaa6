"""The roofline: the device's peaks, which of them limits a piece of work, and how close the work comes to it.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009), with multiply-adds as the
unit of work. The peaks are measured: products of large matrices, and copies of memory.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
class DevicePeaks:
    """The best rates of a device: multiply-adds per second of matrix products, bytes per second read and written."""

    multiply_adds_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Work:
    """A measured piece of work: its multiply-adds by definition, the fewest bytes it must move, its seconds."""

    name: str
    multiply_adds: int
    moved_bytes: int
    seconds: float


def compare(work: Work, peaks: DevicePeaks) -> dict[str, Any]:
    """The work and its rates, and the peak that limits it, as in the record.

    bound: `compute` or `memory`. share: how much of this peak the work reaches. verdict: the share in words.
    """
    compute = work.multiply_adds / peaks.multiply_adds_per_second
    memory = work.moved_bytes / peaks.bytes_per_second
    bound, share = "compute" if compute > memory else "memory", max(compute, memory) / work.seconds
    return dataclasses.asdict(work) | {
        "multiply_adds_per_byte": work.multiply_adds / work.moved_bytes,
        "multiply_adds_per_second": work.multiply_adds / work.seconds,
        "bound": bound,
        "share": share,
        "verdict": _verdict(bound, share),
    }


def _verdict(bound: str, share: float) -> str:
    if share > 1 and bound == "compute":
        return "above the bound: fewer multiplications than in the definition"
    if share > 1:
        return "above the bound: the data stay in the cache"
    if share >= 0.7:
        return f"near the {bound} bound"
    if share >= 0.3:
        return f"below the {bound} bound"
    return f"far below the {bound} bound: mostly other work or waiting"


def measure_peaks(dtype: str, matmul_precision: str, *, seconds: float) -> DevicePeaks:
    """Measures square matrix products of this dtype, and copies, for about `seconds` each, and keeps the best rates."""
    best, size, taken = 0.0, 512, 0.0
    while taken < _PRODUCT_SECONDS and size <= _LARGEST_MATRIX:
        taken = _product_seconds(size, dtype, matmul_precision, seconds)
        best, size = max(best, size**3 / taken), 2 * size
    return DevicePeaks(best, 2 * _COPIED_BYTES / _copy_seconds(seconds))


def _product_seconds(size: int, dtype: str, matmul_precision: str, seconds: float) -> float:
    matrix = jnp.full((size, size), 1 / size, dtype)

    def products(matrix: jax.Array, count: jax.Array) -> jax.Array:
        # Each product needs the one before it, so that XLA cannot leave any out.
        return lax.fori_loop(0, count, lambda _, product: matrix @ product, matrix)

    with jax.default_matmul_precision(matmul_precision):
        program, _ = compilation.compiled(compilation.jit(products), matrix, 1)
    return _least_seconds(lambda count: program(matrix, count), seconds)


def _copy_seconds(seconds: float) -> float:
    """Seconds to read and write an array once. It is written in place: the system takes time to give new memory."""
    array = jnp.ones(_COPIED_BYTES // 4, jnp.float32)
    program, _ = compilation.compiled(compilation.jit(jnp.negative, donate_argnums=0), array)

    def copies(count: int) -> jax.Array:
        nonlocal array
        for _ in range(count):
            array = program(array)
        return array

    return _least_seconds(copies, seconds)


def _least_seconds(call: Callable[[int], object], seconds: float) -> float:
    """Seconds of one part of a call that takes the number of parts, in the fastest of some repeats."""
    parts = timing.calibrate(call, seconds=seconds / _REPEATS, at_most=1000)
    return min(timing.time_once(lambda: call(parts)) for _ in range(_REPEATS)) / parts
