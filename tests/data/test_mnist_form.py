"""A user's picture, of any form, becomes the image that MNIST would have made of the digit in it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.data import pictures
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.data.pictures import UnusablePicture

FIRST = 0  # index of the glyphs that are used here
CLOSE = 0.93  # cosine similarity, at best within a pixel; two different digits of this file are below 0.8


@pytest.fixture(scope="module")
def digits(glyphs_dataset: Dataset) -> np.ndarray:
    """One of each digit: uint8 [10, 28, 28]."""
    return glyphs_dataset.train.images[FIRST : FIRST + 10, ..., 0]


def on_page(digit: np.ndarray, *, size: int = 180, height: int = 500, width: int = 600) -> np.ndarray:
    """Ink on a page, float [height, width] in [0, 1]: the digit's 28 x 28 pixels as `size` x `size`."""
    page = np.zeros((height, width))
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    page[height // 3 : height // 3 + size, width // 4 : width // 4 + size] = np.asarray(large) / 255
    return page


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine similarity of two images, at the best of the shifts by no more than a pixel."""
    shifted = [np.roll(one, (y, x), (0, 1)).astype(float) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float((s * other).sum() / np.sqrt((s * s).sum() * (1.0 * other * other).sum())) for s in shifted)


def dark_on_light(ink: np.ndarray) -> Image.Image:
    return Image.fromarray(as_bytes(1 - ink))


def light_on_dark(ink: np.ndarray) -> Image.Image:
    return Image.fromarray(255 - as_bytes(1 - ink))


def in_colour(ink: np.ndarray) -> Image.Image:
    return Image.merge("RGB", [Image.fromarray(as_bytes(1 - share * ink)) for share in (0.9, 0.7, 0.3)])


def on_nothing(ink: np.ndarray, colour: tuple[int, ...]) -> Image.Image:
    """Ink of one colour; everything else is transparent."""
    colours = np.broadcast_to(np.array(colour, np.uint8), (*ink.shape, 3))
    return Image.fromarray(np.concatenate([colours, as_bytes(ink)[..., None]], axis=-1))


def transparent_palette(ink: np.ndarray) -> Image.Image:
    flat = Image.fromarray((ink > 0.5).astype(np.uint8)).convert("P")
    flat.putpalette([255, 255, 255, 0, 0, 0])
    flat.info["transparency"] = 0
    return flat


def coordinates(ink: np.ndarray) -> np.ndarray:
    """Rows and columns, from -1 to 1: float [2, height, width]."""
    return np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]


def transparent_corners(ink: np.ndarray) -> Image.Image:
    alpha = as_bytes((coordinates(ink) ** 2).sum(axis=0) < 1.5)
    return Image.merge("LA", [dark_on_light(ink), Image.fromarray(alpha)])


def uneven_light_and_noise(ink: np.ndarray) -> Image.Image:
    rows, columns = coordinates(ink)
    light = 0.7 + 0.25 * columns - 0.15 * rows - 0.1 * (rows**2 + columns**2)
    noise = np.random.default_rng(0).normal(0, 0.02, ink.shape)
    return Image.fromarray(as_bytes((0.9 - 0.65 * ink) * light + noise)).convert("RGB")


def sheet_on_a_desk(ink: np.ndarray, shape: tuple[int, int], top: int, left: int) -> Image.Image:
    """Paper on a darker desk of this shape."""
    desk = np.full(shape, 0.25)
    desk[top : top + ink.shape[0], left : left + ink.shape[1]] = 0.9 - 0.7 * ink
    return Image.fromarray(as_bytes(desk))


def ruled_paper_with_dust(ink: np.ndarray) -> Image.Image:
    ruled = 0.95 - 0.7 * ink
    ruled[20::400] = 0.6
    ruled[400:403, 500:503] = 0.1
    return Image.fromarray(as_bytes(ruled))


FORMS: Mapping[str, Callable[[np.ndarray], Image.Image]] = {
    "dark on light": dark_on_light,
    "light on dark": light_on_dark,
    "1 bit": lambda ink: dark_on_light(ink).convert("1"),
    "16 bit": lambda ink: Image.fromarray(as_bytes(1 - ink).astype(np.uint16) * 257),
    "12 bits of 16, light on dark": lambda ink: Image.fromarray((255 - as_bytes(1 - ink)).astype(np.uint16) * 16),
    "RGB": in_colour,
    "palette": lambda ink: in_colour(ink).quantize(16),
    "CMYK": lambda ink: in_colour(ink).convert("CMYK"),
    "dark ink on nothing": lambda ink: on_nothing(ink, (30, 60, 170)),
    "light ink on nothing": lambda ink: on_nothing(ink, (248, 240, 213)),
    "paper with transparent corners": transparent_corners,
    "palette with transparency": transparent_palette,
    "uneven light and noise": uneven_light_and_noise,
    "sheet on a desk": lambda ink: sheet_on_a_desk(ink, (700, 900), 120, 160),
    "small sheet on a large desk": lambda ink: sheet_on_a_desk(ink, (1500, 1800), 700, 800),
    "ruled paper with dust": ruled_paper_with_dust,
}


@pytest.mark.parametrize("form", [form for form in FORMS if form != "CMYK"])  # PNG does not have it
def test_digit_is_recovered_from_a_png(digits: np.ndarray, tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture.png"
    for digit in digits[[2, 4, 7]]:
        FORMS[form](on_page(digit)).save(path)
        image = as_mnist(pictures.read(path, background=None))
        assert (image.shape, image.dtype) == ((28, 28, 1), np.uint8)
        assert similarity(image[..., 0], digit) > CLOSE


@pytest.mark.parametrize("form", ["dark on light", "light on dark", "RGB", "CMYK", "uneven light and noise"])
def test_digit_is_recovered_from_a_jpeg(digits: np.ndarray, tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture.jpg"
    for digit in digits[[3, 5, 6]]:
        FORMS[form](on_page(digit)).save(path, quality=60)
        assert similarity(as_mnist(pictures.read(path, background=None))[..., 0], digit) > CLOSE


@pytest.mark.slow
@pytest.mark.parametrize(("size", "height", "width"), [(28, 28, 28), (60, 1500, 1200), (900, 1400, 3700)])
def test_size_does_not_matter(digits: np.ndarray, size: int, height: int, width: int) -> None:
    found = []
    for digit in digits:
        page = np.zeros((height, width), np.uint8)
        top, left = (height - size) * 2 // 3, (width - size) // 5
        page[top : top + size, left : left + size] = Image.fromarray(digit).resize((size, size))
        found.append(similarity(as_mnist(np.repeat(page[..., None], 3, axis=2))[..., 0], digit))
    assert np.median(found) > CLOSE
    assert min(found) > 0.85


def test_mnist_s_own_images_come_out_as_they_are(mnist_data_dir: Path) -> None:
    from cnn_jax import data

    found = []
    for image in data.load("mnist", data_dir=mnist_data_dir).test.images[:50]:
        found.append(similarity(as_mnist(np.repeat(image, 3, axis=2))[..., 0], image[..., 0]))
    assert np.median(found) > 0.99
    assert min(found) > 0.85  # where faint pixels at the edge are cut off, the rest grows by a pixel


def test_other_digits_are_further_away_than_the_tolerance(digits: np.ndarray) -> None:
    pairs = [similarity(digits[one], digits[other]) for one in range(10) for other in range(one)]
    assert max(pairs) < CLOSE - 0.1


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_photograph_is_turned_as_its_exif_says(digits: np.ndarray, tmp_path: Path, orientation: int) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    dark_on_light(on_page(digits[4])).transpose(turn).save(path, exif=exif)
    pixels = pictures.read(path)
    assert pixels.shape == (500, 600, 3)
    assert similarity(as_mnist(pixels)[..., 0], digits[4]) > CLOSE


def blank(level: int, noise: float) -> np.ndarray:
    pixels = level + np.random.default_rng(0).normal(0, noise, (300, 400, 1))
    return np.repeat(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), 3, axis=2)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("noise", [0.0, 8.0, 25.0])
def test_picture_without_ink_is_blank(level: int, noise: float) -> None:
    with pytest.raises(UnusablePicture, match="blank"):
        as_mnist(blank(level, noise))


def test_nothing_but_transparency_is_blank(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (10, 20, 30, 0)).save(tmp_path / "nothing.png")
    with pytest.raises(UnusablePicture, match="blank"):
        as_mnist(pictures.read(tmp_path / "nothing.png", background=None))


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from([(1, 5000), (5000, 1), (2, 2), (3, 1700)])


@pytest.mark.slow
@pytest.mark.fuzz
@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 256]))
def test_pixels_by_somebody_else_become_an_image_or_are_blank(shape: tuple, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (*shape, 3)) * (255 // (levels - 1))
    try:
        image = as_mnist(pixels.astype(np.uint8))
        assert (image.shape, image.dtype, image.max()) == ((28, 28, 1), np.uint8, 255)
    except UnusablePicture as error:
        assert "blank" in str(error)
