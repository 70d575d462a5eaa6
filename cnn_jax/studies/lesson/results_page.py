"""Part 8 of the lesson's page: curves, confusions, misclassified images, and what a difference means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

_COLUMNS = 5


def section(record: Mapping[str, Any]) -> Section:
    """What the part says and draws of its record."""
    runs = record["runs"]
    blocks: list[str | Table | Figure] = [
        "A network is judged by images that it was not trained on. The loss is the mean negative logarithm of the "
        "probability that it gave to the right class: small is good, and a confident mistake costs most.",
        _summary(runs),
        Figure(
            _curves(runs), "Mean loss and accuracy on the training images during each epoch; test images at the end."
        ),
    ]
    for run in runs:
        blocks += _of_run(run, record["classes"])
    blocks += [
        "Does a difference between two networks mean anything? An accuracy on 10,000 images is itself uncertain: with "
        "other test images it would have come out otherwise. The z below tells a difference in units of that "
        "uncertainty; up to about 2, either way, it is what chance alone gives.",
        *(_difference(pair) for pair in (record["lecture"], *record["differences"])),
        "And another seed would have given another network: to say that one model is better than another, train "
        "each several times.",
    ]
    return Section("The results", blocks)


def _summary(runs: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            run["name"],
            f"{run['parameters']:,}",
            f"{len(run['rows'])}",
            f"{run['test_loss']:.4f}",
            f"{100 * run['test_accuracy']:.2f}",
            f"{len(run['wrong']):,} of {run['examples']:,}",
            f"{run['epoch_seconds']:.1f}",
        ]
        for run in runs
    ]
    headings = ["run", "parameters", "epochs", "test loss", "test accuracy, %", "wrong", "seconds an epoch"]
    return Table("The runs", headings, rows)


def _curves(runs: Sequence[Mapping[str, Any]]) -> Markup:
    def paint(drawing: Drawing) -> None:
        for place, what in enumerate(("loss", "accuracy"), start=1):
            axes = drawing.add_subplot(1, 2, place)
            factor = 100 if what == "accuracy" else 1
            for index, run in enumerate(runs):
                _curve(axes, run, what, factor, index)
            axes.set_xlabel("epoch")
            axes.set_ylabel("accuracy, %" if what == "accuracy" else "loss")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawing.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)

    said = "; ".join(f"{run['name']}: test accuracy {run['test_accuracy']:.2%}" for run in runs)
    return figures.compose(f"Training curves. {said}.", paint, size=(9.0, 4.2))


def _curve(axes: Axes, run: Mapping[str, Any], what: str, factor: float, index: int) -> None:
    colour, marker = (kinds[index % len(kinds)] for kinds in (figures.COLOURS, figures.MARKERS))
    epochs = [row["epoch"] for row in run["rows"]]
    values = [factor * row[f"train_{what}"] for row in run["rows"]]
    axes.plot(epochs, values, color=colour, marker=marker, markersize=5, label=f"{run['name']}, training")
    axes.plot(
        epochs[-1:],
        [factor * run[f"test_{what}"]],
        color=colour,
        marker=marker,
        markersize=10,
        fillstyle="none",
        linestyle="none",
        label="the same, test",
    )


def _of_run(run: Mapping[str, Any], classes: Sequence[str]) -> list[str | Table | Figure]:
    shown = len(run["wrong_images"])
    blocks: list[str | Table | Figure] = [
        Figure(
            _confusion(run, classes),
            f"{run['name']}: test images by their class (rows) and the network's answer (columns). What is off the "
            "diagonal is wrong.",
        )
    ]
    if shown:
        blocks.append(
            Figure(
                _wrong(run, classes),
                f"{run['name']}: the {shown} of {len(run['wrong']):,} misclassified test images with the largest loss. "
                "Above each: its class, the network's answer, the loss.",
            )
        )
    return blocks


def _confusion(run: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    confusion = run["confusion"]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)

    def paint(axes: Axes) -> None:
        # The root of the share: a few images off the diagonal are seen beside a thousand on it.
        axes.imshow(np.sqrt(shares), cmap=pictures.GREY, vmin=0, vmax=1.4, interpolation="none")
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                colour = "#ffffff" if shares[row, column] > 0.25 else "#000000"
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 3 else 0)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("answer")
        axes.set_ylabel("class")

    pairs = sorted(((confusion[r, c], r, c) for r, c in np.ndindex(confusion.shape) if r != c), reverse=True)[:3]
    said = "; ".join(f"{count} of class {classes[r]} taken for {classes[c]}" for count, r, c in pairs if count)
    return figures.draw(f"Confusion matrix of {run['name']}. Most often: {said}.", paint, size=(6.0, 5.4))


def _wrong(run: Mapping[str, Any], classes: Sequence[str]) -> Markup:
    titles = [
        f"{classes[label]} as {classes[answer]}, {loss:.1f}"
        for label, answer, loss in zip(run["wrong_labels"], run["wrong_answers"], run["wrong_losses"], strict=False)
    ]
    paints = [
        lambda axes, pixels=pixels, title=title: pictures.image(axes, pixels.mean(axis=-1), title)
        for pixels, title in zip(run["wrong_images"], titles, strict=True)
    ]
    alt = f"Misclassified test images of {run['name']}: {'; '.join(titles)}."
    return figures.panels(alt, paints, columns=_COLUMNS)


def _difference(pair: Mapping[str, Any]) -> str:
    one, other = pair["names"]
    accuracies = " and ".join(f"{100 * accuracy:.2f} %" for accuracy in pair["accuracies"])
    means_little = abs(pair["z"]) < 1.96  # the two-sided 5 % point of the normal distribution
    verdict = "it means nothing" if means_little else "it is more than chance gives between two test sets"
    return (
        f"{one[:1].upper()}{one[1:]} and {other}: {accuracies} of {pair['examples']:,} images. They differ by "
        f"{abs(pair['images'])} images, z = {abs(pair['z']):.2f}: {verdict}."
    )
