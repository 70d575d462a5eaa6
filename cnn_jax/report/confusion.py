"""The confusion matrix as a picture for TensorBoard.

It is drawn with Pillow: a run would wait a second for matplotlib, and on a machine without a home folder that warns.
"""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MOST_CLASSES = 100  # a larger matrix is not drawn
_MOST_NUMBERED = 20  # classes of a matrix whose cells have room for their numbers
_LARGE_CELL, _SMALL_CELL = 48, 15  # pixels
_GAP, _LINE = 6, 20  # pixels beside a text, and the height of a line
_FONT_SIZE = 12
_LONGEST_NAME, _LONGEST_UPRIGHT = 20, 3  # characters of a class's name; longer headings of columns are turned
_CAPTION = "test images; rows: class, columns: prediction"
_BLUE = np.array((0, 114, 178))


def picture(confusion: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The matrix with a shade in each cell, and its number where there are few classes: uint8 [H, W, 3].

    confusion: numbers of images by class (rows) and prediction (columns), integers [classes, classes], of at most
    `MOST_CLASSES` classes. The square root of a cell's share of its row is its shade: a few images outside the diagonal
    show beside a thousand on it. names: of the classes; one that the font cannot show is replaced by its number.
    """
    font = _font()
    labels = [_shown(str(name), index, font) for index, name in enumerate(names)]
    cell = _LARGE_CELL if len(names) <= _MOST_NUMBERED else _SMALL_CELL
    margin, side = math.ceil(max(map(font.getlength, labels))) + 2 * _GAP, cell * len(names)
    is_turned = max(map(len, labels)) > _LONGEST_UPRIGHT
    left, top = margin, 2 * _GAP + _LINE + (margin if is_turned else _LINE)
    width = max(left + side, math.ceil(font.getlength(_CAPTION)) + _GAP) + _GAP
    canvas = Image.new("RGB", (width, top + side + _GAP), "white")
    ImageDraw.Draw(canvas).text((_GAP, _GAP), _CAPTION, "black", font)
    canvas.paste(_column_of(labels, cell, margin, font, anchor="rm"), (0, top))
    if is_turned:
        turned = _column_of(labels, cell, margin, font, anchor="lm").transpose(Image.Transpose.ROTATE_90)
        canvas.paste(turned, (left, top - margin))
    else:
        for index, label in enumerate(labels):
            ImageDraw.Draw(canvas).text((left + (index + 0.5) * cell, top - _GAP), label, "black", font, anchor="ms")
    canvas.paste(_cells(confusion, cell, font), (left, top))
    return np.asarray(canvas)


def _column_of(
    labels: Sequence[str], cell: int, width: int, font: ImageFont.FreeTypeFont, *, anchor: str
) -> Image.Image:
    """Labels below each other. anchor: `lm` to begin at the left, `rm` to end at the right."""
    column = Image.new("RGB", (width, cell * len(labels)), "white")
    draw, place = ImageDraw.Draw(column), _GAP if anchor == "lm" else width - _GAP
    for index, label in enumerate(labels):
        draw.text((place, (index + 0.5) * cell), label, "black", font, anchor=anchor)
    return column


def _cells(confusion: np.ndarray, cell: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The shaded cells, each with a white line at its right and below it."""
    shades = np.sqrt(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))
    colours = np.rint(255 - shades[..., None] * (255 - _BLUE)).astype(np.uint8)
    colours[confusion == 0] = 242  # a grid of empty cells, on white
    pixels = np.repeat(np.repeat(colours, cell, axis=0), cell, axis=1)
    pixels[cell - 1 :: cell] = pixels[:, cell - 1 :: cell] = 255
    cells = Image.fromarray(pixels)
    draw = ImageDraw.Draw(cells)
    for (row, column), count in np.ndenumerate(confusion) if cell == _LARGE_CELL else ():
        if count:
            place = ((column + 0.5) * cell, (row + 0.5) * cell)
            draw.text(place, f"{count}", "white" if shades[row, column] > 0.6 else "black", font, anchor="mm")
    return cells


def _shown(name: str, index: int, font: ImageFont.FreeTypeFont) -> str:
    """A class's name, shortened where it is long; its number where the font lacks one of its characters."""
    missing = bytes(font.getmask("\U0010ffff"))
    if not name.strip() or not name.isprintable() or any(bytes(font.getmask(letter)) == missing for letter in name):
        return f"({index})"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along; where it does not, Pillow's own font, which has ASCII alone."""
    found = importlib.util.find_spec("matplotlib")
    folders = [Path(folder) for folder in (found.submodule_search_locations or ())] if found else []
    for file in (folder / "mpl-data/fonts/ttf/DejaVuSans.ttf" for folder in folders):
        if file.is_file():
            return ImageFont.truetype(str(file), _FONT_SIZE)
    font = ImageFont.load_default(_FONT_SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's packages have FreeType"
    return font
