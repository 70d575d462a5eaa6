"""The receptive field of a layer: the pixels that one unit sees, computed from the layers or measured by gradients.

The recursion is that of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill,
2019). It is applied to rows and columns, along the graph of the model.
"""

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.linear import canonicalize_padding
from jax import lax

from cnn_jax import compilation
from cnn_jax.models import summary
from cnn_jax.models.graph import Node, trace_graph

Pair = tuple[int, int]  # (rows, columns)

PROBES = 64  # random inputs; one is not enough, because max-pooling and ReLU hide a part of the field
# The fast convolutions round where the definition gives zero: gradients below this share of the largest count as zero.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Field:
    """The receptive fields of the units of a map, in pixels of the image.

    size: from the first pixel that a unit sees to the last one; a dilated window may leave out some between them.
    start: the first pixel that the first unit sees. jump: the distance between the fields of two neighbouring units.
    units: the height and width of the map; (1, 1) for a layer without positions, which sees the whole map before it.
    """

    size: Pair
    start: Pair = (0, 0)
    jump: Pair = (1, 1)
    units: Pair = (1, 1)

    def box(self, image_shape: Sequence[int]) -> tuple[slice, slice]:
        """The rows and columns of the image that the central unit sees."""

        def seen(axis: int) -> slice:
            first = self.start[axis] + self.units[axis] // 2 * self.jump[axis]
            return slice(max(0, first), min(first + self.size[axis], image_shape[axis]))

        return seen(0), seen(1)


@dataclass(frozen=True)
class Window:
    """The window of the map before it that a unit reads. padding: added before the map's first row and column."""

    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


def computed(module: nn.Module, inputs: Any) -> dict[str, Field]:
    """Computes the receptive field of every layer from the windows of the layers before it.

    inputs: as in `summary.layers`. The image is the first input that has height and width; layers that do not depend on
    it are left out. A layer with an unknown window is assumed to see the whole map before it, unless its output has the
    same height and width: what a GroupNorm sees for its statistics does not count.
    """
    graph = trace_graph(module, inputs)
    modules = {layer.name: layer.module for layer in summary.layers(module, inputs)}
    fields: dict[int, Field] = {}
    for index, node in enumerate(graph.nodes):
        sources = [source for source in graph.sources(index) if source in fields]
        if sources:
            fields[index] = _union(
                [_through(fields[source], graph.nodes[source].shape, node, modules) for source in sources]
            )
        elif node.kind == "input" and len(node.shape) == 3 and not fields:
            fields[index] = Field((1, 1), units=_units(node.shape))
    return {graph.nodes[index].name: field for index, field in fields.items() if graph.nodes[index].kind == "layer"}


