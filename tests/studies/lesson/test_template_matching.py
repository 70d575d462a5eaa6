"""Template responses are what the lecture computes by hand, and what a network's convolution computes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import signal

from cnn_jax.data import x_and_o
from cnn_jax.ops import operators
from cnn_jax.studies.lesson import template_matching

X = x_and_o.X_AND_O.spec.inputs(x_and_o.canonical(x_and_o.LABEL_X))
O_LETTER = x_and_o.X_AND_O.spec.inputs(x_and_o.canonical(x_and_o.LABEL_O))

# The whole maps on the canonical X, in ninths: pixels that agree minus pixels that do not. Counted by hand.
LEFT_TO_RIGHT = [
    [7, -1, 1, 3, 5, -1, 3],
    [-1, 9, -1, 3, -1, 1, -1],
    [1, -1, 9, -3, 1, -1, 5],
    [3, 3, -3, 5, -3, 3, 3],
    [5, -1, 1, -3, 9, -1, 1],
    [-1, 1, -1, 3, -1, 9, -1],
    [3, -1, 5, 3, 1, -1, 7],
]
CROSSING = [
    [3, -5, 1, -1, 1, -5, 3],
    [-5, 5, -5, 3, -5, 5, -5],
    [1, -5, 5, -7, 5, -5, 1],
    [-1, 3, -7, 9, -7, 3, -1],
    [1, -5, 5, -7, 5, -5, 1],
    [-5, 5, -5, 3, -5, 5, -5],
    [3, -5, 1, -1, 1, -5, 3],
]
MAPS = {
    "left-to-right diagonal": LEFT_TO_RIGHT,
    "right-to-left diagonal": [row[::-1] for row in LEFT_TO_RIGHT],  # the X is its own mirror image
    "crossing": CROSSING,
}

signs = st.sampled_from([-1.0, 1.0])
bitmaps = arrays(np.float64, st.tuples(st.integers(3, 9), st.integers(3, 9)), elements=signs)
patterns = arrays(np.float64, (3, 3), elements=signs)


@pytest.mark.parametrize("name", MAPS)
def test_whole_map_on_the_canonical_x_is_the_lectures(name: str) -> None:
    np.testing.assert_allclose(
        template_matching.response(X, template_matching.OF_X[name]), np.array(MAPS[name]) / 9, atol=1e-15
    )


def test_the_numbers_that_the_lecture_names() -> None:
    found = template_matching.response(X, template_matching.OF_X["left-to-right diagonal"])
    assert found.shape == (7, 7)
    assert [found[0, 0], found[1, 1], found[0, 1], found[3, 3]] == pytest.approx([7 / 9, 1, -1 / 9, 5 / 9], abs=1e-15)


def test_the_canonical_o_holds_each_of_its_templates() -> None:
    places = {
        name: np.argwhere(template_matching.response(O_LETTER, t) > 1 - 1e-9).tolist()
        for name, t in template_matching.OF_O.items()
    }
    assert places == {
        "horizontal stroke": [[0, 2], [0, 3], [0, 4], [6, 2], [6, 3], [6, 4]],
        "vertical stroke": [[2, 0], [2, 6], [3, 0], [3, 6], [4, 0], [4, 6]],
        "upper left corner": [[1, 1]],
        "upper right corner": [[1, 5]],
        "lower left corner": [[5, 1]],
        "lower right corner": [[5, 5]],
    }


@given(bitmaps, patterns)
def test_response_stays_between_mismatch_and_match(bitmap: np.ndarray, pattern: np.ndarray) -> None:
    found = template_matching.response(bitmap, pattern)
    assert found.shape == (bitmap.shape[0] - 2, bitmap.shape[1] - 2)
    assert (abs(found) <= 1).all()


@given(bitmaps, st.data())
def test_a_window_matches_itself_and_mismatches_its_negative(bitmap: np.ndarray, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, bitmap.shape[0] - 3))
    column = data.draw(st.integers(0, bitmap.shape[1] - 3))
    window = bitmap[row : row + 3, column : column + 3]
    assert template_matching.response(bitmap, window)[row, column] == 1
    assert template_matching.response(bitmap, -window)[row, column] == -1


@given(bitmaps, patterns)
def test_a_wrong_pixel_costs_two_ninths(bitmap: np.ndarray, pattern: np.ndarray) -> None:
    agree = np.array(
        [
            [(bitmap[row : row + 3, column : column + 3] == pattern).sum() for column in range(bitmap.shape[1] - 2)]
            for row in range(bitmap.shape[0] - 2)
        ]
    )
    np.testing.assert_allclose(template_matching.response(bitmap, pattern), 1 - 2 / 9 * (9 - agree), atol=1e-12)


@pytest.mark.parametrize("name", [*template_matching.OF_X, *template_matching.OF_O])
def test_networks_convolution_is_the_response_times_nine(name: str) -> None:
    pattern = {**template_matching.OF_X, **template_matching.OF_O}[name]
    images = x_and_o.X_AND_O.spec.inputs(x_and_o.draw(np.arange(20) % 2, seed=1))
    found = operators.convolution(images, np.float32(pattern)[:, :, None, None])
    np.testing.assert_allclose(found[..., 0], 9 * template_matching.response(images[..., 0], pattern), atol=1e-5)


def test_that_is_cross_correlation_and_not_the_convolution_of_mathematics() -> None:
    corner = template_matching.OF_O["upper left corner"]  # turned by 180 degrees it is another pattern
    found = 9 * template_matching.response(O_LETTER, corner)
    np.testing.assert_allclose(found, signal.correlate2d(O_LETTER, corner, "valid"), atol=1e-5)
    np.testing.assert_allclose(found, signal.convolve2d(O_LETTER, corner[::-1, ::-1], "valid"), atol=1e-5)
    assert abs(found - signal.convolve2d(O_LETTER, corner, "valid")).max() > 1


def test_templates_alone_tell_the_canonical_letters_wherever_they_are_dark() -> None:
    assert template_matching.looks_like_x(np.stack([X, O_LETTER])).tolist() == [True, False]


def test_where_no_window_votes_the_larger_mean_decides() -> None:
    blank = np.full((1, 9, 9), -1.0)
    checkered = np.indices((1, 9, 9)).sum(0) % 2 * 2.0 - 1  # crossings and their negatives everywhere
    assert template_matching.looks_like_x(checkered).tolist() == [True]
    assert template_matching.looks_like_x(blank).tolist() == [False]


def test_templates_alone_tell_more_than_three_of_four_training_images() -> None:
    labels = np.arange(5_000, 6_000) % 2
    images = x_and_o.X_AND_O.spec.inputs(x_and_o.draw(np.arange(6_000) % 2, seed=0)[5_000:, :, :, 0])
    assert np.mean(template_matching.looks_like_x(images) == (labels == x_and_o.LABEL_X)) > 0.75


@given(arrays(np.float64, (4, 3, 3), elements=st.floats(-2, 2, width=32)))
def test_cosine_similarity_ignores_scale_and_mean_and_stays_in_range(filters: np.ndarray) -> None:
    found = template_matching.cosine_similarities(filters, template_matching.OF_X)
    assert found.shape == (4, 3)
    assert (abs(found) <= 1 + 1e-12).all()


def test_a_template_is_nearest_to_itself_however_scaled_and_shifted() -> None:
    templates = {**template_matching.OF_X, **template_matching.OF_O}
    scaled = 0.3 * np.stack(list(templates.values())) + 5
    found = template_matching.cosine_similarities(scaled, templates)
    np.testing.assert_allclose(np.diag(found), 1)
    assert (found.argmax(axis=1) == np.arange(len(templates))).all()
    np.testing.assert_allclose(np.diag(template_matching.cosine_similarities(-scaled, templates)), -1)


def test_filter_of_equal_weights_is_near_to_nothing() -> None:
    assert (template_matching.cosine_similarities(np.zeros((1, 3, 3)), template_matching.OF_X) == 0).all()
