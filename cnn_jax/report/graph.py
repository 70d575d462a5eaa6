"""A model's graph as a drawing from top to bottom: boxes with names and shapes, and arrows between them.

The layout is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures"
(1981): a node's row is its longest path from an input, the order in a row follows the neighbours in other rows, and
long arrows bend around boxes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from scipy.optimize import linprog

from cnn_jax.report import figures

Edge = tuple[int, int]

# All in inches. Most letters of most fonts are narrower than this; a few are wider.
_LETTER, _BOX_HEIGHT, _ROW, _BETWEEN, _MARGIN = 0.095, 0.46, 0.74, 0.3, 0.12
_BEND = 0.2  # the width that an arrow needs where it passes a row
_SWEEPS = 20
_FILL = {"input": figures.COLOURS[2], "output": figures.COLOURS[1], "layer": figures.COLOURS[0], "operation": None}


@dataclass(frozen=True)
class Layout:
    """Where the items are. Items are the nodes and, numbered after them, the bends, where an edge passes a row.

    x: the middle of each item. row: of each item, counted from the top. paths: the items of each edge, in order.
    """

    x: Sequence[float]
    row: Sequence[int]
    paths: Sequence[Sequence[int]]


def drawing(title: str, record: Mapping[str, Any]) -> Markup:
    """The graph as inline SVG. record: nodes, each with name, kind and shape, and edges, pairs of indices of nodes."""
    nodes, edges = record["nodes"], record["edges"]
    widths = [_width(node) for node in nodes]
    plan = layout(widths, edges)
    left = min(x - width / 2 for x, width in zip(plan.x, widths, strict=False)) - _MARGIN
    right = max(x + width / 2 for x, width in zip(plan.x, widths, strict=False)) + _MARGIN
    left, right = min(left, *plan.x), max(right, *plan.x)
    bottom = (max(plan.row) + 1) * _ROW - (_ROW - _BOX_HEIGHT) + 2 * _MARGIN

    def paint(canvas: Drawing) -> None:
        canvas.set_layout_engine("none")  # one inch of the plan is one inch of the drawing
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, 0)
        for path in plan.paths:
            _arrow(axes, [(plan.x[item], _middle(plan.row[item])) for item in path])
        for node, x, row, width in zip(nodes, plan.x, plan.row, widths, strict=False):
            _box(axes, node, x, _middle(row), width)

    alt = f"{title}: " + "; ".join(_in_words(nodes, edges, index) for index in range(len(nodes))) + "."
    return figures.compose(alt, paint, size=(right - left, bottom))


def layout(widths: Sequence[float], edges: Sequence[Edge]) -> Layout:
    """Places nodes so that all arrows point down.

    widths: of the nodes, in inches. edges: pairs (source, target) of indices; a source comes before its target.
    """
    row = _rows(len(widths), edges)
    paths: list[list[int]] = []
    for source, target in edges:
        bends = range(row[source] + 1, row[target])
        paths.append([source, *range(len(row), len(row) + len(bends)), target])
        row.extend(bends)
    item_widths = [*widths, *[_BEND] * (len(row) - len(widths))]
    links = [link for path in paths for link in pairwise(path)]
    items = [[item for item in range(len(row)) if row[item] == level] for level in range(max(row) + 1)]
    return Layout(_placed(_ordered(items, links), links, item_widths), row, paths)


def _rows(count: int, edges: Sequence[Edge]) -> list[int]:
    """The longest path from an input. Nodes with at most one source then move down to just above their first reader."""
    row = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        row[target] = max(row[target], row[source] + 1)
    reads = Counter(target for _, target in edges)
    for index in reversed(range(count)):
        readers = [row[target] for source, target in edges if source == index]
        if readers and reads[index] <= 1:
            row[index] = min(readers) - 1
    return row


def _ordered(items: list[list[int]], links: Sequence[Edge]) -> list[list[int]]:
    """Sorts each row by the mean position of the neighbours in other rows, going down and up the rows in turn."""
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in links:
        near[one].append(other)
        near[other].append(one)
    for sweep in range(_SWEEPS):
        position = {item: index - len(level) / 2 for level in items for index, item in enumerate(level)}
        for level in items[:: -1 if sweep % 2 else 1]:
            before = {item: position[item] for item in level}
            others = {item: [position[other] for other in near[item] if other not in before] for item in level}
            level.sort(key=lambda item: fmean(others[item]) if others[item] else before[item])
            position |= {item: index - len(level) / 2 for index, item in enumerate(level)}
    return items


def _placed(items: Sequence[Sequence[int]], links: Sequence[Edge], widths: Sequence[float]) -> list[float]:
    """The middle of each item: rows keep their order and distances, and arrows go sideways as little as possible.

    A linear program, as in Gansner et al., "A Technique for Drawing Directed Graphs" (1993), section 4.
    """
    count, total = len(widths), len(widths) + len(links)
    rows, limits = [], []

    def at_least(high: int, low: int, distance: float, slack: int | None = None) -> None:
        row = np.zeros(total)
        row[[low, high]] = 1, -1
        if slack is not None:
            row[slack] = -1
        rows.append(row)
        limits.append(-distance)

    for level in items:
        for one, other in pairwise(level):
            at_least(other, one, (widths[one] + widths[other]) / 2 + _BETWEEN)
    for slack, (one, other) in enumerate(links, start=count):
        at_least(one, other, 0, slack)
        at_least(other, one, 0, slack)
    # Bends cost more than boxes, so that long arrows are straight.
    cost = [(1 + (widths[one] == _BEND)) * (1 + (widths[other] == _BEND)) for one, other in links]
    if not rows:
        return [0.0] * count
    return linprog([0] * count + cost, A_ub=np.array(rows), b_ub=limits).x[:count].tolist()


def _middle(row: int) -> float:
    return _MARGIN + row * _ROW + _BOX_HEIGHT / 2


def _shape(node: Mapping[str, Any]) -> str:
    return " x ".join(map(str, node["shape"])) or "1"


def _width(node: Mapping[str, Any]) -> float:
    return _LETTER * max(len(node["name"]), len(_shape(node)), 8) + 0.2


def _box(axes: Axes, node: Mapping[str, Any], x: float, y: float, width: float) -> None:
    fill, is_layer = _FILL[node["kind"]], node["kind"] == "layer"
    box = FancyBboxPatch(
        (x - width / 2, y - _BOX_HEIGHT / 2),
        width,
        _BOX_HEIGHT,
        boxstyle=f"round,pad=0,rounding_size={0.05 if is_layer else _BOX_HEIGHT / 2}",
        facecolor=to_rgba(fill, 0.2) if fill else "none",
        edgecolor=figures.INK,
    )
    axes.add_patch(box)
    weight = "bold" if is_layer else "normal"
    for text, above, size, bold in ((node["name"], -0.09, 10.5, weight), (_shape(node), 0.11, 9.5, "normal")):
        axes.text(x, y + above, text, ha="center", va="center", fontsize=size, fontweight=bold, parse_math=False)


def _arrow(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """An arrow from the lower side of the first box through the bends to the upper side of the last box."""
    half = _BOX_HEIGHT / 2
    vertices, codes = [(points[0][0], points[0][1] + half)], [Path.MOVETO]
    for x, y in points[1:]:
        (last_x, last_y), top = vertices[-1], y - half
        middle = (last_y + top) / 2
        vertices += [(last_x, middle), (x, middle), (x, top)]
        codes += [Path.CURVE4] * 3
        if (x, y) != points[-1]:
            vertices.append((x, y + half))
            codes.append(Path.LINETO)
    line = Path(vertices, codes)
    axes.add_patch(FancyArrowPatch(path=line, arrowstyle="-|>", mutation_scale=9, color=figures.INK, linewidth=1))


def _in_words(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Edge], index: int) -> str:
    sources = [nodes[source]["name"] for source, target in edges if target == index]
    reads = f" from {' and '.join(sources)}" if sources else ""
    return f"{nodes[index]['name']} ({_shape(nodes[index])}){reads}"
