"""Skeletons: points in a table become arrays of one shape, smooth where they should be."""

import numpy as np
import pytest

from cnn_jax.data import skeletons, splines
from cnn_jax.data.splines import CONTROLS, STROKES, VERTICES

STROKES_OF_DIGITS = [strokes for variants in skeletons.DIGITS for _, strokes in variants]


def vertices(skeleton: splines.Skeleton) -> np.ndarray:
    return skeleton.curves @ skeleton.controls


def test_a_straight_stroke_is_a_straight_line_with_equal_steps() -> None:
    line = vertices(splines.skeleton(["0,0 0,100"]))
    np.testing.assert_allclose(line, np.stack([np.zeros(VERTICES), np.linspace(-0.5, 0.5, VERTICES)], 1), atol=1e-6)


def test_a_curve_goes_through_its_points_and_turns_only_at_corners() -> None:
    points = np.array([(0, 50), (50, 0), (100, 50)])
    for between, sharpest in ((" ", (0.0, 0.2)), (" | ", (1.5, 1.6))):
        curve = vertices(splines.skeleton([f"0,50 50,0{between}100,50"]))
        for point in (points - [50, 25]) / 100:
            assert np.min(np.hypot(*(curve - point).T)) < 0.02
        steps = np.diff(curve, axis=0)
        steps = steps[np.hypot(*steps.T) > 1e-6]  # a corner is the end of a piece and the beginning of the next
        turns = np.abs(np.diff(np.unwrap(np.arctan2(*steps.T))))
        assert sharpest[0] <= turns.max() <= sharpest[1]


def test_equal_points_move_together_and_strokes_are_kept_apart() -> None:
    four = splines.skeleton(["50,0 0,60 | 60,60", "50,0 50,100"])
    assert np.count_nonzero(np.any(four.controls != 0, axis=1)) == 4
    assert four.stroke[:, :2].sum(0).sum() == VERTICES
    assert np.argmax(four.stroke, axis=1).tolist() == sorted(np.argmax(four.stroke, axis=1))
    starts = [int(np.argmax(four.stroke[:, number])) for number in (0, 1)]
    np.testing.assert_array_equal(four.curves[starts[0]], four.curves[starts[1]])


@pytest.mark.parametrize("strokes", STROKES_OF_DIGITS, ids=" / ".join)
def test_every_variant_of_a_digit_becomes_arrays_of_the_same_shape(strokes: list[str]) -> None:
    skeleton = splines.skeleton(strokes)
    assert [array.shape for array in skeleton] == [(CONTROLS, 2), (VERTICES, CONTROLS), (VERTICES, STROKES)]
    assert all(array.dtype == np.float32 for array in skeleton)
    np.testing.assert_allclose(skeleton.curves.sum(axis=1), 1, atol=1e-5)  # moved points move all of it
    steps = np.hypot(*np.diff(vertices(skeleton), axis=0).T)
    is_drawn = (skeleton.stroke[:-1] * skeleton.stroke[1:]).sum(1) > 0
    assert steps[is_drawn].max() < 0.15