def window(module: nn.Module, shape: Sequence[int]) -> Window | None:
    """The window of a map [H, W, C] that a unit of this layer reads; None where it is not known.

    A convolution or pooling is any layer with a `kernel_size`; strides, padding and kernel_dilation are read where it
    has them.
    """
    if not hasattr(module, "kernel_size") or len(shape) != 3:
        return None
    size, stride, dilation = (
        _pair(getattr(module, name, None) or 1) for name in ("kernel_size", "strides", "kernel_dilation")
    )
    size = ((size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1)
    pads = canonicalize_padding(getattr(module, "padding", "VALID"), 2)
    pads = lax.padtype_to_pads(shape[:2], size, stride, pads) if isinstance(pads, str) else pads
    return Window(size, stride, (pads[0][0], pads[1][0]))


def _pair(value: int | Sequence[int]) -> Pair:
    rows, columns = (value, value) if isinstance(value, int) else value
    return rows, columns


def _units(shape: Sequence[int]) -> Pair:
    return (shape[0], shape[1]) if len(shape) == 3 else (1, 1)


def _through(field: Field, shape: Sequence[int], node: Node, modules: Mapping[str, nn.Module]) -> Field:
    """The field of a node that reads a map with this field and shape."""
    read: Window | None = None
    if node.kind == "layer":
        read = window(modules[node.name.partition(" (call ")[0]], shape)
    elif node.name == "slice" and len(shape) == 3:
        _, top, left, _ = node.settings["start_indices"]
        _, *stride, _ = node.settings["strides"] or (1, 1, 1, 1)
        read = Window((1, 1), _pair(stride), (-top, -left))
    if read is None:
        read = Window((1, 1) if _units(shape) == _units(node.shape) else _units(shape))
    axes = zip(field.size, field.start, field.jump, read.size, read.stride, read.padding, strict=True)
    size, start, jump = zip(
        *((f + (w - 1) * j, first - pad * j, j * s) for f, first, j, w, s, pad in axes),
        strict=True,
    )
    return Field(size, start, jump, _units(node.shape))


def _union(fields: Sequence[Field]) -> Field:
    """The field of a unit that reads several maps at the same position, such as a sum of two branches."""
    (top, bottom), (left, right) = (
        (min(field.start[axis] for field in fields), max(field.start[axis] + field.size[axis] for field in fields))
        for axis in (0, 1)
    )
    return replace(fields[0], start=(top, left), size=(bottom - top, right - left))


def measured(module: nn.Module, inputs: Any, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Measures the receptive field of every layer by gradients of the module, with random parameters: bool [H, W].

    True where the central unit of a layer, over all channels, has a nonzero gradient for at least one of `PROBES`
    random inputs. Of a layer without positions, all units count. inputs, image: as in `computed`.
    """
    inputs_key, params_key, weights_key = jax.random.split(jax.random.key(seed), 3)
    leaves, structure = jax.tree.flatten(inputs)
    probes = [
        jax.random.normal(jax.random.fold_in(inputs_key, index), (PROBES, *leaf.shape[1:]))
        for index, leaf in enumerate(leaves)
    ]
    image = next(index for index, leaf in enumerate(leaves) if leaf.ndim == 4)
    init = functools.partial(module.init, **summary.train_argument(module, is_training=False))
    variables = compilation.jit(init, runs_once=True)(params_key, jax.tree.unflatten(structure, probes))

    def fields(variables: Any, probes: list[jax.Array]) -> OrderedDict[str, jax.Array]:
        def outputs(images: jax.Array) -> OrderedDict[str, jax.Array]:
            leaves = [*probes[:image], images, *probes[image + 1 :]]
            return summary.layer_outputs(module, variables, jax.tree.unflatten(structure, leaves))

        maps, backward = jax.vjp(outputs, probes[image])
        weights = [_central_weights(output, weights_key) for output in maps.values()]

        def mask(layer: jax.Array) -> jax.Array:
            cotangents = (jnp.where(layer == index, weight, 0) for index, weight in enumerate(weights))
            (gradient,) = backward(OrderedDict(zip(maps, cotangents, strict=True)))
            size = jnp.abs(gradient)
            return jnp.any(size > _ROUNDING * jnp.max(size), axis=(0, 3))

        # One program loops over the layers: compiling a program for each of them would take most of the time.
        return OrderedDict(zip(maps, lax.map(mask, jnp.arange(len(maps))), strict=True))

    return {name: np.asarray(mask) for name, mask in compilation.jit(fields, runs_once=True)(variables, probes).items()}


def _central_weights(output: jax.Array, key: jax.Array) -> jax.Array:
    """Random weights for the channels of the central unit and zero elsewhere; for all units where it has no positions.

    Equal weights would measure nothing behind a layer that normalizes over channels: the sum over its channels is the
    same for any input.
    """
    weights = jax.random.normal(key, output.shape, output.dtype)
    if output.ndim != 4:
        return weights
    row, column = output.shape[1] // 2, output.shape[2] // 2
    return jnp.zeros_like(output).at[:, row, column].set(weights[:, row, column])
