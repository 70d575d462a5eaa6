"""Which pixels of the image a unit of a layer sees: computed from the layers, and measured from gradients.

The recursion is that of Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill,
2019), for rows and columns at once, along the model's real graph.
"""

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
from cnn_jax.models.feature_maps import layer_outputs
from cnn_jax.models.graph import Node, graph
from cnn_jax.models.layers import MaxPool

Pair = tuple[int, int]  # of rows and of columns

_PROBES = 64  # random inputs: max-pooling and ReLU hide a part of the field from each
# Fast convolutions leave rounding where the definition has zero: gradients below this share of the largest are none.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Field:
    """What the units of a map see of the image, in pixels.

    size: from the first pixel that a unit sees to the last; dilated windows may leave some out between them. start: the
    first pixel that the first unit sees. jump: from one unit's field to the next one's. units: how many there are;
    (1, 1) where a layer has no positions and sees all of the map before.
    """

    size: Pair
    start: Pair = (0, 0)
    jump: Pair = (1, 1)
    units: Pair = (1, 1)

    def box(self, image_shape: Sequence[int]) -> tuple[slice, slice]:
        """The rows and columns that the central unit sees, cut off at the image's border."""
        first = [
            start + units // 2 * jump for start, units, jump in zip(self.start, self.units, self.jump, strict=True)
        ]
        rows, columns = (
            slice(max(0, low), min(low + size, whole))
            for low, size, whole in zip(first, self.size, image_shape, strict=False)
        )
        return rows, columns


@dataclass(frozen=True)
class Window:
    """What a unit reads of the map before it. padding: what is added before the map's first row and column."""

    size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)


def computed(module: nn.Module, inputs: Any) -> dict[str, Field]:
    """Every layer's field, from the windows of the layers before it.

    inputs: as in `summary.layers`. The image is the first input that has height and width; layers that see nothing of
    it are left out. What has no known window, and does not keep height and width, is taken to see the whole map.
    """
    model = graph(module, inputs)
    modules = {layer.name: layer.module for layer in summary.layers(module, inputs)}
    fields: dict[int, Field] = {}
    for place, node in enumerate(model.nodes):
        sources = [source for source in model.sources(place) if source in fields]
        if sources:
            fields[place] = _union(
                [_through(fields[source], model.nodes[source].shape, node, modules) for source in sources]
            )
        elif node.kind == "input" and len(node.shape) == 3 and not fields:
            fields[place] = Field((1, 1), units=_units(node.shape))
    return {model.nodes[place].name: field for place, field in fields.items() if model.nodes[place].kind == "layer"}


def window(module: nn.Module, shape: Sequence[int]) -> Window | None:
    """What a unit of this layer reads of a map [H, W, C]; None where the layer does not say.

    A convolution says it as flax's does: by its `kernel_size` and, where it has them, strides, padding and dilation.
    """
    if isinstance(module, MaxPool):
        return Window((2, 2), (2, 2))
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
    """The field of a node that reads a map of this field and shape."""
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
    """What is seen by a unit that reads one of each of these maps, which lie upon each other."""
    (top, bottom), (left, right) = (
        (min(field.start[axis] for field in fields), max(field.start[axis] + field.size[axis] for field in fields))
        for axis in (0, 1)
    )
    return replace(fields[0], start=(top, left), size=(bottom - top, right - left))


def measured(module: nn.Module, inputs: Any, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Every layer's field by gradients of the module itself, with random parameters: bool [H, W].

    True where the central unit of a layer, all of its channels together, has a gradient for at least one of 64 random
    inputs. Of a layer without positions all units count. inputs, image: as in `computed`.
    """
    inputs_key, params_key, weights_key = jax.random.split(jax.random.key(seed), 3)
    leaves, structure = jax.tree.flatten(inputs)
    drawn = [
        jax.random.normal(jax.random.fold_in(inputs_key, place), (_PROBES, *leaf.shape[1:]))
        for place, leaf in enumerate(leaves)
    ]
    image = next(place for place, leaf in enumerate(leaves) if leaf.ndim == 4)
    params = compilation.jit(module.init, runs_once=True)(params_key, jax.tree.unflatten(structure, drawn))["params"]

    def fields(params: Any, drawn: list[jax.Array]) -> OrderedDict[str, jax.Array]:
        def outputs(images: jax.Array) -> OrderedDict[str, jax.Array]:
            return layer_outputs(
                module, params, jax.tree.unflatten(structure, [*drawn[:image], images, *drawn[image + 1 :]])
            )

        maps, backward = jax.vjp(outputs, drawn[image])
        weights = [_of_the_centre(output, weights_key) for output in maps.values()]

        def seen(layer: jax.Array) -> jax.Array:
            chosen = (jnp.where(layer == place, weight, 0) for place, weight in enumerate(weights))
            (gradient,) = backward(OrderedDict(zip(maps, chosen, strict=True)))
            size = jnp.abs(gradient)
            return jnp.any(size > _ROUNDING * jnp.max(size), axis=(0, 3))

        # One layer after the other through one program: compiling a program for each would take most of the time.
        return OrderedDict(zip(maps, lax.map(seen, jnp.arange(len(maps))), strict=True))

    return {name: np.asarray(mask) for name, mask in compilation.jit(fields, runs_once=True)(params, drawn).items()}


def _of_the_centre(output: jax.Array, key: jax.Array) -> jax.Array:
    """Random weights for the channels of the central unit, or for all units where there are no positions, else zero.

    Equal weights would see nothing behind a layer that normalizes over channels: their sum is the same for any input.
    """
    weights = jax.random.normal(key, output.shape, output.dtype)
    if output.ndim != 4:
        return weights
    row, column = output.shape[1] // 2, output.shape[2] // 2
    return jnp.zeros_like(output).at[:, row, column].set(weights[:, row, column])
