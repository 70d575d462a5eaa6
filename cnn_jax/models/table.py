"""A model's summary: its inputs, its layers and the operations between them, and what each of them is connected to."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flax import linen as nn

from cnn_jax.display import html_table, text_table
from cnn_jax.models.graph import Graph, trace_graph
from cnn_jax.models.summary import Layer, layers


@dataclass(frozen=True)
class Row:
    """A line of a summary. kind: "input", "layer" or "operation", such as a ReLU. connected_to: the names it reads.

    output_shape: without the batch. parameters: of a layer's first call. multiply_adds: for one image, of matrix
    products and convolutions.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    connected_to: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Summary:
    """The rows of a model in the order of computation. It shows itself as a table."""

    rows: Sequence[Row]

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Of all layers, for one image."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def headings(self) -> list[str]:
        """The headings of the table."""
        return ["layer", "output shape", "parameters", "multiply-adds", "connected to"]

    def cells(self) -> list[list[str]]:
        """The table's rows as text, the total last. None in a shape stands for the number of images."""
        shown = [
            [
                row.name,
                str((None, *row.output_shape)),
                f"{row.parameters:,}",
                f"{row.multiply_adds:,}",
                ", ".join(row.connected_to),
            ]
            for row in self.rows
        ]
        return [*shown, ["total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", ""]]

    def __repr__(self) -> str:
        return text_table(self.headings, self.cells())

    def _repr_html_(self) -> str:
        return html_table(self.headings, self.cells())


def summarize(module: nn.Module, inputs: Any) -> Summary:
    """The summary of a module; no layer is run. inputs: shapes and dtypes, as in `summary.layers`."""
    graph, by_name = trace_graph(module, inputs), {layer.name: layer for layer in layers(module, inputs)}
    names, rows = _names(graph), []
    for index, node in enumerate(graph.nodes):
        layer = by_name.get(node.name.partition(" (call ")[0]) if node.kind == "layer" else None
        if node.kind != "output":
            rows.append(
                Row(
                    name=names[index],
                    kind=node.kind,
                    output_shape=node.shape,
                    parameters=layer.parameters if layer and layer.name == node.name else 0,
                    multiply_adds=_multiply_adds(layer, node.shape) if layer else 0,
                    connected_to=tuple(names[source] for source in graph.sources(index)),
                )
            )
    return Summary(rows)


def _names(graph: Graph) -> list[str]:
    """A name for each node: operations are numbered as linen numbers layers, `relu_0`, `relu_1`."""
    counts: Counter[str] = Counter()
    names = []
    for node in graph.nodes:
        names.append(f"{node.name}_{counts[node.name]}" if node.kind == "operation" else node.name)
        counts[node.name] += node.kind == "operation"
    return names


def _multiply_adds(layer: Layer, output_shape: tuple[int, ...]) -> int:
    """Those of a call, whose map may have another size than that of the layer's first call."""
    positions = math.prod(layer.output_shape[:-1])
    return layer.multiply_adds // positions * math.prod(output_shape[:-1]) if positions else 0
