"""Part 8, results: the scores of trained networks, their training curves, and the images that they misclassify."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from cnn_jax.report import figures, pictures
from cnn_jax.report.classification import confusion_matrix
from cnn_jax.report.format import loss, percent
from cnn_jax.report.page import Block, Figure, Row, Section, Table
from cnn_jax.studies.lesson.formats import Record
from cnn_jax.training.metrics import log_softmax

ARRAYS: Mapping[str, str] = {
    "runs/RUN/confusion": "int64 [classes, classes]: numbers of test images by class (rows) and answer (columns)",
    "runs/RUN/wrong": "int64 [W]: indices of misclassified test images, the largest loss first",
    "runs/RUN/wrong_losses": "float64 [W]: their losses",
    "runs/RUN/wrong_images": "uint8 [up to 20, H, W, C]: the first of these images",
    "runs/RUN/wrong_labels": "int32 [up to 20]: their labels",
    "runs/RUN/wrong_answers": "int64 [up to 20]: the network's answers",
}

SHOWN = 20  # misclassified images


@dataclass(frozen=True)
class Run:
    """A finished run. rows: the metrics of each epoch. logits, labels: of the test images, [N, classes] and [N].

    best_epoch: the one whose parameters were scored; None means the last.
    """

    name: str
    rows: Sequence[Mapping[str, float]]
    test_loss: float
    test_accuracy: float
    parameters: int
    logits: np.ndarray
    labels: np.ndarray
    best_epoch: int | None = None


def compute(
    runs: Sequence[Run], images: np.ndarray, classes: Sequence[str], origins: Mapping[str, str]
) -> dict[str, Any]:
    """Confusion matrices and misclassified images of the runs.

    images: the test images of all runs, uint8 [N, H, W, C]. origins: whose parameters each run has, by its name.
    """
    return {"classes": classes, "origins": origins, "runs": [_facts(run, images, len(classes)) for run in runs]}


def _facts(run: Run, images: np.ndarray, classes: int) -> dict[str, Any]:
    losses = -log_softmax(run.logits)[np.arange(len(run.labels)), run.labels]
    answers = run.logits.argmax(axis=-1)
    wrong = np.flatnonzero(answers != run.labels)
    wrong = wrong[np.argsort(-losses[wrong], kind="stable")]
    return {
        "name": run.name,
        "rows": run.rows,
        "scored_epoch": run.best_epoch or len(run.rows),
        "test_loss": run.test_loss,
        "test_accuracy": run.test_accuracy,
        "parameters": run.parameters,
        "examples": len(run.labels),
        "confusion": confusion_matrix(run.labels, answers, classes),
        "wrong": wrong,
        "wrong_losses": losses[wrong],
        "wrong_images": images[wrong[:SHOWN]],
        "wrong_labels": run.labels[wrong[:SHOWN]],
        "wrong_answers": answers[wrong[:SHOWN]],
    }


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    runs, classes = record["runs"], record["classes"]
    blocks: list[Block] = [
        "A network is judged by images that it was not trained on. The loss of an image is -log(p), where p is the "
        "probability that the network gives to the correct class. A small loss is good, and a wrong answer with a high "
        "probability costs most.",
        "Whose networks these are:",
        *(f"{name}: {origin}." for name, origin in record["origins"].items()),
        _summary(runs),
        _curves(runs),
        "A confusion matrix counts test images. Rows are classes, columns are answers of the network: all images "
        "outside the diagonal are misclassified. A darker cell holds a larger share of its class.",
        Row([_confusion(run, classes) for run in runs]),
        "The misclassified test images with the largest loss. Above each: its class, the network's answer, and the "
        "loss.",
        *([Row(found)] if (found := [_wrong(run, classes) for run in runs if len(run["wrong"])]) else []),
    ]
    return Section("Results", blocks)


def _summary(runs: Sequence[Record]) -> Table:
    rows = [
        [
            run["name"],
            f"{run['parameters']:,}",
            f"{len(run['rows'])}",
            loss(run["test_loss"]),
            percent(run["test_accuracy"]).removesuffix(" %"),
            f"{len(run['wrong']):,} of {run['examples']:,}",
        ]
        for run in runs
    ]
    headings = ["run", "parameters", "epochs", "test loss", "test accuracy, %", "misclassified"]
    return Table("The runs", headings, rows)


def _curves(runs: Sequence[Record]) -> Figure:
    def paint(drawing: Drawing) -> None:
        loss_axes, accuracy_axes = drawing.subplots(1, 2)
        for index, run in enumerate(runs):
            _curve(loss_axes, run, "loss", 1, index)
            _curve(accuracy_axes, run, "accuracy", 100, index)
        loss_axes.set_ylabel("loss")
        accuracy_axes.set_ylabel("accuracy in %")
        drawing.legend(*loss_axes.get_legend_handles_labels(), loc="outside lower left", fontsize=10)

    accuracies = "; ".join(f"{run['name']}: test accuracy {percent(run['test_accuracy'])}" for run in runs)
    return Figure(
        figures.compose(f"Training curves. {accuracies}.", paint, size=(8.0, 3.6 + 0.25 * len(runs))),
        "Mean loss and accuracy. Lines with filled points: training images, during each epoch. Large open points: test "
        "images, after the epoch whose parameters were scored.",
    )


def _curve(axes: Axes, run: Record, metric: str, scale: float, index: int) -> None:
    """A run's loss or accuracy over its epochs. index: of the run, for its colour and marker."""
    style = figures.line_style(index)
    epochs = [row["epoch"] for row in run["rows"]]
    values = [scale * row[f"train_{metric}"] for row in run["rows"]]
    axes.plot(epochs, values, markersize=5, label=textwrap.fill(run["name"], 70), **style)
    test = [run["scored_epoch"]], [scale * run[f"test_{metric}"]]
    axes.plot(*test, markersize=10, fillstyle="none", linestyle="none", **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _confusion(run: Record, classes: Sequence[str]) -> Figure:
    confusion = run["confusion"]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)

    def paint(axes: Axes) -> None:
        # The square root of the share shows a few images outside the diagonal beside a thousand on it.
        axes.imshow(np.sqrt(shares), cmap=pictures.GREY, vmin=0, vmax=1.4, interpolation="none")
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "#ffffff" if shares[row, column] > 0.25 else "#000000"
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 3 else 0)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="answer", ylabel="class")

    pairs = sorted(((confusion[r, c], r, c) for r, c in np.ndindex(confusion.shape) if r != c), reverse=True)[:3]
    mistakes = "; ".join(f"class {classes[r]}, answer {classes[c]}: {count} images" for count, r, c in pairs if count)
    alt = f"Confusion matrix of {run['name']}. Most frequent mistakes: {mistakes or 'none'}."
    return Figure(
        figures.draw(alt, paint, size=(4.6, 4.4)),
        f"{run['name']}: confusion matrix.",
    )


def _wrong(run: Record, classes: Sequence[str]) -> Figure:
    images = run["wrong_images"]
    titles = [
        f"{classes[label]}, answer {classes[answer]}\nloss {value:.1f}"
        for label, answer, value in zip(run["wrong_labels"], run["wrong_answers"], run["wrong_losses"], strict=False)
    ]
    alt = f"Misclassified test images of {run['name']}: {'; '.join(titles)}.".replace("\n", ", ")
    return Figure(
        pictures.gallery(alt, images, titles, columns=4, cell=(1.2, 1.6)),
        f"{run['name']}: {len(images)} of {len(run['wrong']):,} misclassified test images.",
    )
