"""Work on a few images at a time, so that intermediate values stay in the processor's cache."""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

BLOCK_BYTES = 8 * 2**20


def in_blocks(
    function: Callable, arrays: tuple[Array, ...], bytes_per_image: int, block_bytes: int = BLOCK_BYTES
) -> Any:
    """Calls function(*arrays) -> (values per image, sums over images) on as many images at a time as the cache holds.

    A block takes every k-th image, so that a batch that is split over devices stays on its devices.
    """
    batch = arrays[0].shape[0]
    least = max(1, ceil(batch * bytes_per_image / block_bytes))
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
