"""The pen: what it draws has the width, the place and the size that were asked for."""

import jax
import numpy as np
import pytest

from cnn_jax.data import splines, strokes
from cnn_jax.data.strokes import BOX, SIZE, Style, StyleSample

STILL = Style(*(0.0 for _ in Style._fields))._replace(radius=0.05, softness=1.0)  # no variation
SKELETONS = splines.stacked([splines.skeleton(parts) for parts in (["0,0 0,100"], ["0,0 100,100", "100,0 0,100"])])
DRAW = jax.jit(strokes.draw)
SAMPLE = jax.jit(strokes.sample_style)


def drawn(which: int, sample: StyleSample, style: Style) -> np.ndarray:
    return np.asarray(DRAW(jax.tree.map(lambda array: array[which], SKELETONS), sample, style))


@pytest.fixture(scope="module")
def samples() -> list[StyleSample]:
    return [SAMPLE(jax.random.key(seed)) for seed in range(20)]


@pytest.mark.slow
def test_without_variation_a_straight_stroke_is_a_bar_of_the_pens_width(samples: list[StyleSample]) -> None:
    bar = drawn(0, samples[0], STILL)
    width = 2 * 0.05 * BOX / 1.1  # a stroke of height 1 and its pen's radius at both ends fill the box
    np.testing.assert_allclose(bar[10:20].sum(axis=1), width, rtol=0.1)
    assert bar.any(axis=1).sum() == BOX
    np.testing.assert_array_equal(bar, drawn(0, samples[1], STILL))


@pytest.mark.parametrize("which", [0, 1])
def test_the_inks_longer_side_is_20_pixels_and_its_mass_is_in_the_middle_as_in_mnist(
    samples: list[StyleSample], which: int
) -> None:
    for sample in samples:
        ink = drawn(which, sample, Style())
        box = [np.ptp(np.flatnonzero((ink > 0.2).any(axis=axis))) + 1 for axis in (0, 1)]
        assert max(box) in (BOX, BOX - 1)
        centre = [ink.sum(axis=axis) @ np.arange(SIZE) / ink.sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, SIZE / 2, atol=0.51)
        assert ink.min() == 0
        assert 0.3 < ink.max() <= 1


def test_between_two_strokes_the_pen_is_up(samples: list[StyleSample]) -> None:
    cross = drawn(1, samples[0], STILL)
    edges = np.concatenate([cross[4, 9:19], cross[23, 9:19], cross[9:19, 4], cross[9:19, 23]])
    assert edges.max() == 0
    assert cross[13:15, 13:15].min() > 0.5
