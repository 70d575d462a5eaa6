"""Max-pooling as XLA's CPU backend runs it fast: windows are compared member by member, maxima are kept by index.

`operators.py` calls these functions on a CPU. A window's members are numbered in row-major order; the index of
its maximum is a uint8. Here and in `winograd.py` much is written with `lax`: `jnp` takes longer to trace, which is paid
at each start.
"""

from collections.abc import Sequence
from functools import reduce

import jax.numpy as jnp
from jax import Array, lax


def members(images: Array, window: int) -> list[Array]:
    """The members of every window as strided views [N, H // window, W // window, C]; an odd rest is left out."""
    batch, height, width, channels = images.shape
    rows, columns = height // window * window, width // window * window
    end, strides = (batch, rows, columns, channels), (1, window, window, 1)
    return [lax.slice(images, (0, row, column, 0), end, strides) for row in range(window) for column in range(window)]


def largest(values: list[Array]) -> tuple[Array, Array]:
    """The element-wise maximum and the number of the first member that has it (uint8). A NaN reaches the maximum."""
    maximum = reduce(lax.max, values)
    place = lax.full(maximum.shape, len(values) - 1, jnp.uint8)
    for number in reversed(range(len(values) - 1)):
        # "not below" instead of "equal": a window whose maximum is NaN then has a place as well.
        place = lax.select(lax.lt(values[number], maximum), place, lax.full_like(place, number))
    return maximum, place


def shares(gradient: Array, place: Array, count: int) -> list[Array]:
    """The part of the maximum's gradient that each of `count` members receives: all of it or zero.

    Of a gradient that is not finite, the other members receive NaN.
    """
    place = lax.convert_element_type(place, jnp.int32)

    def share(number: int) -> Array:
        # 1 where the place is this number, else 0. XLA makes a comparison a branch, which is often guessed wrong.
        apart = lax.sub(place, lax.full_like(place, number))
        is_there = lax.max(lax.sub(lax.full_like(apart, 1), lax.mul(apart, apart)), lax.full_like(apart, 0))
        return lax.mul(gradient, lax.convert_element_type(is_there, gradient.dtype))

    return [share(number) for number in range(count)]


def interleaved(values: list[Array], window: int) -> Array:
    """Puts members back: the inverse of `members` for H and W that are multiples of the window."""
    batch, rows, columns, channels = values[0].shape
    lines = [stacked(values[first : first + window], 3) for first in range(0, window * window, window)]
    return lax.reshape(stacked(lines, 2), (batch, rows * window, columns * window, channels))


def stacked(arrays: Sequence[Array], axis: int) -> Array:
    """`jnp.stack`, which takes longer to trace."""
    return lax.concatenate([lax.expand_dims(array, (axis,)) for array in arrays], axis)


def spread(gradient: Array, place: Array, window: int, height: int, width: int) -> Array:
    """The gradient for the images [N, height, width, C] of a pooling whose maxima are at `place`."""
    _, rows, columns, _ = gradient.shape
    whole = interleaved(shares(gradient, place, window * window), window)
    return jnp.pad(whole, ((0, 0), (0, height - rows * window), (0, width - columns * window), (0, 0)))
