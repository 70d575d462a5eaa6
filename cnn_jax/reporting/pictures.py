"""Arrays as pictures: images pixel by pixel, and maps with their numbers; in diagrams of `figures.py`, or as files."""

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

GREY = "Greys"  # large is dark, as ink is
DIVERGING = "RdBu_r"  # negative is blue, zero is white, positive is red; red and blue stay apart for every eye


def image(
    axes: Axes, pixels: np.ndarray, title: str = "", *, low: float | None = None, high: float | None = None
) -> None:
    """An image, its pixels as they are. pixels: [H, W], dark where large, or [H, W, 3], colours in [0, 1].

    low, high: the values that are white and black; default the smallest and the largest.
    """
    axes.imshow(pixels, cmap=GREY, vmin=low, vmax=high, interpolation="none")
    _frame(axes, title)


def heat_map(axes: Axes, values: np.ndarray, title: str = "", *, largest: float = 1.0, form: str = "{:.2f}") -> None:
    """A map with its numbers: white at zero, red above, blue below. values: [H, W], between -largest and largest.

    form: of the numbers; empty: without them.
    """
    axes.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="none")
    for (row, column), value in np.ndenumerate(values) if form else ():
        pale = abs(value) < 0.6 * largest
        axes.text(
            *(column, row, form.format(value)),
            ha="center",
            va="center",
            fontsize=8,
            color="#000000" if pale else "white",
        )
    _frame(axes, title)


def png(pixels: np.ndarray) -> bytes:
    """An image as a PNG file, pixel by pixel. pixels: uint8 [H, W] or [H, W, 3]."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def thumbnail(pixels: np.ndarray, side: int = 240) -> bytes:
    """An image made small enough for its longer side, as a JPEG file. pixels: uint8 [H, W, 3]."""
    stream, small = io.BytesIO(), Image.fromarray(pixels)
    small.thumbnail((side, side))
    small.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def ink(pixels: np.ndarray) -> np.ndarray:
    """An image as ink on paper: uint8 [H, W], dark where large. pixels: uint8 [H, W]."""
    return 255 - pixels


def tinted(pixels: np.ndarray, values: np.ndarray, largest: float) -> np.ndarray:
    """An image as ink on a map's colours, those of `heat_map`: uint8 [H, W, 3].

    pixels: uint8 [H, W], dark where large. values: [H, W], between -largest and largest.
    """
    colours = matplotlib.colormaps[DIVERGING](0.5 + 0.5 * values / (largest or 1.0))[..., :3]
    return np.rint(255 * colours * (1 - 0.75 * pixels[..., None] / 255)).astype(np.uint8)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
