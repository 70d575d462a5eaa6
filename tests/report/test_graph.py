"""Graphs are laid out from top to bottom without overlaps, and drawn with every name and shape."""

import itertools
from xml.etree import ElementTree

import pytest

from cnn_jax.report import figures
from cnn_jax.report.graph import drawing, layout

CHAIN = [(0, 1), (1, 2), (2, 3)]
RESIDUAL = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)]
TWO_INPUTS = [(0, 2), (2, 3), (3, 4), (1, 4), (4, 5), (4, 6)]


@pytest.mark.parametrize(
    "edges", [CHAIN, RESIDUAL, TWO_INPUTS, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 4)]]
)
def test_arrows_point_down_and_boxes_do_not_overlap(edges: list[tuple[int, int]]) -> None:
    widths = [1.0 + index % 3 for index in range(1 + max(target for _, target in edges))]
    plan = layout(widths, edges)
    for path in plan.paths:
        assert [plan.row[item] for item in path] == list(range(plan.row[path[0]], plan.row[path[-1]] + 1))
    item_widths = [*widths, *[0.0] * (len(plan.row) - len(widths))]
    for one, other in itertools.combinations(range(len(plan.row)), 2):
        if plan.row[one] == plan.row[other]:
            assert abs(plan.x[one] - plan.x[other]) > (item_widths[one] + item_widths[other]) / 2


def test_chain_is_straight_and_a_second_input_is_next_to_its_reader() -> None:
    assert len(set(layout([1.0, 2.0, 1.5, 1.0], CHAIN).x)) == 1
    plan = layout([1.0] * 7, TWO_INPUTS)
    assert plan.row[1] == plan.row[4] - 1


def test_model_of_one_node_is_drawn() -> None:
    assert ">input</text>" in drawing(
        "one", {"nodes": [{"name": "input", "kind": "input", "shape": (3,)}], "edges": []}
    )


def test_names_are_escaped_and_shapes_are_written() -> None:
    nasty = '<script>"$x^2$"&amp;</script>'
    nodes = [{"name": nasty, "kind": "input", "shape": (28, 28, 1)}, {"name": "Conv_0", "kind": "layer", "shape": ()}]
    svg = drawing(nasty, {"nodes": nodes, "edges": [(0, 1)]})
    assert "<script" not in svg
    root = ElementTree.fromstring(figures.as_svg_file(svg).encode())
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")] == [
        nasty,
        "28 x 28 x 1",
        "Conv_0",
        "1",
    ]
    assert root.get("color") == "#000000"
    assert root[0].get("fill") == "#ffffff"
