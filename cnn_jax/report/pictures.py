"""Arrays as pictures: images pixel by pixel and heat maps, in diagrams of `figures.py` or as files."""

import io
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from cnn_jax.report.figures import COLOURS, draw, panels

GREY = "Greys"  # large values are dark, as ink is
DIVERGING = "RdBu_r"  # negative is blue, zero is white, positive is red; red and blue stay apart for every eye
_FAINT = (128, 128, 128, 80)  # seen on light pages and on dark ones
STROKES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # each colour goes with a line style of its own


def image(
    axes: Axes, pixels: np.ndarray, title: str = "", *, low: float | None = None, high: float | None = None
) -> None:
    """Draws an image pixel by pixel. pixels: [H, W] or [H, W, C].

    Three channels are colours, uint8. Of others the mean is drawn, dark where large.
    low, high: the values that are drawn white and black; by default the smallest and the largest.
    """
    axes.imshow(_grey_or_colours(pixels), cmap=GREY, vmin=low, vmax=high, interpolation="none")
    _frame(axes, title)


def gallery(
    alt: str,
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    columns: int,
    cell: tuple[float, float] = (1.6, 1.8),
    low: float | None = None,
    high: float | None = None,
) -> Markup:
    """Images in rows, each below its title. images, low, high: as in `image`. alt, cell: as in `figures.panels`."""
    paints = [
        partial(image, pixels=pixels, title=title, low=low, high=high)
        for pixels, title in zip(images, titles, strict=True)
    ]
    return panels(alt, paints, columns=columns, cell=cell)


def heat_map(axes: Axes, values: np.ndarray, title: str = "", *, largest: float = 1.0, form: str = "{:.2f}") -> None:
    """Draws a heat map: white at zero, red above, blue below. values: [H, W], between -largest and largest.

    form: how the number in each cell is written; an empty string leaves the numbers out.
    """
    axes.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="none")
    for (row, column), value in np.ndenumerate(values) if form else ():
        colour = "#000000" if abs(value) < 0.6 * largest else "white"
        axes.text(column, row, form.format(value), ha="center", va="center", fontsize=8, color=colour)
    _frame(axes, title)


def scale(largest: float) -> Callable[[Axes], None]:
    """Draws the colours of heat maps from -largest to largest, with numbers at both ends and at zero."""

    def paint(axes: Axes) -> None:
        ends = (-largest, largest)
        axes.imshow(np.linspace(-1, 1, 255)[None], cmap=DIVERGING, extent=(*ends, 0, 1), aspect="auto")
        axes.set_box_aspect(0.05)
        axes.set_xticks((-largest, 0, largest), (f"\u2212{largest:.2f}", "0", f"+{largest:.2f}"), fontsize=10)
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(True)

    return paint


def scale_alone(alt: str, largest: float) -> Markup:
    """The colours of heat maps as a drawing of its own, as `scale` draws them."""
    return draw(alt, scale(largest), size=(3.0, 0.5))


def mosaic(alt: str, maps: np.ndarray) -> Markup:
    """Many heat maps as tiles of one picture, without numbers, about twice as wide as high, above their scale.

    maps: float [H, W, N]. The darkest red or blue stands for the largest absolute value of all maps.
    """
    height, width, count = maps.shape
    columns = min(count, 8 if count <= 32 else 16)
    rows = -(-count // columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)  # NaN keeps the page's background
    tiles[:count, :height, :width] = np.moveaxis(maps, 2, 0)
    picture = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2).reshape(rows * (height + 1), -1)
    largest = float(np.abs(maps).max()) or 1.0

    def paint(axes: Axes) -> None:
        axes.imshow(picture[:-1, :-1], cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="none")
        axes.set_axis_off()

    return panels(alt, [paint], columns=1, cell=(7, 7 * picture.shape[0] / picture.shape[1]), below=scale(largest))


