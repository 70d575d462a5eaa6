"""Skeletons of strokes: from points written by hand to arrays that a renderer bends and draws, all of one shape."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

CONTROLS = 20  # points that a skeleton may have
VERTICES = 40  # of its polyline; a segment is then shorter than two pixels, and bends cannot be seen
STROKES = 3  # that a skeleton may have


class Skeleton(NamedTuple):
    """A character as curves through control points. A renderer moves the points; all else follows linearly.

    controls: float32 [CONTROLS, 2], x to the right and y downwards, in heights of the character, about its centre.
    curves: float32 [VERTICES, CONTROLS]; `curves @ controls` are the vertices of the polyline.
    stroke: float32 [VERTICES, STROKES], one-hot; between the vertices of two strokes the pen is up.
    """

    controls: Any  # an array of numpy; of jax while it is drawn
    curves: Any
    stroke: Any


def skeleton(strokes: Sequence[str]) -> Skeleton:
    """A skeleton from strokes such as `"0,6 55,4 | 25,100"`: points x,y in percent of the height.

    A stroke is smooth through its points, but for a corner at a point with `|` behind it. Points that are equal are
    the same, and move together.
    """
    pieces = [(number, piece) for number, stroke in enumerate(strokes) for piece in _pieces(stroke)]
    points = sorted({point for _, piece in pieces for point in piece})
    lengths = np.array([_lengths(piece).sum() for _, piece in pieces])
    samples = _shares(lengths, VERTICES)
    controls = np.zeros((CONTROLS, 2), np.float32)
    controls[: len(points)] = (np.array(points) - _centre(points)) / 100
    rows = [_curve(piece, points, count) for (_, piece), count in zip(pieces, samples, strict=True)]
    numbers = np.repeat([number for number, _ in pieces], samples)
    return Skeleton(controls, np.concatenate(rows).astype(np.float32), np.eye(STROKES, dtype=np.float32)[numbers])


def stacked(skeletons: Sequence[Skeleton]) -> Skeleton:
    """Skeletons as one, its arrays with a leading axis."""
    return Skeleton(*(np.stack(arrays) for arrays in zip(*skeletons, strict=True)))


def _pieces(stroke: str) -> list[list[tuple[int, int]]]:
    """The smooth parts of a stroke: each begins with the corner at which the one before ends."""
    parts = [[(int(x), int(y)) for x, y in re.findall(r"(-?\d+),(-?\d+)", part)] for part in stroke.split("|")]
    return [parts[0], *([before[-1], *part] for before, part in pairwise(parts))]


def _lengths(piece: Sequence[tuple[int, int]]) -> np.ndarray:
    """Of the straight lines between the points."""
    return np.hypot(*np.diff(np.array(piece, float), axis=0).T)


def _centre(points: Sequence[tuple[int, int]]) -> np.ndarray:
    return (np.min(points, axis=0) + np.max(points, axis=0)) / 2


def _shares(lengths: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers, at least 2, that add up to `total` in proportion to the lengths, as nearly as can be."""
    ends = np.round(np.cumsum(lengths) / lengths.sum() * (total - 2 * len(lengths))).astype(int)
    return 2 + np.diff(ends, prepend=0)


def _curve(piece: Sequence[tuple[int, int]], points: Sequence[tuple[int, int]], samples: int) -> np.ndarray:
    """The rows of `Skeleton.curves` for one smooth piece, float64 [samples, CONTROLS]: a natural cubic spline.

    A spline is linear in its values, so the spline through the rows of an identity gives each point's part in it.
    """
    knots = np.concatenate([[0], np.cumsum(_lengths(piece))])
    values = np.eye(CONTROLS)[[points.index(point) for point in piece]]
    return CubicSpline(knots, values, bc_type="natural")(np.linspace(0, knots[-1], samples))
