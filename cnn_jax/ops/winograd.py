"""Winograd's minimal filtering: 3 x 3 convolution with a quarter to a half of the products that the definition needs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4: a tile of m x m outputs is
A' [(G kernel G') * (B' image B)] A for a tile of the image of (m + 2) x (m + 2), summed over channels; neighbouring
tiles of the image overlap by two. m is 2, 3 or 4: larger tiles need fewer products (4, 2.8 and 2.25 for each output,
instead of 9) and round more (docs/performance.md). The gradients are the adjoints of the same three transforms.
Unpadded, for outputs whose height and width are multiples of m.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from math import prod
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from cnn_jax.ops import pooling

Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[Array]]

SIZES = (2, 3, 4)
# Where the polynomials of image and kernel are evaluated, beside infinity. The first m + 1 are used.
_POINTS = (0, 1, -1, 2, -2)


class _Transforms(NamedTuple):
    output: Matrix  # A', m x (m + 2)
    kernel: Matrix  # G, (m + 2) x 3
    image: Matrix  # B', (m + 2) x (m + 2)


@cache
def _transforms(size: int) -> _Transforms:
    """The three matrices for tiles of so many outputs: the Toom-Cook algorithm (Lavin and Gray, section 4)."""
    points = [Fraction(point) for point in _POINTS[: size + 1]]
    others = [[other for other in points if other != point] for point in points]
    scales = [prod(point - other for other in rest) for point, rest in zip(points, others, strict=True)]
    output = [[point**row for point in points] + [Fraction(row == size - 1)] for row in range(size)]
    kernel = [[point**power / scale for power in range(3)] for point, scale in zip(points, scales, strict=True)]
    image = [[*_coefficients(rest), Fraction(0)] for rest in others]
    return _Transforms(_floats(output), _floats([*kernel, [0, 0, 1]]), _floats([*image, _coefficients(points)]))


def _coefficients(roots: Sequence[Fraction]) -> list[Fraction]:
    """Those of the product of (x - root), the lowest power first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def _floats(matrix: Sequence[Sequence[Any]]) -> Matrix:
    return tuple(tuple(float(number) for number in row) for row in matrix)


def _size(tiles: Grid) -> int:
    """m, from the tiles of a kernel."""
    return len(tiles) - 2


