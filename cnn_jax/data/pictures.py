"""Picture files of any kind, mode and size: read as RGB pixels, and made into images of a dataset's shape."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cnn_jax.errors import InputError

LARGEST = 50_000_000  # pixels; a larger picture is not decoded. A photograph has about 12 million
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
FORMATS_IN_WORDS = "PNG, JPEG, WebP, BMP, TIFF or GIF"
WHITE = 255


class UnusablePicture(InputError):
    """A picture that cannot be used. The text is the reason, without the name of the file."""


def read(path: Path, *, background: int | None = WHITE, enough: int = 0) -> np.ndarray:
    """The pixels of a picture file: uint8 [H, W, 3], rotated as its EXIF data say, without transparency.

    Of several pages or frames the first is read. background: the grey level behind transparent pixels; None: that of
    the paper which the picture shows. enough: a JPEG may be read at a fraction of its size, with at least so many
    pixels along each side; 0 means whole. Raises UnusablePicture where the file is of another kind, is damaged, or has
    more than LARGEST pixels. Several threads may read at once, inside `without_warnings`.
    """
    try:
        if path.stat().st_size == 0:
            raise UnusablePicture("the file is empty")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise UnusablePicture(f"{image.width:,} x {image.height:,} pixels are over {LARGEST // 10**6} million")
            if enough:
                image.draft(None, (enough, enough))
            return _colours(ImageOps.exif_transpose(image), background)
    except UnusablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnusablePicture(f"the picture has over {LARGEST // 10**6} million pixels") from None
    except Image.UnidentifiedImageError:
        raise UnusablePicture(f"no {FORMATS_IN_WORDS} picture") from None
    except FileNotFoundError:
        raise UnusablePicture("no such file") from None
    except PermissionError:
        raise UnusablePicture("no permission to read it") from None
    except Exception as error:  # decoders raise errors of many types on damaged files
        raise UnusablePicture(f"truncated or damaged ({str(error) or type(error).__name__})") from None


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Pillow's warnings: their causes are either refused here or do not change the picture."""
    with warnings.catch_warnings(action="ignore"):
        yield


def as_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """The middle of a picture file as an image of a dataset: uint8 `shape`. Raises UnusablePicture."""
    return fitted(read(path, enough=2 * max(shape[:2])), shape)


def fitted(pixels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The middle of a picture as an image of a dataset: uint8 [H, W, 3] -> uint8 `shape`, of 1 or 3 channels.

    The picture is scaled, with its aspect kept, until it just covers the shape; what sticks out is cut off evenly.
    """
    height, width, channels = shape
    image = Image.fromarray(pixels)
    image = image if channels == 3 else image.convert("L")
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(shape)


def _colours(image: Image.Image, background: int | None) -> np.ndarray:
    """An image of any mode as uint8 [H, W, 3]."""
    if image.mode.startswith(("I", "F")):
        grey = _bytes(np.asarray(image, np.float32), image.mode, is_digit=background is None)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        return _on_grey(pixels, _paper(pixels) if background is None else background)
    return np.asarray(image.convert("RGB"))


def _bytes(values: np.ndarray, mode: str, *, is_digit: bool) -> np.ndarray:
    """Grey levels of more than 8 bits as uint8. They are those of 8 or 16 bits, or shares from 0 to 1.

    is_digit: a scanner may use only 12 of 16 bits, and ink is told from paper anyway: the largest value is white.
    Raises UnusablePicture on values that are no grey levels.
    """
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 65535:
        raise UnusablePicture(f"its values from {low:g} to {high:g} are no grey levels")
    levels = (65535,) if "16" in mode else (255, 65535) if mode == "I" else (1, 255, 65535)
    white = max(high, 255) if is_digit else next(level for level in levels if high <= level)
    return np.rint(values * np.float32(255 / white)).astype(np.uint8)


def _on_grey(pixels: np.ndarray, grey: float) -> np.ndarray:
    """Fills transparent pixels with a grey level: uint8 [H, W, 4] -> [H, W, 3]."""
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.rint(alpha * pixels[..., :3] + (1 - alpha) * grey).astype(np.uint8)


def _paper(pixels: np.ndarray) -> float:
    """The grey level of the paper in a picture with transparent pixels, uint8 [H, W, 4].

    A picture that shows paper and ink gets that of its paper; one of ink alone gets white or black, whichever differs
    more from the ink.
    """
    greys = pixels[..., :3].mean(axis=2)[pixels[..., 3] > 127]
    if not greys.size:
        return 255.0
    if 2 * greys.size > pixels[..., 3].size and np.ptp(np.percentile(greys, (2, 98))) > 50:
        return float(np.median(greys))
    return 0.0 if greys.mean() > 127 else 255.0
