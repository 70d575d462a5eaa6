"""Corruptions do what they say, by the stated amount, and the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.errors import InputError
from cnn_jax.studies.evaluation import corruptions
from cnn_jax.studies.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt

names = st.sampled_from(list(CORRUPTIONS))
strengths = st.sampled_from(STRENGTHS)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 33), st.integers(1, 33), st.sampled_from([1, 3]))


def some_images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def spots(count: int = 50) -> np.ndarray:
    """Images with one white pixel, in the middle: uint8 [count, 29, 29, 1]."""
    images = np.zeros((count, 29, 29, 1), np.uint8)
    images[:, 14, 14] = 255
    return images


@given(names, strengths, shapes, st.integers(0, 2**32 - 1))
def test_same_shape_and_dtype_the_same_each_time_and_the_given_images_untouched(
    name: str, strength: int, shape: tuple[int, ...], seed: int
) -> None:
    images = some_images(shape)
    before = images.copy()
    images.flags.writeable = False
    one = corrupt(images, name, strength, seed)
    assert (one.shape, one.dtype) == (shape, np.uint8)
    assert (images == before).all()
    assert (corrupt(images, name, strength, seed) == one).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_0_changes_nothing_and_more_changes_more(name: str) -> None:
    images = np.zeros((200, 28, 28, 1), np.uint8)
    images[:, 8:20, 12:16] = 255
    changes = [np.abs(corrupt(images, name, s).astype(float) - images).mean() for s in STRENGTHS]
    assert changes[0] == 0
    assert (np.diff(changes) > 0).all()


@pytest.mark.parametrize("name", ["shift", "rotation", "scale", "noise", "occlusion"])
def test_another_seed_gives_other_images(name: str) -> None:
    images = some_images((20, 28, 28, 1))
    assert (corrupt(images, name, 3, seed=0) != corrupt(images, name, 3, seed=1)).any()


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_shift_moves_by_so_many_pixels_in_each_of_four_directions(strength: int) -> None:
    moved = corrupt(spots(), "shift", strength)
    assert (moved.sum(axis=(1, 2, 3)) == 255).all()
    ways = {tuple(int(place) - 14 for place in np.argwhere(image[..., 0])[0]) for image in moved}
    assert ways == {(strength, 0), (-strength, 0), (0, strength), (0, -strength)}
    assert CORRUPTIONS["shift"].amounts[strength] == strength


def test_shift_brings_in_background_and_drops_what_leaves() -> None:
    white = np.full((50, 8, 8, 1), 255, np.uint8)
    assert (corrupt(white, "shift", 2).astype(int).sum(axis=(1, 2, 3)) == 255 * 8 * 6).all()


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_rotation_turns_by_so_many_degrees_either_way(strength: int) -> None:
    images = np.zeros((50, 29, 29, 1), np.uint8)
    images[:, 13:16, 23:26] = 255  # ten pixels to the right of the centre
    turned = corrupt(images, "rotation", strength)[..., 0].astype(float)
    down, right = (np.tensordot(turned, axis - 14.0, 2) / turned.sum((1, 2)) for axis in np.indices((29, 29)))
    angles = np.rad2deg(np.arctan2(down, right))
    np.testing.assert_allclose(np.abs(angles), CORRUPTIONS["rotation"].amounts[strength], atol=1.0)
    assert {*np.sign(angles)} == {-1, 1}


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_scale_is_by_so_many_times_larger_or_smaller(strength: int) -> None:
    images = np.zeros((50, 61, 61, 1), np.uint8)
    images[:, 21:40, 21:40] = 255
    areas = corrupt(images, "scale", strength)[..., 0].sum(axis=(1, 2), dtype=float) / 255
    factor = CORRUPTIONS["scale"].amounts[strength]
    sizes = np.sqrt(areas) / 19
    larger = sizes > 1
    assert 0 < larger.sum() < 50
    np.testing.assert_allclose(sizes[larger], factor, rtol=0.03)
    np.testing.assert_allclose(sizes[~larger], 1 / factor, rtol=0.03)


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_noise_has_its_standard_deviation(strength: int) -> None:
    grey = np.full((200, 28, 28, 1), 128, np.uint8)
    sigma = CORRUPTIONS["noise"].amounts[strength]
    noise = corrupt(grey, "noise", strength).astype(float) - 128
    # The share of a normal variable that lies within one sigma; what is far out is cut off at black and white.
    assert (np.abs(noise) <= sigma + 0.5).mean() == pytest.approx(0.683, abs=0.02)


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_blur_has_its_standard_deviation_and_keeps_the_brightness(strength: int) -> None:
    images = np.zeros((1, 41, 41, 1), np.uint8)
    images[:, 18:23, 18:23] = 255
    blurred = corrupt(images, "blur", strength)[0, ..., 0].astype(float)
    assert blurred.sum() == pytest.approx(25 * 255, rel=0.02)
    rows = np.arange(41) - 20.0
    variance = (blurred.sum(axis=1) @ rows**2) / blurred.sum()
    square = 2.0  # the variance of -2, -1, 0, 1, 2
    assert variance - square == pytest.approx(CORRUPTIONS["blur"].amounts[strength] ** 2, rel=0.1, abs=0.05)


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_contrast_leaves_the_mean_and_a_share_of_the_rest(strength: int) -> None:
    images = some_images((20, 28, 28, 1))
    paler, share = corrupt(images, "contrast", strength), CORRUPTIONS["contrast"].amounts[strength]
    np.testing.assert_allclose(paler.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)), atol=0.5)
    np.testing.assert_allclose(paler.std(axis=(1, 2, 3)), share * images.std(axis=(1, 2, 3)), rtol=0.05)


@pytest.mark.parametrize("strength", STRENGTHS[1:])
def test_occlusion_covers_a_square_of_its_side_anywhere(strength: int) -> None:
    white = np.full((500, 28, 28, 1), 255, np.uint8)
    hidden = corrupt(white, "occlusion", strength)[..., 0] == 0
    side = int(CORRUPTIONS["occlusion"].amounts[strength])
    assert (hidden.sum(axis=(1, 2)) == side**2).all()
    assert (hidden.any(axis=1).sum(axis=1) == side).all()
    assert hidden.any(axis=(0, 1)).all(), "some column is never covered"
    assert hidden.any(axis=(0, 2)).all(), "some row is never covered"


def test_direction_is_the_same_at_every_strength() -> None:
    ways = [
        [np.sign(np.argwhere(image[..., 0])[0] - 14).tolist() for image in corrupt(spots(), "shift", s)] for s in (1, 5)
    ]
    assert ways[0] == ways[1]


def test_all_selects_all_corruptions_and_a_misspelled_name_is_corrected() -> None:
    assert corruptions.selected(["blur", "all"]) == list(CORRUPTIONS)
    assert corruptions.selected(["blur", "shift", "blur"]) == ["blur", "shift"]
    with pytest.raises(InputError, match=r"--corruptions=rotatoin: no such corruption\. Did you mean rotation\?"):
        corruptions.selected(["rotatoin"])


@pytest.mark.parametrize("name", ["rotation", "scale"])
def test_pixels_from_outside_are_background(name: str) -> None:
    white = np.full((50, 28, 28, 1), 255, np.uint8)
    corners = corrupt(white, name, 5)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    turned_or_smaller = corners.max(axis=(1, 2)) < 255
    assert turned_or_smaller.any()
    assert (corners[turned_or_smaller] == corruptions.BACKGROUND).all()
