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
from jax.sharding import PartitionSpec, Sharding

from cnn_jax import compilation
from cnn_jax.studies.benchmark import timing
from cnn_jax.training.mesh import by_data, make_mesh

_REPEATS = 5
_PRODUCT_SECONDS = 0.05  # a product that takes longer than this is large enough
_LARGEST_MATRIX = 16_384
_COPIED_BYTES = 2**28  # far more than caches hold


@dataclass(frozen=True)
class DevicePeaks:
    """The best rates of all devices: multiply-adds per second of matrix products, bytes per second read and written."""

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
    """The best rates of all devices together, each at work on a square matrix or a large array of its own.

    Products of this dtype, and copies, for about `seconds` each.
    """
    best, size, taken, devices = 0.0, 512, 0.0, len(jax.devices())
    while taken < _PRODUCT_SECONDS and size <= _LARGEST_MATRIX:
        taken = _product_seconds(size, dtype, matmul_precision, seconds)
        best, size = max(best, devices * size**3 / taken), 2 * size
    # The devices of a CPU are parts of one, with one memory.
    array_bytes = _COPIED_BYTES // (devices if jax.default_backend() == "cpu" else 1)
    return DevicePeaks(best, devices * 2 * array_bytes / _copy_seconds(array_bytes, seconds))


def _product_seconds(size: int, dtype: str, matmul_precision: str, seconds: float) -> float:
    mesh = make_mesh()
    matrices = _filled((len(jax.devices()) * size, size), 1 / size, dtype, by_data(mesh))

    def products(matrix: jax.Array, count: jax.Array) -> jax.Array:
        # Each product needs the one before it, so that XLA cannot leave any out.
        return lax.fori_loop(0, count, lambda _, product: matrix @ product, matrix)

    specs = by_data(mesh).spec, PartitionSpec()
    on_each = jax.shard_map(products, mesh=mesh, in_specs=specs, out_specs=specs[0])
    with jax.default_matmul_precision(matmul_precision):
        program, _ = compilation.compiled(compilation.jit(on_each), matrices, 1)
    return _least_seconds(lambda count: program(matrices, count), seconds)


def _copy_seconds(array_bytes: int, seconds: float) -> float:
    """Seconds in which each device reads and writes such an array once.

    It is written in place: the system takes time to give new memory.
    """
    arrays = _filled((len(jax.devices()) * array_bytes // 4,), 1.0, "float32", by_data(make_mesh()))
    program, _ = compilation.compiled(compilation.jit(jnp.negative, donate_argnums=0), arrays)

    def copies(count: int) -> jax.Array:
        nonlocal arrays
        for _ in range(count):
            arrays = program(arrays)
        return arrays

    return _least_seconds(copies, seconds)


def _filled(shape: tuple[int, ...], value: float, dtype: str, sharding: Sharding) -> jax.Array:
    """An array of equal numbers that is made on the devices."""
    make = compilation.jit(lambda: jnp.full(shape, value, dtype), runs_once=True, out_shardings=sharding)
    filled: jax.Array = make()
    return filled


def _least_seconds(call: Callable[[int], object], seconds: float) -> float:
    """Seconds of one part of a call that takes the number of parts, in the fastest of some repeats."""
    parts = timing.calibrate(call, seconds=seconds / _REPEATS, at_most=1000)
    return min(timing.time_once(lambda: call(parts)) for _ in range(_REPEATS)) / parts
