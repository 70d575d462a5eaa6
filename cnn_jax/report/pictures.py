"""Arrays as pictures: images pixel by pixel, and maps with their numbers; in diagrams of `figures.py`, or as files."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from cnn_jax.report.figures import COLOURS

GREY = "Greys"  # large is dark, as ink is
DIVERGING = "RdBu_r"  # negative is blue, zero is white, positive is red; red and blue stay apart for every eye
STROKES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # what a colour says, the line says too


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


def mosaic(axes: Axes, maps: np.ndarray, title: str = "", *, columns: int, largest: float) -> None:
    """Many maps as tiles of one picture, in rows, coloured as a heat map. maps: [H, W, N], in [-largest, largest]."""
    height, width, count = maps.shape
    rows = -(-count // columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)  # what is no number stays the page's colour
    tiles[:count, :height, :width] = np.moveaxis(maps, 2, 0)
    picture = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2).reshape(rows * (height + 1), -1)
    axes.imshow(picture[:-1, :-1], cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="none")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)


def squares(axes: Axes, pixels: np.ndarray, boxes: Sequence[tuple[str, tuple[int, int, int, int]]], title: str) -> None:
    """An image with frames around parts, named below. boxes: each with its name and (top, left, bottom, right)."""
    image(axes, pixels, title)
    for place, (name, (top, left, bottom, right)) in enumerate(boxes):
        # White beneath the colour: the frame is seen on paper and on ink.
        for colour, width, label in (("white", 4.5, None), (COLOURS[place % len(COLOURS)], 2.2, name)):
            corner, style = (left - 0.5, top - 0.5), STROKES[place % len(STROKES)] if label else "-"
            axes.add_patch(
                Rectangle(
                    corner,
                    right - left,
                    bottom - top,
                    fill=False,
                    edgecolor=colour,
                    linewidth=width,
                    linestyle=style,
                    label=label,
                )
            )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=10, handlelength=2.6)


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
