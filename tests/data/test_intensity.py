"""Augmentations that change pixels where they are: against SciPy, and by their distributions."""

import jax
import numpy as np
import pytest
from scipy import ndimage, stats

from cnn_jax.data.intensity import boxes, brightness, contrast, cutout, noise, thickness
from tests.data.quick import quick

KEY = jax.random.key(5)
IMAGES = np.asarray(jax.random.uniform(jax.random.key(0), (40, 7, 9, 2), minval=0.1, maxval=0.6))


def test_strokes_grow_to_the_dilation_and_shrink_to_the_erosion_of_scipy() -> None:
    size = (1, 3, 3, 1)
    grown = ndimage.grey_dilation(IMAGES, size=size, mode="constant", cval=0)
    shrunk = ndimage.grey_erosion(IMAGES, size=size, mode="constant", cval=1)
    result, signs = np.asarray(quick(thickness, pixels=1.0)(KEY, IMAGES)), []
    for image, large, small, found in zip(IMAGES, grown, shrunk, result, strict=True):
        is_thicker = found.mean() > image.mean()
        end = large if is_thicker else small
        share = (found - image).sum() / (end - image).sum()
        np.testing.assert_allclose(found, image + share * (end - image), atol=1e-6)
        assert 0 <= share <= 1
        signs.append(is_thicker)
    assert 10 < sum(signs) < 30


@pytest.mark.parametrize("strength", [0.2, 0.5])
def test_brightness_is_a_factor_for_each_image(strength: float) -> None:
    factors = np.asarray(quick(brightness, strength=strength)(KEY, IMAGES)) / IMAGES
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), rtol=1e-5)
    assert 1 - strength <= factors.min() < 1 - 0.8 * strength and 1 + 0.8 * strength < factors.max() <= 1 + strength


def test_contrast_keeps_the_mean_and_scales_the_deviation() -> None:
    result = np.asarray(quick(contrast, strength=0.15)(KEY, IMAGES))
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), IMAGES.mean(axis=(1, 2, 3)), rtol=1e-5)
    factors = result.std(axis=(1, 2, 3)) / IMAGES.std(axis=(1, 2, 3))
    assert 0.85 <= factors.min() < 0.9 and 1.1 < factors.max() <= 1.1501


def test_noise_is_nearly_normal_and_independent() -> None:
    values = np.asarray(quick(noise, deviation=0.1)(KEY, np.full((100, 20, 20, 3), 0.5, np.float32))) - 0.5
    assert abs(values.mean()) < 3 * 0.1 / np.sqrt(values.size)
    assert values.std() == pytest.approx(0.1, rel=0.01)
    assert np.abs(values).max() < 0.347
    assert stats.kstest(values.ravel() / 0.1, "norm").statistic < 0.01
    for axis in range(4):
        shifted = np.roll(values, 1, axis=axis)
        assert abs(np.corrcoef(values.ravel(), shifted.ravel())[0, 1]) < 0.01


def test_cutout_sets_one_square_to_zero() -> None:
    areas = []
    for image, result in zip(IMAGES, np.asarray(quick(cutout, pixels=4)(KEY, IMAGES)), strict=True):
        rows, columns, _ = np.nonzero(result == 0)
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        expected = image.copy()
        expected[top:bottom, left:right] = 0
        np.testing.assert_array_equal(result, expected)
        areas.append((bottom - top) * (right - left))
    assert max(areas) == 16, "a whole square, where its centre is far from the border"
    assert min(areas) < 12, "and a part of it, where it is not"


def test_boxes_have_their_sizes_and_centres_everywhere() -> None:
    side = np.full(2000, 1)
    centres = np.asarray(quick(boxes, shape=(2000, 5, 6, 1))(KEY, heights=side, widths=side))
    assert (centres.sum(axis=(1, 2, 3)) == 1).all()
    assert stats.chisquare(centres.sum(axis=0).ravel()).pvalue > 0.001
