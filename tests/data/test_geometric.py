"""Augmentations that move pixels: against SciPy, and by what they must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnn_jax.data.geometric import affine, crop, elastic, flip, rotation, sample, scale, shear, shift
from tests.data.quick import quick

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
    for image, result in zip(np.asarray(images), np.asarray(quick(shift, pixels=pixels)(KEY, images)), strict=True):
        [move] = [move for move in moves if np.array_equal(moved(image, *move), result)]
        found.append(move)
    assert len(set(found)) > min(len(moves), 20) / 2, "each image has a distance of its own"
    for of_all in zip(*found, strict=True):
        assert {min(of_all), max(of_all)} == {-pixels, pixels}, "both ends are reached, in both directions"


@pytest.mark.slow
def test_shift_keeps_the_content_of_images_with_a_wide_border() -> None:
    images = jnp.zeros((40, 12, 12, 1)).at[:, 2:-2, 2:-2].set(noise(40, 8, 8, 1))
    result = quick(shift)(KEY, images)
    np.testing.assert_array_equal(np.sort(result.reshape(40, -1)), np.sort(images.reshape(40, -1)))
    assert (np.asarray(result) != np.asarray(images)).any()


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_crop_is_a_window_of_the_padded_image(mode: str) -> None:
    images = noise(40)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 9), (1, 2))  # [N, 5, 5, C, 7, 9]
    result = np.moveaxis(np.asarray(quick(crop, padding=2, mode=mode)(KEY, images)), 3, 1)
    is_found = (windows == result[:, None, None]).all(axis=(3, 4, 5))
    assert (is_found.sum(axis=(1, 2)) == 1).all()
    assert is_found.any(axis=0).sum() > 12, "most of the 25 windows are drawn"


@pytest.mark.parametrize(("probability", "step"), [(0.0, 1), (1.0, -1)])
def test_flip_of_none_and_of_all(probability: float, step: int) -> None:
    np.testing.assert_array_equal(quick(flip, probability=probability)(KEY, noise()), noise()[:, :, ::step])


@pytest.mark.slow
def test_flip_mirrors_about_half_of_the_images_as_a_whole() -> None:
    images, result = np.asarray(noise(1000)), np.asarray(quick(flip)(KEY, noise(1000)))
    is_kept = (result == images).all(axis=(1, 2, 3))
    is_mirrored = (result == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (is_kept ^ is_mirrored).all()
    assert 0.45 < is_mirrored.mean() < 0.55


def by_scipy(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The images after linear maps about their centres, bilinearly, by SciPy. matrices: [N, 2, 2]."""
    centre, result = (np.array(images.shape[1:3]) - 1) / 2, np.empty_like(images)
    for index, matrix in enumerate(matrices):
        for channel in range(images.shape[-1]):
            result[index, ..., channel] = ndimage.affine_transform(
                images[index, ..., channel], matrix, centre - matrix @ centre, order=1, mode="grid-constant"
            )
    return result


@pytest.mark.parametrize("name", ["rotation", "scale", "shear"])
def test_maps_of_the_plane_are_those_of_scipy(name: str) -> None:
    images, amount = np.asarray(noise(30)), np.asarray(jax.random.uniform(KEY, (30,), minval=-1, maxval=1))
    one, zero, angle = np.ones(30), np.zeros(30), np.deg2rad(40) * amount
    augment, members = {
        "rotation": (quick(rotation, degrees=40.0), [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]),
        "scale": (quick(scale, factor=1.5), [1.5**amount, zero, zero, 1.5**amount]),
        "shear": (quick(shear, slope=0.4), [one, zero, 0.4 * amount, one]),
    }[name]
    expected = by_scipy(images, np.stack(members, axis=1).reshape(30, 2, 2))
    np.testing.assert_allclose(augment(KEY, images), expected, atol=1e-5)
    assert amount.min() < -0.8 and amount.max() > 0.8, "both directions are drawn"


@pytest.mark.slow
def test_positive_angles_and_slopes_turn_and_slant_as_they_are_defined() -> None:
    square = noise(2, 8, 8)
    turned = quick(affine)(square, ((0, -1), (1, 0)))
    np.testing.assert_allclose(turned, np.rot90(square, -1, (1, 2)), atol=1e-6)
    np.testing.assert_allclose(quick(affine)(square, ((-1, 0), (0, -1))), square[:, ::-1, ::-1], atol=1e-6)


@pytest.mark.slow
def test_shift_by_whole_pixels_is_exact_in_an_affine_map() -> None:
    images = noise(3)
    for down, right in ((0, 0), (1, -2), (-3, 4), (20, 0)):
        result = np.asarray(quick(affine)(images, ((1, 0), (0, 1)), (-down, -right)))
        np.testing.assert_array_equal(result, [moved(image, down, right) for image in np.asarray(images)])


@pytest.mark.slow
def test_sampling_is_that_of_scipy_inside_and_outside() -> None:
    images = np.asarray(noise(5, 6, 8, 3))
    rows = np.random.default_rng(0).uniform(-2, 7, (5, 6, 8)).astype(np.float32)
    columns = np.random.default_rng(1).uniform(-2, 9, (5, 6, 8)).astype(np.float32)
    result = np.asarray(quick(sample)(images, rows, columns))
    for index in range(5):
        for channel in range(3):
            places = [rows[index], columns[index]]
            expected = ndimage.map_coordinates(images[index, ..., channel], places, order=1, mode="grid-constant")
            np.testing.assert_allclose(result[index, ..., channel], expected, atol=1e-5)


@pytest.mark.slow
def test_elastic_displacements_are_smooth_and_of_the_given_size() -> None:
    """Of an image whose pixels are their columns, the result shows how far each pixel was moved."""
    columns = jnp.broadcast_to(jnp.arange(100, dtype=jnp.float32)[:, None], (40, 100, 100, 1))
    distances = np.asarray(quick(elastic, pixels=2.0)(KEY, columns) - columns)[:, 20:-20, 20:-20, 0]
    assert 0.8 < distances.std() < 2.0, "2 at the points of the grid, and less between them"
    assert np.abs(np.diff(distances, axis=1)).max() < 0.8, "the grid's points are 17 pixels apart"


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 40, 3, 4)])
def test_images_of_any_size_are_moved(shape: tuple[int, ...]) -> None:
    def every(key: jax.Array, images: jax.Array) -> list[jax.Array]:
        return [augment(key, images) for augment in (shift, crop, flip, rotation, scale, shear, elastic)]

    for result in quick(every)(KEY, jnp.ones(shape)):
        assert result.shape == shape and np.isfinite(result).all()
