"""Arrays as pictures, for the diagrams of `figures.py`: images pixel by pixel, and maps with their numbers."""

import numpy as np
from matplotlib.axes import Axes

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


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
