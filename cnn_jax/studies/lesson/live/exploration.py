"""The sections in which the reader changes a network or a picture, meets the test images, and predicts first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.report.page import Panel, Section
from cnn_jax.studies.lesson.live import gallery, moments, robustness
from cnn_jax.studies.lesson.live.chain import NotShown, rounded
from cnn_jax.studies.lesson.live.payload import Trained

QUICK = 10_000_000  # multiply-adds of one picture: 200 pictures then take a browser less than two seconds


def compute(
    networks: Sequence[Trained], logits: Sequence[np.ndarray], data: Mapping[str, Any], digits: Dataset
) -> dict[str, Any]:
    """What these sections need beside the data of `payload.compute`, as JSON; `not_tried` says why parts are left out.

    networks: those that `payload.compute` was given. logits: of each of them for the test images, float [N, classes].
    `tried` is the index, among the shown ones, of the network that the reader changes: the first with filters that
    answers at once; None where there is none.
    """
    described = data["networks"]
    if not described:
        return {"tried": None, "not_tried": []}
    shown = [networks[network["index"]] for network in described]
    trained = [(network.experiment, rounded(network.variables)) for network in shown]
    classes = len(digits.spec.classes)
    chosen = gallery.sample(digits.test.labels, classes)
    sample = Split(digits.test.images[chosen], digits.test.labels[chosen])
    found: dict[str, Any] = {
        "gallery": gallery.compute(
            digits.test, [logits[network["index"]] for network in described], len(digits.spec.classes)
        ),
        "robustness": robustness.compute(trained, sample),
        "tried": next((index for index, network in enumerate(described) if _can_be_tried(network)), None),
        "moments": None,
        "not_tried": [],
    }
    if found["tried"] is None:
        return found | {"not_tried": ["no network of this page has convolutions and answers at once"]}
    try:
        experiment, layers = trained[found["tried"]][0], described[found["tried"]]["layers"]
        found["moments"] = moments.compute(experiment, layers, digits.train, sample)
    except NotShown as reason:
        found["not_tried"] = [f"the moments of a training are left out: {reason}"]
    return found


def _can_be_tried(network: Mapping[str, Any]) -> bool:
    """Whether the first layer has filters, and the network answers at once."""
    return bool(network["multiply_adds"] <= QUICK and network["layers"][1]["kind"] == "convolution")


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The sections, each with its text first and then its panel. data: of `compute` and `payload.compute`."""
    if not data["networks"]:
        return []
    tried = data["tried"]
    parts = [_changes(data), _confusion()]
    if tried is not None:
        title = data["networks"][tried]["title"]
        moment = [_moments(data["moments"])] if data["moments"] else []
        parts = [_filters(title), _channels(title), parts[0], *moment, parts[1], _predictions(), _exercises()]
    left_out = [Section("Parts that are left out", [f"{reason}.".capitalize()]) for reason in data["not_tried"]]
    return [*parts, *left_out]


def _filters(title: str) -> Section:
    return Section(
        "Change a filter",
        [
            "A filter of the first layer is a small table of numbers. Its map is large where the picture looks like "
            f"the filter. Choose a filter of the network {title}, change its numbers, or take a preset: detectors of "
            "edges, a blur, or a template of the X and the O. All maps on this page follow, and the test images are "
            "answered again. A preset is as strong as the trained filter: the squares of its numbers have the same "
            "sum.",
            Panel("filters"),
        ],
    )


def _channels(title: str) -> Section:
    return Section(
        "Switch channels off",
        [
            "Each map of a layer is a channel, which the next layer reads. A channel that is switched off gives zeros. "
            f"How many can the network {title} lose before its answer changes? It was trained with all of them, so "
            "that this shows what it uses now, and not what it could learn without them.",
            Panel("channels"),
        ],
    )


def _changes(data: Mapping[str, Any]) -> Section:
    count, missing = data["robustness"]["examples"], _missing(data["networks"])
    left_out = f"Left out here: {' and '.join(missing)}. To compare them, name a run of each with --runs."
    return Section(
        "Move, turn and thicken: what pooling buys",
        [
            "Move the picture, turn it, or make its strokes thicker. How sure are the networks of the right class? No "
            "network was trained on moved or turned images. The curves show one picture, or the mean over "
            f"{count} test images; only the mean tells networks apart.",
            *([left_out] if missing else []),
            Panel("changes"),
        ],
    )


def _missing(networks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The kinds of networks that the page does not have."""
    kinds = [{layer["kind"] for layer in network["layers"]} for network in networks]
    has = {
        "a network with pooling": any("max_pool" in layers for layers in kinds),
        "one with convolutions and without pooling": any(
            "convolution" in layers and "max_pool" not in layers for layers in kinds
        ),
        "one of dense layers alone": any("convolution" not in layers for layers in kinds),
    }
    return [name for name, is_there in has.items() if not is_there]


def _moments(found: Mapping[str, Any]) -> Section:
    return Section(
        "Six moments of one training" if len(found["moments"]) == 6 else "Moments of one training",
        [
            f"This network was trained when the page was made, for one epoch of {found['examples']:,} images in "
            f"batches of {found['batch_size']}. Before the first step its filters are random. Its answer to your "
            "picture is computed with the parameters of each moment, which are rounded to 8 bits.",
            Panel("moments"),
        ],
    )


def _confusion() -> Section:
    return Section(
        "What is taken for what",
        [
            "The confusion matrix counts test images by class and answer. A cell opens its images. An image that you "
            "choose goes onto the paper at the top of the page, and all other parts show it.",
            Panel("confusion"),
        ],
    )


def _predictions() -> Section:
    return Section(
        "Predict first",
        [
            "Choose an answer before you ask. The network itself is measured then, on the picture that is on the "
            "paper: with another picture the answer may be another one.",
            Panel("predictions"),
        ],
    )


def _exercises() -> Section:
    return Section("Exercises", ["Try each one before you open its solution.", Panel("exercises")])
