"""Part 5, the functional model: two inputs, a residual branch and two outputs, trained by the same loop."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_jax import program
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.models.graph import trace_graph
from cnn_jax.report import graph, pictures
from cnn_jax.report.format import loss, percent
from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson.formats import Record
from cnn_jax.studies.lesson.short_run import compiled, train_and_score

ARRAYS: Mapping[str, str] = {
    "images": "uint8 [10, H, W, C]: the first training image of each class",
    "metadata": "float32 [10, 3]: total ink, aspect ratio and slant of each of them",
    "class_means": "float64 [10, 3]: means of the three numbers over the training images of each class",
}

NUMBERS = ("total ink", "aspect ratio", "slant")
TRAIN_EXAMPLES, TEST_EXAMPLES, EPOCHS = 6_000, 2_000, 2
_QUESTIONS = {"digit": "which digit is it?", "five_or_more": "is it 5 or more?"}


def compute(dataset: Dataset) -> dict[str, Any]:
    """Trains the model for a short time on the first images of a dataset of ten classes, and shows its second input."""
    spec = dataset.spec
    experiment = Experiment().vary(model="two_inputs_two_outputs", task="with_metadata", widths=(16, 64), epochs=EPOCHS)
    train_split, test_split = dataset.train[:TRAIN_EXAMPLES], dataset.test[:TEST_EXAMPLES]
    unfused = build(experiment, spec, fused=False)
    training, inference = compiled(experiment, spec, train_split, test_split)
    _, rows, test = train_and_score(training, inference, experiment.config.seed)
    metadata = np.asarray(tasks.with_metadata(spec.inputs(train_split.images))["metadata"])
    of_class = [train_split.labels == label for label in range(len(spec.classes))]
    first = [int(np.argmax(is_member)) for is_member in of_class]
    return {
        "dataset": spec.name,
        "classes": spec.classes,
        "train_examples": len(train_split),
        "test_examples": len(test_split),
        "images": train_split.images[first],
        "metadata": metadata[first],
        "class_means": np.stack([metadata[is_member].mean(axis=0, dtype=float) for is_member in of_class]),
        "graph": trace_graph(unfused.module, unfused.input_shapes).record(),
        "parameters": training.learner.parameters,
        "rows": rows,
        "outputs": {name: score._asdict() for name, score in test.outputs.items()},
    }


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    return Section(
        "A model with two inputs and two outputs",
        [
            "A chain of layers is the simplest model. With Keras's functional API one can build any graph of layers: "
            "with several inputs, with branches that leave the chain and join it again, and with several outputs. In "
            "Flax this needs nothing special: a module is a function, and its inputs and outputs may be dicts of "
            "arrays.",
            Figure(
                graph.drawing("The model with two inputs and two outputs", record["graph"]),
                "The model of cnn_jax/models/two_inputs_two_outputs.py: the names and output shapes of its layers, as "
                "they are found by tracing it. It receives an image and three numbers. A branch of two convolutions is "
                "added to its own input. The last two layers answer two questions: which digit is it, and is it 5 or "
                f"more? To draw any model: {program.command()} --mode=summary --graph=FILE.svg.",
            ),
            "The second input consists of three numbers that are computed from the image. Total ink is the mean of all "
            "pixels. Aspect ratio is the width of the box around the ink, divided by its height. Slant is the number "
            "of pixels that the ink leans to the right for each pixel upwards.",
            _examples(record),
            _numbers(record),
            f"The model was trained for this page, by the same training loop as every other model, on "
            f"{record['train_examples']:,} images of {record['dataset']}. It has {record['parameters']:,} parameters. "
            "Each output has its own loss, and training reduces the mean of the two losses. It was scored on "
            f"{record['test_examples']:,} test images.",
            _scores(record),
            f"For a full run: {program.command()} --experiment=two_inputs_two_outputs.",
        ],
    )


def _examples(record: Record) -> Figure:
    titles = [
        f"class {name}\ntotal ink {ink:.2f}\naspect ratio {aspect:.2f}\nslant {slant:+.2f}"
        for name, (ink, aspect, slant) in zip(record["classes"], record["metadata"], strict=True)
    ]
    alt = f"Ten images with three numbers each. {'; '.join(titles)}.".replace("\n", ", ")
    drawing = pictures.gallery(alt, record["images"], titles, columns=5, cell=(1.6, 2.4))
    return Figure(drawing, "One image of each class and its three numbers.")


def _numbers(record: Record) -> Table:
    rows = [
        [name, *(f"{value:.3f}" for value in means)]
        for name, means in zip(record["classes"], record["class_means"], strict=True)
    ]
    return Table("Means over the training images of each class", ["class", *NUMBERS], rows)


def _scores(record: Record) -> Table:
    last = record["rows"][-1]
    rows = [
        [
            _QUESTIONS[name],
            loss(last[f"train_loss/{name}"]),
            percent(last[f"train_accuracy/{name}"]).removesuffix(" %"),
            loss(score["loss"]),
            percent(score["accuracy"]).removesuffix(" %"),
        ]
        for name, score in record["outputs"].items()
    ]
    headings = ["output", "train loss", "train accuracy, %", "test loss", "test accuracy, %"]
    return Table(f"After {len(record['rows'])} epochs (train: mean over the last epoch)", headings, rows)
