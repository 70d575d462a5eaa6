"""Part 5 of the lesson's page: a model of several inputs and outputs, drawn and trained."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cnn_jax.report import figures, graph, pictures
from cnn_jax.report.page import Figure, Section, Table

_QUESTIONS = {"digit": "which digit", "five_or_more": "5 or more"}


def section(record: Mapping[str, Any]) -> Section:
    """What the part says and draws of its record."""
    blocks: list[str | Table | Figure] = [
        "Layers one behind the other are the simplest model. Keras's functional API builds any graph of layers: "
        "several inputs, branches that go around layers and come back, several outputs. In flax it takes nothing new: "
        "a module is a function, and what it receives and gives may be dicts of arrays.",
        Figure(
            graph.drawing("The model of two inputs and two outputs", record["graph"]),
            "The model of cnn_jax/models/graph.py: names and output shapes of its layers, read off the module itself. "
            "Beside the image it receives three numbers; one way goes around two convolutions and is added to them; "
            "two layers at the end answer two questions. The same drawing of any model: "
            "python run.py --mode=summary --graph=FILE.svg.",
        ),
        "The second input is computed from the image: how much ink there is (the mean of all pixels), how wide the box "
        "around the ink is for its height, and how far the ink leans to the right for each pixel up.",
        Figure(_examples(record), "An image of each class with its three numbers: ink, aspect ratio, slant."),
        _numbers(record),
        f"It was trained just now, by the same step and loop as every other model, on {record['train_examples']:,} "
        f"images of {record['dataset']}: {record['parameters']:,} parameters, one loss an output, and their mean is "
        f"what the gradient is of. Scored on {record['test_examples']:,} test images:",
        _scores(record),
        "For a full run: python run.py --experiment=two_inputs_two_outputs.",
    ]
    return Section("The functional model", blocks)


def _examples(record: Mapping[str, Any]) -> Markup:
    titles = [f"{ink:.2f}   {aspect:.2f}   {slant:+.2f}" for ink, aspect, slant in record["metadata"]]
    paints = [
        lambda axes, pixels=pixels, title=title: pictures.image(axes, pixels.mean(axis=-1), title)
        for pixels, title in zip(record["images"], titles, strict=True)
    ]
    alt = "Ten images with three numbers each: " + "; ".join(
        f"{name}: {title}" for name, title in zip(record["classes"], titles, strict=True)
    )
    return figures.panels(f"{alt}.", paints, columns=5)


def _numbers(record: Mapping[str, Any]) -> Table:
    rows = [
        [name, *(f"{value:.3f}" for value in means)]
        for name, means in zip(record["classes"], record["class_means"], strict=True)
    ]
    return Table("Means over the training images of each class", ["class", *record["numbers"]], rows)


def _scores(record: Mapping[str, Any]) -> Table:
    last = record["rows"][-1]
    rows = [
        [
            _QUESTIONS.get(name, name),
            f"{last[f'train_loss/{name}']:.4f}",
            f"{100 * last[f'train_accuracy/{name}']:.2f}",
            f"{score['loss']:.4f}",
            f"{100 * score['accuracy']:.2f}",
        ]
        for name, score in record["outputs"].items()
    ]
    headings = ["output", "train loss", "train accuracy, %", "test loss", "test accuracy, %"]
    return Table(f"After {len(record['rows'])} epochs; of training: during the last", headings, rows)
