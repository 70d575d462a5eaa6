"""Skeletons of strokes: from points in a table to arrays of one shape, which a renderer distorts and draws."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

CONTROLS = 20  # largest number of points of a skeleton
VERTICES = 40  # of the polyline; its segments are shorter than two pixels, so that curves look smooth
STROKES = 3  # largest number of strokes of a skeleton


class Skeleton(NamedTuple):
    """A character as curves through control points. A renderer moves the points, and the curves follow linearly.

    controls: float32 [CONTROLS, 2], x to the right and y downwards, in heights of the character, about its centre.
    curves: float32 [VERTICES, CONTROLS]; `curves @ controls` are the vertices of the polyline.
    stroke: float32 [VERTICES, STROKES], one-hot; between the vertices of two strokes nothing is drawn.
    """

    controls: Any  # a numpy array, or a jax array while it is drawn
    curves: Any
    stroke: Any


def skeleton(strokes: Sequence[str]) -> Skeleton:
    """A skeleton from strokes such as `"0,6 55,4 | 25,100"`: points x,y in percent of the height.

    A stroke is a smooth curve through its points, with a corner at a point that is followed by `|`. Equal points are
    one control point, so they move together.
    """
    pieces = [(number, piece) for number, stroke in enumerate(strokes) for piece in _pieces(stroke)]
    points = sorted({point for _, piece in pieces for point in piece})
    lengths = np.array([_lengths(piece).sum() for _, piece in pieces])
    samples = _shares(lengths, VERTICES)
    controls = np.zeros((CONTROLS, 2), np.float32)
    centre = (np.min(points, axis=0) + np.max(points, axis=0)) / 2
    controls[: len(points)] = (np.array(points) - centre) / 100
    rows = [_curve(piece, points, count) for (_, piece), count in zip(pieces, samples, strict=True)]
    numbers = np.repeat([number for number, _ in pieces], samples)
    return Skeleton(controls, np.concatenate(rows).astype(np.float32), np.eye(STROKES, dtype=np.float32)[numbers])


def stacked(skeletons: Sequence[Skeleton]) -> Skeleton:
    """Several skeletons as one, whose arrays have a leading axis."""
    return Skeleton(*(np.stack(arrays) for arrays in zip(*skeletons, strict=True)))


def _pieces(stroke: str) -> list[list[tuple[int, int]]]:
    """The smooth parts of a stroke: each starts at the corner where the one before ends."""
    parts = [[(int(x), int(y)) for x, y in re.findall(r"(-?\d+),(-?\d+)", part)] for part in stroke.split("|")]
    return [parts[0], *([before[-1], *part] for before, part in pairwise(parts))]


def _lengths(piece: Sequence[tuple[int, int]]) -> np.ndarray:
    """The lengths of the straight lines between the points."""
    return np.hypot(*np.diff(np.array(piece, float), axis=0).T)


def _shares(lengths: np.ndarray, total: int) -> np.ndarray:
    """Integers of at least 2 that sum to `total` and are nearly proportional to the lengths."""
    ends = np.round(np.cumsum(lengths) / lengths.sum() * (total - 2 * len(lengths))).astype(int)
    return 2 + np.diff(ends, prepend=0)


def _curve(piece: Sequence[tuple[int, int]], points: Sequence[tuple[int, int]], samples: int) -> np.ndarray:
    """The rows of `Skeleton.curves` for one smooth piece, float64 [samples, CONTROLS]: a natural cubic spline.

    A spline is linear in its values, so the spline through the rows of an identity matrix gives each point's weight.
    """
    knots = np.concatenate([[0], np.cumsum(_lengths(piece))])
    values = np.eye(CONTROLS)[[points.index(point) for point in piece]]
    return CubicSpline(knots, values, bc_type="natural")(np.linspace(0, knots[-1], samples))
