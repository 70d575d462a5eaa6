"""What the page's scripts know: the networks with their parameters, the first drawing, and the X and the O."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data import x_and_o
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.experiment import Experiment, build
from cnn_jax.models import summary
from cnn_jax.studies.lesson import template_matching
from cnn_jax.studies.lesson.live.chain import Layer, NotShown, chain, rounded

MOST = 3  # networks: the lecture's two and the dense one, some megabytes together
_FOR_SCALES = 100  # test images
_SHARE = 0.999  # of a layer's outputs for them are within the ends of its colour scale


class Trained(NamedTuple):
    """A trained network. title: as the page calls it. origin: whose parameters these are, in a sentence."""

    title: str
    origin: str
    experiment: Experiment
    variables: Mapping[str, Any]


def compute(networks: Sequence[Trained], spec: Spec, test: Split, image: np.ndarray) -> dict[str, Any]:
    """The scripts' data, as JSON has it, and why networks are left out.

    networks: the most important first. test: its first images measure the scales of colours, and one of each class is
    there to be chosen. image: uint8 [H, W, C], the first drawing. `index` of a network is that in `networks`.
    """
    shown, left_out = [], []
    for index, network in enumerate(networks[:MOST]):
        try:
            shown.append({"index": index, **_described(network, spec, test.images[:_FOR_SCALES])})
        except NotShown as reason:
            left_out.append(f"{network.title}: {reason}.")
    left_out += [f"{network.title}: the page has room for {MOST} networks." for network in networks[MOST:]]
    return {
        "networks": shown,
        "left_out": left_out,
        "classes": list(spec.classes),
        "mnist_form": spec.mnist_form,
        "image": _drawing(image),
        "examples": _examples(test),
        "letters": _letters(),
    }


def _described(network: Trained, spec: Spec, images: np.ndarray) -> dict[str, Any]:
    layers = chain(network.experiment, network.variables)
    learner = build(network.experiment, spec, fused=False)
    outputs = summary.feature_maps(learner.module, rounded(network.variables), learner.inputs(images))
    _add_scales(layers, outputs)
    parts = summary.layers(learner.module, learner.input_shapes)
    return {
        "title": network.title,
        "origin": network.origin,
        "parameters": sum(part.parameters for part in parts),
        "multiply_adds": sum(part.multiply_adds for part in parts),
        "layers": layers,
    }


def _add_scales(layers: Sequence[Layer], outputs: Mapping[str, Any]) -> None:
    """Adds `largest` to layers: the end of the scale of colours of its outputs, before any ReLU."""
    for before, layer in zip([layers[0], *layers], layers, strict=False):
        values = outputs.get(layer["name"])
        known = np.quantile(np.abs(values), _SHARE) if values is not None else before.get("largest", 1)
        layer["largest"] = float(f"{known:.2g}") or 1.0


def _examples(test: Split) -> list[dict[str, Any]]:
    """The first test image of each class."""
    labels, first = np.unique(test.labels, return_index=True)
    return [{"label": int(label), **_drawing(test.images[index])} for label, index in zip(labels, first, strict=True)]


def _drawing(image: np.ndarray) -> dict[str, Any]:
    """An image as the page draws it. pixels: grey levels in base64, row after row, 255 is ink."""
    return {"side": image.shape[0], "pixels": base64.b64encode(image[..., 0].tobytes()).decode()}


def _letters() -> dict[str, Any]:
    """The X, the O and their templates: +1 is ink, -1 is paper."""
    letters = {"X": x_and_o.LABEL_X, "O": x_and_o.LABEL_O}
    templates = {**template_matching.OF_X, **template_matching.OF_O}
    return {
        "pictures": {name: np.where(x_and_o.canonical(label) > 0, 1, -1).tolist() for name, label in letters.items()},
        "templates": {name: template.astype(int).tolist() for name, template in templates.items()},
    }
