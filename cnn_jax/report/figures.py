"""Figures for pages, in one style: legible in grey, by colour-blind people, on paper and on a dark screen.

Lines and letters take the page's own colour. Colours are Okabe and Ito's ("Color Universal Design", 2008), and what a
colour says, a marker says too.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

INK = "#010203"  # stands for the page's colour until the drawing is done: for lines and letters of one's own
_WIDEST = 48  # rem, the width of a figure on a wide page; what is drawn 7 inches wide fills it
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",  # letters stay letters: they can be searched, read aloud and scaled
    "svg.hashsalt": "cnn_jax",  # the same drawing gives the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def draw(alt: str, paint: Callable[[Axes], None], *, size: tuple[float, float] = (7.0, 4.5)) -> Markup:
    """A drawing of one diagram as inline SVG. alt: what it shows, for who cannot see it. size: in inches."""
    return compose(alt, lambda drawing: paint(drawing.add_subplot()), size=size)


def compose(alt: str, paint: Callable[[Drawing], None], *, size: tuple[float, float]) -> Markup:
    """A drawing as inline SVG whose diagrams `paint` adds itself. alt, size: as in `draw`."""
    with matplotlib.rc_context(_STYLE):
        drawing = Drawing(figsize=size)
        paint(drawing)
        stream = io.StringIO()
        drawing.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()[stream.getvalue().index("<svg") :].replace(INK, "currentColor")
    # A narrow drawing is not blown up to the page's width: letters are of one size in all figures.
    widest = min(_WIDEST, size[0] * _WIDEST / 7)
    label = Markup('<svg role="img" aria-label="{}" style="max-width: {:.4g}rem"').format(alt, widest)
    return Markup(svg.replace("<svg", label, 1))


def alone(svg: Markup) -> str:
    """An inline drawing as a file of its own: black on white, whatever it is opened with."""
    root, rest = svg.split(">", 1)
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root} color="#000000">{paper}{rest}\n'


def panels(
    alt: str, paints: Sequence[Callable[[Axes], None]], *, columns: int, cell: tuple[float, float] = (1.6, 1.8)
) -> Markup:
    """Small diagrams in rows, one for each of `paints`. cell: width and height of each, in inches."""
    rows = -(-len(paints) // columns)

    def paint(drawing: Drawing) -> None:
        for index, panel in enumerate(paints):
            panel(drawing.add_subplot(rows, columns, index + 1))

    return compose(alt, paint, size=(cell[0] * columns, cell[1] * rows))


def plain_logarithmic(axis: Axis) -> None:
    """Plain numbers, 1, 2, 5, 10, ..., on an axis with a logarithmic scale; from a thousand on with commas."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1000 else f"{value:,.0f}")
    axis.set_minor_formatter(NullFormatter())
