"""A user's picture, of any form, becomes the image that MNIST would have made of the digit in it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.data import glyphs, pictures
from cnn_jax.data.pictures import UnusablePicture

CLOSE = 0.93  # cosine similarity, at best within a pixel; two different digits of this file are below 0.8


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """One of each digit: uint8 [10, 28, 28]."""
    return glyphs.draw(np.arange(10, dtype=np.int32), seed=3)[..., 0]


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


def picture(ink: np.ndarray, form: str) -> Image.Image:
    """A page of ink as a picture of this form."""
    paper = as_bytes(1 - ink)
    rows, columns = np.mgrid[-1 : 1 : ink.shape[0] * 1j, -1 : 1 : ink.shape[1] * 1j]
    colours = np.stack([np.full_like(paper, 30), np.full_like(paper, 60), np.full_like(paper, 170)], axis=-1)
    match form:
        case "dark on light":
            return Image.fromarray(paper)
        case "light on dark":
            return Image.fromarray(255 - paper)
        case "1 bit":
            return Image.fromarray(paper).convert("1")
        case "16 bit":
            return Image.fromarray(paper.astype(np.uint16) * 257)
        case "12 bits of 16, light on dark":
            return Image.fromarray((255 - paper).astype(np.uint16) * 16)
        case "RGB":
            return Image.merge("RGB", [Image.fromarray(as_bytes(1 - share * ink)) for share in (0.9, 0.7, 0.3)])
        case "dark ink on nothing":
            return Image.fromarray(np.concatenate([colours, as_bytes(ink)[..., None]], axis=-1))
        case "light ink on nothing":
            return Image.fromarray(np.concatenate([255 - colours // 4, as_bytes(ink)[..., None]], axis=-1))
        case "paper with transparent corners":
            alpha = as_bytes(rows**2 + columns**2 < 1.5)
            return Image.merge("LA", [Image.fromarray(paper), Image.fromarray(alpha)])
        case "palette":
            return picture(ink, "RGB").quantize(16)
        case "palette with transparency":
            flat = Image.fromarray((ink > 0.5).astype(np.uint8)).convert("P")
            flat.putpalette([255, 255, 255, 0, 0, 0])
            flat.info["transparency"] = 0
            return flat
        case "CMYK":
            return picture(ink, "RGB").convert("CMYK")
        case "uneven light and noise":
            light = 0.7 + 0.25 * columns - 0.15 * rows - 0.1 * (rows**2 + columns**2)
            noise = np.random.default_rng(0).normal(0, 0.02, ink.shape)
            return Image.fromarray(as_bytes((0.9 - 0.65 * ink) * light + noise)).convert("RGB")
        case "sheet on a desk":
            desk = np.full((ink.shape[0] + 200, ink.shape[1] + 300), 0.25)
            desk[120:-80, 160:-140] = 0.9 - 0.7 * ink
            return Image.fromarray(as_bytes(desk))
        case "small sheet on a large desk":
            desk = np.full((3 * ink.shape[0], 3 * ink.shape[1]), 0.25)
            desk[700:-300, 800:-400] = 0.9 - 0.7 * ink
            return Image.fromarray(as_bytes(desk))
        case "ruled paper with dust":
            ruled = 0.95 - 0.7 * ink
            ruled[20::400] = 0.6
            ruled[400:403, 500:503] = 0.1
            return Image.fromarray(as_bytes(ruled))
    raise AssertionError(form)


FORMS = (
    *("dark on light", "light on dark", "1 bit", "16 bit", "12 bits of 16, light on dark", "RGB", "palette"),
    *("dark ink on nothing", "light ink on nothing", "paper with transparent corners", "palette with transparency"),
    *("uneven light and noise", "sheet on a desk", "small sheet on a large desk", "ruled paper with dust"),
)


@pytest.mark.parametrize("form", FORMS)
def test_digit_is_recovered_from_a_png(digits: np.ndarray, tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture.png"
    for digit in digits[[2, 4, 7]]:
        picture(on_page(digit), form).save(path)
        image = pictures.as_mnist(pictures.read(path))
        assert (image.shape, image.dtype) == ((28, 28, 1), np.uint8)
        assert similarity(image[..., 0], digit) > CLOSE


@pytest.mark.parametrize("form", ["dark on light", "light on dark", "RGB", "CMYK", "uneven light and noise"])
def test_digit_is_recovered_from_a_jpeg(digits: np.ndarray, tmp_path: Path, form: str) -> None:
    path = tmp_path / "picture.jpg"
    for digit in digits[[3, 5, 6]]:
        picture(on_page(digit), form).save(path, quality=60)
        assert similarity(pictures.as_mnist(pictures.read(path))[..., 0], digit) > CLOSE


@pytest.mark.parametrize(("size", "height", "width"), [(28, 28, 28), (60, 1500, 1200), (900, 1400, 3700)])
def test_size_does_not_matter(digits: np.ndarray, size: int, height: int, width: int) -> None:
    found = []
    for digit in digits:
        page = np.zeros((height, width), np.uint8)
        top, left = (height - size) * 2 // 3, (width - size) // 5
        page[top : top + size, left : left + size] = Image.fromarray(digit).resize((size, size))
        found.append(similarity(pictures.as_mnist(np.repeat(page[..., None], 3, axis=2))[..., 0], digit))
    assert np.median(found) > CLOSE
    assert min(found) > 0.85


def test_mnist_s_own_images_come_out_as_they_are(mnist_data_dir: Path) -> None:
    from cnn_jax import data

    found = []
    for image in data.load("mnist", data_dir=mnist_data_dir).test.images[:50]:
        found.append(similarity(pictures.as_mnist(np.repeat(image, 3, axis=2))[..., 0], image[..., 0]))
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
    picture(on_page(digits[4]), "dark on light").transpose(turn).save(path, exif=exif)
    pixels = pictures.read(path)
    assert pixels.shape == (500, 600, 3)
    assert similarity(pictures.as_mnist(pixels)[..., 0], digits[4]) > CLOSE


def blank(level: int, noise: float) -> np.ndarray:
    pixels = level + np.random.default_rng(0).normal(0, noise, (300, 400, 1))
    return np.repeat(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), 3, axis=2)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("noise", [0.0, 8.0, 25.0])
def test_picture_without_ink_is_blank(level: int, noise: float) -> None:
    with pytest.raises(UnusablePicture, match="blank"):
        pictures.as_mnist(blank(level, noise))


def test_nothing_but_transparency_is_blank(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (10, 20, 30, 0)).save(tmp_path / "nothing.png")
    with pytest.raises(UnusablePicture, match="blank"):
        pictures.as_mnist(pictures.read(tmp_path / "nothing.png"))


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it has so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"just words", "neither a PNG nor a JPEG"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "neither a PNG nor a JPEG"),
        (png_of(7_100, 7_100), "over 50 million"),  # 50.4 million, below what Pillow warns of
        (png_of(10_000, 10_000), "over 50 million"),  # what it warns of
        (png_of(100_000, 100_000), "over 50 million"),  # what it refuses
        (png_of(100, 100), "truncated or damaged"),
    ],
)
def test_unusable_file_is_refused_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(UnusablePicture, match=reason):
        pictures.read(path)


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg"])
def test_truncated_file_is_refused(digits: np.ndarray, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    picture(on_page(digits[8]), "uneven light and noise").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnusablePicture, match="truncated"):
        pictures.read(path)


def encoded(mode: str, kind: str) -> bytes:
    stream = io.BytesIO()
    image = Image.linear_gradient("L").resize((24, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.convert(mode).save(stream, kind, exif=exif)
    return stream.getvalue()


WHOLE = [encoded(*form) for form in (("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"))]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.none() | st.integers(0, len(content)))
    return bytes(content[:cut]) + draw(st.binary(max_size=8))


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | damaged())
def test_picture_by_somebody_else_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    try:
        assert pictures.as_mnist(pictures.read(path)).shape == (28, 28, 1)
    except UnusablePicture as error:
        assert str(error)


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from([(1, 5000), (5000, 1), (2, 2), (3, 1700)])


@pytest.mark.fuzz
@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 256]))
def test_pixels_by_somebody_else_become_an_image_or_are_blank(shape: tuple, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (*shape, 3)) * (255 // (levels - 1))
    try:
        image = pictures.as_mnist(pixels.astype(np.uint8))
        assert (image.shape, image.dtype, image.max()) == ((28, 28, 1), np.uint8, 255)
    except UnusablePicture as error:
        assert "blank" in str(error)
