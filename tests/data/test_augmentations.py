"""Augmentations: pure functions of a key, which keep an image's content and bring nothing in from its other side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data.augmentations import AUGMENTATIONS, flip, shift

KEY = jax.random.key(3)


def noise(examples: int = 60, height: int = 7, width: int = 9, channels: int = 2) -> jax.Array:
    """Images without any zero: float32 [N, H, W, C]."""
    return jax.random.uniform(jax.random.key(0), (examples, height, width, channels), minval=0.1, maxval=1.0)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The image, [H, W, C], moved by whole pixels, with 0 where nothing came in. Written as a plain loop."""
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_shift_moves_each_image_by_whole_pixels_and_never_wraps(pixels: int) -> None:
    images = noise()
    distances = range(-pixels, pixels + 1)
    moves = [(down, right) for down in distances for right in distances]
    found = []
    for image, result in zip(np.asarray(images), np.asarray(shift(KEY, images, pixels)), strict=True):
        [move] = [move for move in moves if np.array_equal(moved(image, *move), result)]
        found.append(move)
    assert len(set(found)) > min(len(moves), 20) / 2, "each image has a distance of its own"
    for of_all in zip(*found, strict=True):
        assert {min(of_all), max(of_all)} == {-pixels, pixels}, "both ends are reached, in both directions"


def test_shift_keeps_the_content_of_images_with_a_wide_border() -> None:
    images = jnp.zeros((40, 12, 12, 1)).at[:, 2:-2, 2:-2].set(noise(40, 8, 8, 1))
    result = shift(KEY, images)
    np.testing.assert_array_equal(np.sort(result.reshape(40, -1)), np.sort(images.reshape(40, -1)))
    assert (np.asarray(result) != np.asarray(images)).any()


def test_shift_by_no_pixel_changes_nothing() -> None:
    np.testing.assert_array_equal(shift(KEY, noise(), 0), noise())


@pytest.mark.parametrize(("probability", "step"), [(0.0, 1), (1.0, -1)])
def test_flip_of_none_and_of_all(probability: float, step: int) -> None:
    np.testing.assert_array_equal(flip(KEY, noise(), probability), noise()[:, :, ::step])


def test_flip_mirrors_about_half_of_the_images_as_a_whole() -> None:
    images, result = np.asarray(noise(1000)), np.asarray(flip(KEY, noise(1000)))
    is_kept = (result == images).all(axis=(1, 2, 3))
    is_mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_kept ^ is_mirrored).all()
    assert 0.45 < is_mirrored.mean() < 0.55


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_key_alone_decides(name: str) -> None:
    augment, images = AUGMENTATIONS[name], noise()
    result = augment(KEY, images)
    np.testing.assert_array_equal(augment(KEY, images), result)
    np.testing.assert_array_equal(jax.jit(augment)(KEY, images), result)
    assert (np.asarray(augment(jax.random.key(4), images)) != np.asarray(result)).any()
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
