"""TrivialAugment: each kind against Pillow, and one kind an image."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnn_jax.data import trivial as kinds
from cnn_jax.data.trivial import trivial
from tests.data.quick import quick

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
AMOUNTS = (-0.7, 0.3, 0.9)


def by_pillow(change: Callable[[Image.Image, float], Image.Image], amount: float) -> np.ndarray:
    return np.asarray(change(Image.fromarray(PIXELS), amount))


def enhanced(enhancer: Callable) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, amount: enhancer(image).enhance(1 + 0.99 * amount)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (kinds._BRIGHTNESS, enhanced(ImageEnhance.Brightness)),
        (kinds._CONTRAST, enhanced(ImageEnhance.Contrast)),
        (kinds._SHARPNESS, enhanced(ImageEnhance.Sharpness)),
        (kinds._COLOUR, enhanced(ImageEnhance.Color)),
        (kinds._POSTERIZE, lambda image, amount: ImageOps.posterize(image, 8 - round(6 * abs(amount)))),
        (kinds._SOLARIZE, lambda image, amount: ImageOps.solarize(image, int(255 * (1 - abs(amount))) + 1)),
    ],
)
def test_changes_of_pixels_are_those_of_pillow(kind: int, change: Callable, amount: float) -> None:
    images = PIXELS[None].astype(np.float32) / 255
    of_image = np.full((1, 1, 1, 1), kind), np.full((1, 1, 1, 1), amount, np.float32)
    found = 255 * np.asarray(quick(kinds._with_other_pixels)(images, *of_image))[0]
    inner = (slice(1, -1), slice(1, -1))  # Pillow leaves the outermost pixels as they are where it looks at neighbours
    np.testing.assert_allclose(found[inner], by_pillow(change, amount)[inner], atol=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_in_one_way_and_some_are_not(channels: int) -> None:
    images = np.broadcast_to(PIXELS[None, :, :, :channels].astype(np.float32) / 255, (600, 12, 10, channels))
    result = np.asarray(quick(trivial)(jax.random.key(1), images))
    share = np.isclose(result, images, atol=1e-6).all(axis=(1, 2, 3)).mean()
    ways = 12 if channels == 3 else 11
    assert 0.6 / ways < share < 3 / ways, "some are as they were; few bits or a small shift may also change nothing"
    is_flat = (result.max(axis=(1, 2, 3)) == result.min(axis=(1, 2, 3))).mean()
    assert is_flat < 0.05


def test_kinds_that_move_pixels_are_moved_alone() -> None:
    images = PIXELS[None].astype(np.float32) / 255
    for kind, row in ((kinds._DOWN, 4), (kinds._RIGHT, 5)):
        amount = np.full((1, 1, 1), -row / (12 if kind == kinds._DOWN else 10), np.float32)
        found = np.asarray(quick(kinds._moved)(images, np.full((1, 1, 1), kind), amount))[0]
        expected = np.zeros_like(found)
        if kind == kinds._DOWN:
            expected[row:] = images[0, :-row]
        else:
            expected[:, row:] = images[0, :, :-row]
        np.testing.assert_allclose(found, expected, atol=1e-6)