def _adjoint(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _transformed(matrix: Matrix, grid: Any) -> Grid:
    """matrix * grid * matrix' for a grid of arrays."""
    return _along_rows(matrix, _along_columns(matrix, grid))


def _along_columns(matrix: Matrix, grid: Any) -> Grid:
    return [[_weighted(row, column) for column in zip(*grid, strict=True)] for row in matrix]


def _along_rows(matrix: Matrix, grid: Any) -> Grid:
    return [_along(matrix, line) for line in grid]


def _along(matrix: Matrix, arrays: Sequence[Array]) -> list[Array]:
    return [_weighted(row, arrays) for row in matrix]


def _weighted(weights: tuple[float, ...], arrays: Any) -> Array:
    """The weighted sum, without multiplications by one and zero."""
    used = [(weight, array) for weight, array in zip(weights, arrays, strict=True) if weight]
    signs = [weight > 0 for weight, _ in used]
    terms = [array if abs(weight) == 1 else lax.mul(array, abs(weight)) for weight, array in used]
    total = terms[0] if signs[0] else lax.neg(terms[0])
    for positive, term in zip(signs[1:], terms[1:], strict=True):
        total = lax.add(total, term) if positive else lax.sub(total, term)
    return total


def _paired(function: Callable, left: Grid, right: Grid) -> Grid:
    return [
        [function(one, other) for one, other in zip(*lines, strict=True)] for lines in zip(left, right, strict=True)
    ]


def kernel_tiles(kernel: Array, size: int) -> Grid:
    """The (m + 2)² matrices [C, F] of a kernel [3, 3, C, F] that the image's tiles are multiplied with."""
    return lax.optimization_barrier(_transformed(_transforms(size).kernel, kernel))


def kernel_gradient(tiles: Grid) -> Array:
    """The gradient [3, 3, C, F] for a kernel, given those for its tiles."""
    matrix = _adjoint(_transforms(_size(tiles)).kernel)
    lines = lax.optimization_barrier(_along_rows(matrix, lax.optimization_barrier(_along_columns(matrix, tiles))))
    return lax.optimization_barrier(pooling.stacked([pooling.stacked(line, 0) for line in lines], 0))


def _image_tiles(images: Array, size: int) -> Grid:
    """(m + 2)² matrices [N * H' / m * W' / m, C] of the transformed tiles."""
    matrix = _transforms(size).image
    # Rows of tiles first, over the whole width: what neighbouring tiles share is computed once.
    wide = _along(matrix, _every(images, 1, size))
    if size > 2:
        wide = lax.optimization_barrier(wide)
    return [[flat(tile) for tile in _along(matrix, _every(lines, 2, size))] for lines in wide]


def _every(images: Array, axis: int, size: int) -> list[Array]:
    """For each member of a tile the rows (axis 1) or columns (axis 2) that have this place in the tiles."""
    last = images.shape[axis] - size - 1
    return [lax.slice_in_dim(images, start, start + last, size, axis) for start in range(size + 2)]


def _side_by_side(members: Sequence[Array], axis: int) -> Array:
    """The inverse of `_every` for tiles that do not overlap."""
    shape = members[0].shape
    whole = (*shape[:axis], shape[axis] * len(members), *shape[axis + 1 :])
    return lax.reshape(pooling.stacked(members, axis + 1), whole)


def _added(members: Sequence[Array], axis: int) -> Array:
    """The adjoint of `_every`: what neighbouring tiles share is added."""
    size = len(members) - 2

    def padded(member: Array, before: int) -> Array:
        margins = [(before, 1 - before, 0) if each == axis else (0, 0, 0) for each in range(member.ndim)]
        return lax.pad(member, jnp.zeros((), member.dtype), margins)

    shared = [lax.add(padded(members[start], 0), padded(members[start + size], 1)) for start in (0, 1)]
    whole = _side_by_side([*shared, *(padded(member, 0) for member in members[2:size])], axis)
    return lax.slice_in_dim(whole, 0, members[0].shape[axis] * size + 2, axis=axis)


def _products(images: Array, kernel: Grid) -> Grid:
    """Those of image and kernel, as [N, H' / m, W' / m, F]."""
    size = _size(kernel)
    shape = (images.shape[0], *((length - 2) // size for length in images.shape[1:3]), kernel[0][0].shape[1])
    found = _paired(product, _image_tiles(lax.optimization_barrier(images), size), kernel)
    return [[lax.reshape(tile, shape) for tile in line] for line in found]


def output_members(images: Array, kernel: Grid) -> list[Array]:
    """The members of the outputs' m x m tiles, each [N, H' / m, W' / m, F]."""
    outputs = _transformed(_transforms(_size(kernel)).output, _products(images, kernel))
    return [member for line in outputs for member in line]


def outputs(images: Array, kernel: Grid, finish: Callable[[Array], Array]) -> Array:
    """The convolution [N, H', W', F]. finish: is applied to parts of it, [..., F], before they are put together."""
    matrix = _transforms(_size(kernel)).output
    lines = _along_rows(matrix, lax.optimization_barrier(_products(images, kernel)))
    wide = lax.optimization_barrier([_side_by_side(line, 2) for line in lines])
    return _side_by_side([finish(member) for member in _along(matrix, wide)], 1)


def gradients(images: Array, kernel: Grid, members: Sequence[Array]) -> tuple[Array, Grid, Array]:
    """The gradients for images, kernel tiles and bias [F], given those for the members of `output_members`."""
    size = _size(kernel)
    transforms = _transforms(size)
    rows = [[flat(member) for member in members[first : first + size]] for first in range(0, size * size, size)]
    products = lax.optimization_barrier(_transformed(_adjoint(transforms.output), rows))
    image = _image_tiles(lax.optimization_barrier(images), size)
    kernel_gradients = _paired(partial(product, left_axis=0), image, products)
    shape = (*members[0].shape[:3], images.shape[3])
    tiles = lax.optimization_barrier(_paired(partial(product, right_axis=1), products, kernel))
    matrix = _adjoint(transforms.image)
    lines = _along_rows(matrix, [[lax.reshape(tile, shape) for tile in line] for line in tiles])
    wide = lax.optimization_barrier([_added(line, 2) for line in lines])
    # At the point 1 the outputs' polynomial is the sum of a tile's members.
    return _added(_along(matrix, wide), 1), kernel_gradients, jnp.sum(products[1][1], 0)


def product(left: Array, right: Array, left_axis: int = 1, right_axis: int = 0) -> Array:
    """A matrix product over the given axes. Transposing an operand first would copy it."""
    return lax.dot_general(left, right, (((left_axis,), (right_axis,)), ((), ())))


def flat(images: Array) -> Array:
    """[..., C] to [M, C]."""
    return lax.reshape(images, (prod(images.shape[:-1]), images.shape[-1]))
