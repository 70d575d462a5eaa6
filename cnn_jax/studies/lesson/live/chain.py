"""A trained network as a chain of layers that the page's scripts can compute."""

import base64
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from cnn_jax.experiment import Experiment, build
from cnn_jax.models import summary
from cnn_jax.models.graph import Graph, Node, trace_graph
from cnn_jax.models.receptive_field import Window, window
from cnn_jax.training.learner import Learner

Layer = dict[str, Any]


class NotShown(Exception):
    """The scripts cannot compute this network. The text is the reason, and goes on with the network's name."""


def chain(experiment: Experiment, variables: Mapping[str, Any]) -> list[Layer]:
    """The layers of a network in their order, the picture first, each as JSON; a layer reads the one before it.

    variables: float32, as `module.apply` takes them. Kernels and biases become float16 in base64, in the layout of
    Flax. Raises NotShown where the network is no chain of convolutions, max-pooling and dense layers on grey images.
    """
    learner = build(experiment, fused=False)
    _require_grey_images(experiment, learner)
    graph = trace_graph(learner.module, learner.input_shapes)
    _require_chain(graph)
    modules = {layer.name: layer.module for layer in summary.layers(learner.module, learner.input_shapes)}
    found: list[Layer] = []
    for node in graph.nodes[:-1]:
        if node.kind == "operation" and node.name == "relu" and node.shape == tuple(found[-1]["shape"]):
            found[-1]["relu"] = True
        elif node.kind == "input":
            found.append({"kind": "input", "name": "picture", "shape": node.shape, **_numbers(experiment)})
        elif not isinstance(modules.get(node.name), nn.Dropout):  # which does nothing outside training
            params = summary.subtree(variables["params"], node.name.split("/"))
            found.append(_layer(node, modules.get(node.name), tuple(found[-1]["shape"]), params))
    return found


def _numbers(experiment: Experiment) -> dict[str, float]:
    """How a pixel becomes an input: pixel * scale + offset."""
    spec = experiment.spec
    return {name: float(np.ravel(getattr(spec, name))[0]) for name in ("scale", "offset")}


def _require_grey_images(experiment: Experiment, learner: Learner) -> None:
    if isinstance(learner.input_shapes, dict):
        raise NotShown(f"it has several inputs: {', '.join(learner.input_shapes)}")
    if experiment.spec.image_shape[2] != 1:
        raise NotShown("its images have colours, and the page draws in grey")
    if experiment.spec.image_shape[0] != experiment.spec.image_shape[1]:
        raise NotShown("its images are not square, as the paper is")
    if experiment.config.task.name != "plain":
        raise NotShown(f"its task {experiment.config.task} changes the images before the network receives them")


def _require_chain(graph: Graph) -> None:
    for index, node in enumerate(graph.nodes[1:], start=1):
        if graph.sources(index) != [index - 1]:
            raise NotShown(f"{node.name} does not read the layer before it alone")


def _layer(node: Node, module: nn.Module | None, before: tuple[int, ...], params: Mapping[str, Any]) -> Layer:
    """A node after a layer of the shape `before`. module: of a layer. params: its parameters."""
    layer: Layer = {"name": node.name, "shape": node.shape}
    if len(node.shape) == 1 and not params and np.prod(before) == node.shape[0] and _only_reshapes(node, module):
        return {"kind": "flatten", **layer}
    pooling = _pooling(node, module, before)
    if pooling:
        return {"kind": "max_pool", **layer, **_window(pooling)}
    if set(params) <= {"kernel", "bias"} and "kernel" in params:
        arrays: Layer = {name: encoded(value, node.name) for name, value in params.items()}
        arrays["largest_weight"] = float(np.abs(params["kernel"]).max()) or 1.0
        if params["kernel"].ndim == 2 and len(before) == 1:
            return {"kind": "dense", **layer, **arrays}
        read = window(module, before) if module is not None else None
        if read and _is_plain_convolution(module, read, params["kernel"].shape, before):
            return {"kind": "convolution", **layer, **_window(read), **arrays}
    raise NotShown(f"the page cannot compute {node.name}")


def _only_reshapes(node: Node, module: nn.Module | None) -> bool:
    return node.name == "reshape" if module is None else type(module).__name__ == "Flatten"


def _pooling(node: Node, module: nn.Module | None, before: tuple[int, ...]) -> Window | None:
    """The window of max-pooling without padding, a layer of the project's or `nn.max_pool`; None for other nodes."""
    if module is not None:
        return window(module, before) if type(module).__name__ == "MaxPool" else None
    if node.name != "reduce_window_max" or any(map(any, node.settings["padding"])):
        return None
    sizes, strides = ([*node.settings[name]][-3:] for name in ("window_dimensions", "window_strides"))
    if sizes[2] != 1 or strides[2] != 1:
        return None
    return Window((sizes[0], sizes[1]), (strides[0], strides[1]))


def _is_plain_convolution(
    module: nn.Module | None, read: Window, kernel: tuple[int, ...], before: tuple[int, ...]
) -> bool:
    """Whether every filter reads all channels of a window without gaps, with zeros around the map."""
    padding = getattr(module, "padding", "VALID")
    has_zeros = not isinstance(padding, str) or padding in ("VALID", "SAME")
    return kernel[:2] == read.size and kernel[2:3] == before[2:] and has_zeros


def _window(read: Window) -> Layer:
    return {"size": read.size, "stride": read.stride, "padding": read.padding}


def encoded(values: Any, name: str) -> str:
    """An array as float16 in base64, little-endian. name: of its layer. Raises NotShown on what float16 cannot hold."""
    with np.errstate(over="ignore"):
        halves = np.asarray(values, np.float32).astype("<f2")
    if not np.isfinite(halves).all():
        raise NotShown(f"the weights of {name} are too large for the page, over 65,504")
    return base64.b64encode(halves.tobytes()).decode()


def rounded(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as the page has them: float32 [...] of the nearest float16."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float16).astype(np.float32), dict(variables))
