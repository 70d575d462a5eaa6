"""Figures for pages, in one style that can be read in grey, by colour-blind people, on paper and on a dark screen.

Lines and text take the colour of the page's text. The other colours are Okabe and Ito's ("Color Universal Design",
2008), and each goes with a marker of its own.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

INK = "#010203"  # becomes the colour of the page's text when the drawing is done
_MANY_POWERS = 1e4  # a ratio of an axis's ends
_BELOW = 0.5  # inches, of what stands below panels
_WIDEST = 48  # rem; the width on a wide page of a figure that is 7 inches wide
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and scaled
    "svg.hashsalt": "cnn_jax",  # the same drawing gives the same file
    "text.parse_math": False,  # a name may hold dollar signs
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def draw(alt: str, paint: Callable[[Axes], None], *, size: tuple[float, float] = (7.0, 4.5)) -> Markup:
    """A drawing of one diagram as inline SVG. alt: what it shows, in words. size: width and height in inches."""
    return compose(alt, lambda drawing: paint(drawing.add_subplot()), size=size)


def compose(alt: str, paint: Callable[[Drawing], None], *, size: tuple[float, float]) -> Markup:
    """A drawing as inline SVG, to which `paint` adds the diagrams itself. alt, size: as in `draw`."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has fonts for every script
        drawing = Drawing(figsize=size)
        paint(drawing)
        stream = io.StringIO()
        drawing.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()[stream.getvalue().index("<svg") :].replace(INK, "currentColor")
    # A narrow drawing is not scaled up to the page's width, so that text has one size in all figures.
    widest = min(_WIDEST, size[0] * _WIDEST / 7)
    label = Markup('<svg role="img" aria-label="{}" style="max-width: {:.4g}rem"').format(alt, widest)
    return Markup(svg.replace("<svg", label, 1))


def as_svg_file(svg: Markup) -> str:
    """The text of an SVG file with an inline drawing, black on white in every viewer."""
    root, rest = svg.split(">", 1)
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root} color="#000000">{paper}{rest}\n'


def panels(
    alt: str,
    paints: Sequence[Callable[[Axes], None]],
    *,
    columns: int,
    cell: tuple[float, float] = (1.6, 1.8),
    below: Callable[[Axes], None] | None = None,
) -> Markup:
    """Small diagrams in rows, one for each of `paints`. cell: width and height of each, in inches.

    below: draws what belongs to all of them, such as a scale, under the last row.
    """
    rows = -(-len(paints) // columns)
    heights = [cell[1]] * rows + ([_BELOW] if below else [])

    def paint(drawing: Drawing) -> None:
        grid = drawing.add_gridspec(len(heights), columns, height_ratios=heights)
        for index, panel in enumerate(paints):
            panel(drawing.add_subplot(grid[divmod(index, columns)]))
        if below:
            below(drawing.add_subplot(grid[-1, :]))

    return compose(alt, paint, size=(cell[0] * columns, sum(heights)))


def line_style(index: int) -> dict[str, Any]:
    """The colour and the marker of one of several lines: the same index looks the same in all figures."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Faint grid lines."""
    axes.grid(axis=axis, color=INK, alpha=0.15)


def plain_logarithmic(axis: Axis, digits: Sequence[int] = (1, 2, 5)) -> None:
    """Writes plain numbers, 1, 2, 5, 10, ..., at an axis with a logarithmic scale, from 1,000 on with commas.

    digits: the first digits of the numbers to write; 1 alone where the axis spans more than `_MANY_POWERS`, which has
    no room for others. To be called when all is drawn.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=digits if high <= _MANY_POWERS * low else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1000 else f"{value:,.0f}")
    axis.set_minor_formatter(NullFormatter())
