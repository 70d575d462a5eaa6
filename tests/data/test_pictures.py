"""Picture files of every kind become images of a dataset's shape, or are refused with a reason."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.data import pictures
from cnn_jax.data.pictures import UnusablePicture

RED_LEFT = np.zeros((40, 60, 3), np.uint8)  # red on the left half, blue on the right one
RED_LEFT[:, :30, 0] = RED_LEFT[:, 30:, 2] = 255


@pytest.fixture(autouse=True)
def pillow_does_not_warn() -> Iterator[None]:
    with pictures.without_warnings():
        yield


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format_is_read_in_its_colours(tmp_path: Path, kind: str) -> None:
    Image.fromarray(RED_LEFT).save(tmp_path / "file", kind)
    pixels = pictures.read(tmp_path / "file")
    assert (pixels.shape, pixels.dtype) == (RED_LEFT.shape, np.uint8)
    assert np.abs(pixels[:, [10, 50]].astype(int) - RED_LEFT[:, [10, 50]]).max() < 20


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16"])
def test_every_mode_is_read(tmp_path: Path, mode: str) -> None:
    grey = Image.linear_gradient("L").resize((30, 20))
    image = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        if mode == "I;16"
        else grey.convert("RGB" if mode in ("LAB", "CMYK", "YCbCr") else "L").convert(mode)
    )
    image.save(tmp_path / "file", "TIFF" if mode not in ("1", "P", "RGBA", "LA") else "PNG")
    pixels = pictures.read(tmp_path / "file")
    assert (pixels.shape, pixels.dtype) == ((20, 30, 3), np.uint8)
    assert pixels[-1].mean() > pixels[0].mean() + 100


@pytest.mark.parametrize("values", [(-50.0, 50.0), (-1.0, 1.0), (0.0, 1e6)])
def test_numbers_that_are_no_grey_levels_are_refused(tmp_path: Path, values: tuple[float, float]) -> None:
    Image.fromarray(np.linspace(*values, 600, dtype=np.float32).reshape(20, 30)).save(tmp_path / "file.tiff")
    with pytest.raises(UnusablePicture, match="are no grey levels"):
        pictures.read(tmp_path / "file.tiff")


def test_brightness_of_16_bits_is_the_same_in_every_file(tmp_path: Path) -> None:
    for level in (1_000, 40_000):
        Image.fromarray(np.full((4, 5), level, np.uint16)).save(tmp_path / "file.png")
        assert (pictures.read(tmp_path / "file.png") == round(level / 257)).all()


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (9, 5), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert (pictures.read(tmp_path / "clear.png") == 255).all()


def test_middle_is_cut_out_and_scaled() -> None:
    wide = pictures.fitted(RED_LEFT, (20, 20, 3))  # 40 x 40 of 40 x 60, whose left and right ends are cut off
    assert wide.shape == (20, 20, 3)
    assert (wide[:, :8] == (255, 0, 0)).all() and (wide[:, 12:] == (0, 0, 255)).all()
    tall = pictures.fitted(RED_LEFT.swapaxes(0, 1), (10, 30, 3))
    assert tall.shape == (10, 30, 3)
    assert (tall[0] == (255, 0, 0)).all() and (tall[-1] == (0, 0, 255)).all()


def test_image_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(pictures.fitted(pixels, (32, 32, 3)), pixels)
    grey = np.repeat(pixels[..., :1], 3, axis=2)
    assert np.array_equal(pictures.fitted(grey, (32, 32, 1)), pixels[..., :1])


def test_large_jpeg_may_be_read_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    Image.fromarray(RED_LEFT).resize((1600, 1000)).save(tmp_path / "photo.jpg")
    whole, part = pictures.read(tmp_path / "photo.jpg"), pictures.read(tmp_path / "photo.jpg", enough=64)
    assert whole.shape == (1000, 1600, 3)
    assert 64 <= min(part.shape[:2]) < 200
    one, other = (pictures.fitted(pixels, (32, 32, 3)).astype(int) for pixels in (whole, part))
    assert np.abs(one - other).mean() < 3


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
        (b"just words", "no PNG, JPEG, WebP, BMP, TIFF or GIF"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "no PNG, JPEG, WebP, BMP, TIFF or GIF"),
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
def test_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnusablePicture, match="truncated"):
        pictures.read(path)


def encoded(mode: str, kind: str) -> bytes:
    stream = io.BytesIO()
    image = Image.linear_gradient("L").resize((24, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.convert(mode).save(stream, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    return stream.getvalue()


MODES = (("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP"), ("P", "GIF"))
WHOLE = [encoded(*form) for form in (*MODES, ("RGB", "TIFF"), ("RGB", "BMP"))]


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
        assert pictures.fitted(pictures.read(path), (28, 20, 1)).shape == (28, 20, 1)
    except UnusablePicture as error:
        assert str(error)