def sheet(alt: str, rows: np.ndarray, side: int = 64) -> Markup:
    """Images in rows and columns, without titles, with a wide gap after the first column.

    rows: uint8 [rows, columns, H, W, C], shown as in `image`; larger ones are scaled down to at most `side`.
    """
    tiles = [[_scaled_down(_on_paper(pixels), side) for pixels in row] for row in rows]
    width, height = tiles[0][0].size
    gap = 2 + -(-width // 16)
    size = (len(tiles[0]) * (width + gap) + gap + 2, len(tiles) * (height + gap) - gap + 2)
    picture = Image.new("RGBA", size)  # transparent: gaps have the page's background
    for row, column in np.ndindex(rows.shape[:2]):
        left, top = column * (width + gap) + (2 * gap if column else 0), row * (height + gap)
        picture.paste(_FAINT, (left, top, left + width + 2, top + height + 2))  # a frame
        picture.paste(tiles[row][column], (left + 1, top + 1))

    def paint(axes: Axes) -> None:
        axes.imshow(np.asarray(picture), interpolation="none")
        axes.set_axis_off()

    return draw(alt, paint, size=(7, 7 * size[1] / size[0]))


def squares(axes: Axes, pixels: np.ndarray, boxes: Sequence[tuple[str, tuple[int, int, int, int]]], title: str) -> None:
    """Draws a pale image with frames around parts of it, and a legend. boxes: names and (top, left, bottom, right)."""
    axes.imshow(_pale(pixels), interpolation="none")
    _frame(axes, title)
    for index, (name, (top, left, bottom, right)) in enumerate(boxes):
        colour, stroke = COLOURS[index % len(COLOURS)], STROKES[index % len(STROKES)]
        frame = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, label=name)
        frame.set(edgecolor=colour, linewidth=2.2, linestyle=stroke)
        axes.add_patch(frame)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=10, handlelength=2.6)


def png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of an image. pixels: uint8 [H, W] or [H, W, 3]."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def tile(pixels: np.ndarray, side: int = 96) -> tuple[bytes, str]:
    """A small picture of a dataset's image and its media type: pixel by pixel, or scaled down to at most `side`.

    pixels: uint8 [H, W, C], shown as in `image`.
    """
    shown = _on_paper(pixels)
    return (thumbnail(shown, side), "image/jpeg") if max(shown.shape[:2]) > side else (png(shown), "image/png")


def thumbnail(pixels: np.ndarray, side: int = 240) -> bytes:
    """The bytes of a JPEG file of an image whose longer side is scaled to at most `side`.

    pixels: uint8 [H, W] or [H, W, 3].
    """
    stream = io.BytesIO()
    _scaled_down(pixels, side).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def tinted(pixels: np.ndarray, values: np.ndarray, largest: float) -> np.ndarray:
    """An image on top of a heat map, in the colours of `heat_map`: uint8 [H, W, 3].

    pixels: uint8 [H, W], drawn dark where large. values: [H, W], between -largest and largest.
    """
    colours = matplotlib.colormaps[DIVERGING](0.5 + 0.5 * values / (largest or 1.0))[..., :3]
    return np.rint(255 * colours * (1 - 0.75 * pixels[..., None] / 255)).astype(np.uint8)


def _scaled_down(pixels: np.ndarray, side: int) -> Image.Image:
    """The image; where its longer side has more than `side` pixels, scaled to that."""
    small = Image.fromarray(pixels)
    small.thumbnail((side, side))
    return small


def _on_paper(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W, C] -> uint8 [H, W], dark where large, or where C is 3 as it is."""
    shown = _grey_or_colours(pixels)
    return 255 - np.rint(shown).astype(np.uint8) if shown.ndim == 2 else shown


def _pale(pixels: np.ndarray) -> np.ndarray:
    """An image so light that coloured lines can be seen on its darkest parts: uint8 [H, W, C] -> uint8 [H, W, 3]."""
    shown = _on_paper(pixels)
    colours = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
    return 255 - (255 - colours) // 4


def _grey_or_colours(pixels: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, C] -> [H, W] or, where C is 3, as it is."""
    return pixels if pixels.ndim == 2 or pixels.shape[2] == 3 else pixels.mean(axis=2)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
