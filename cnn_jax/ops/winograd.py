"""Winograd's minimal filtering F(2 x 2, 3 x 3): 3 x 3 convolution with 16 products where the definition needs 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4.1: a 2 x 2 tile of outputs is
A' [(G kernel G') * (B' image B)] A for a 4 x 4 tile of the image, summed over channels; neighbouring tiles overlap by
two. The gradients are the adjoints of the same three transforms. Unpadded, for outputs of even height and width.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import pooling

Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[Array]]

_IMAGE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))


def _transformed(matrix: Matrix, grid: Any) -> Grid:
    """matrix * grid * matrix' for a grid of arrays."""
    rows = [[_weighted(row, column) for column in zip(*grid, strict=True)] for row in matrix]
    return [[_weighted(row, line) for row in matrix] for line in rows]


def _weighted(weights: tuple[float, ...], arrays: Any) -> Array:
    """The weighted sum, without multiplications by one and zero."""
    used = [(weight, array) for weight, array in zip(weights, arrays, strict=True) if weight]
    signs = [weight > 0 for weight, _ in used]
    terms = [array if abs(weight) == 1 else array * abs(weight) for weight, array in used]
    total = terms[0] if signs[0] else -terms[0]
    for positive, term in zip(signs[1:], terms[1:], strict=True):
        total = total + term if positive else total - term
    return total


def _adjoint(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _paired(function: Callable, left: Grid, right: Grid) -> Grid:
    return [
        [function(one, other) for one, other in zip(*lines, strict=True)] for lines in zip(left, right, strict=True)
    ]


def kernel_tiles(kernel: Array) -> Grid:
    """The 16 matrices [C, F] of a kernel [3, 3, C, F] that the image's tiles are multiplied with."""
    return lax.optimization_barrier(_transformed(_KERNEL, kernel))


def kernel_gradient(tiles: Grid) -> Array:
    """The gradient [3, 3, C, F] for a kernel, given those for its tiles."""
    return jnp.stack([jnp.stack(line) for line in _transformed(_adjoint(_KERNEL), tiles)])


def _image_tiles(images: Array) -> Grid:
    """16 matrices [N * H' / 2 * W' / 2, C] of the transformed tiles; H' and W', the output's size, are even."""
    batch, height, width, channels = images.shape
    grid = [
        [
            lax.slice(
                images, (0, row, column, 0), (batch, row + height - 3, column + width - 3, channels), (1, 2, 2, 1)
            )
            for column in range(4)
        ]
        for row in range(4)
    ]
    return [[flat(tile) for tile in line] for line in _transformed(_IMAGE, grid)]


def output_tiles(images: Array, kernel: Grid) -> list[Array]:
    """The four members of the outputs' 2 x 2 tiles, each [N, H' / 2, W' / 2, F]."""
    outputs = _transformed(_OUTPUT, _paired(product, _image_tiles(lax.optimization_barrier(images)), kernel))
    batch, height, width, _ = images.shape
    shape = (batch, (height - 2) // 2, (width - 2) // 2, -1)
    return [member.reshape(shape) for line in outputs for member in line]


def tile_gradients(images: Array, kernel: Grid, members: list[Array]) -> tuple[Array, Grid]:
    """The gradients for the images and for the 16 kernel tiles, given those for the members of `output_tiles`."""
    members = [flat(member) for member in members]
    products = _transformed(_adjoint(_OUTPUT), [members[:2], members[2:]])
    kernel_tiles = _paired(partial(product, left_axis=0), _image_tiles(lax.optimization_barrier(images)), products)
    batch, height, width, channels = images.shape
    shape = (batch, (height - 2) // 2, (width - 2) // 2, channels)
    tiles = _paired(partial(product, right_axis=1), products, kernel)
    tiles = lax.optimization_barrier(
        _transformed(_adjoint(_IMAGE), [[tile.reshape(shape) for tile in line] for line in tiles])
    )

    def member(row: int, column: int) -> Array:
        """A member of the images' 2 x 2 squares: it lies in up to four tiles."""
        parts = [
            jnp.pad(tiles[row + 2 * down][column + 2 * right], ((0, 0), (down, 1 - down), (right, 1 - right), (0, 0)))
            for down in (0, 1)
            for right in (0, 1)
        ]
        return reduce(jnp.add, parts)

    squares = lax.optimization_barrier([member(row, column) for row in (0, 1) for column in (0, 1)])
    return pooling.interleaved(squares, 2), kernel_tiles


def product(left: Array, right: Array, left_axis: int = 1, right_axis: int = 0) -> Array:
    """A matrix product over the given axes. Transposing an operand first would copy it."""
    return lax.dot_general(left, right, (((left_axis,), (right_axis,)), ((), ())))


def flat(images: Array) -> Array:
    """[..., C] to [M, C]."""
    return images.reshape(-1, images.shape[-1])
