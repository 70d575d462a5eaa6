"""Part 3, learned, not prescribed, said and drawn."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

Record = Mapping[str, Any]

_MODELS = {"logistic": "logistic regression", "cnn": "small CNN"}


def section(record: Record) -> Section:
    """Accuracies over training sizes, and learned filters. record: of `lesson/learned.py`."""
    return Section(
        "Learned, not prescribed",
        [
            "Nobody has to prescribe the templates. A network starts from random filters and moves them until its "
            "answers are right. Logistic regression has one weight a pixel and no filters: it must have seen a letter "
            "in every place to know it there. A convolution uses everywhere what it learns in one place.",
            f"Both learn from the same images, {record['steps']} steps of {record['batch_size']} images each, "
            f"{record['seeds']} times: every time from other starting weights and on other images. All are scored on "
            f"the same test images. {_comparison(record)}",
            _table(record),
            Figure(_curves(record), "Test accuracy: means, and 95 % intervals of them by Student's t over the seeds."),
            f"These are the {record['filters'].shape[1]} filters of the CNN's first layer, from the first of the "
            f"{record['seeds']} runs on {record['sizes'][-1]:,} images, each above the template that it is nearest to. "
            "Nearness is the cosine of the angle between the two, with the mean taken off both, so that it compares "
            "their patterns and not how much of them is ink.",
            Figure(_filters(record), "Learned filters, and below each the nearest template. Red is positive."),
            _similarity_words(record),
        ],
    )


def _comparison(record: Record) -> str:
    def reached(index: int) -> str:
        means = [record[f"{model}_means"][index] for model in _MODELS]
        return " and ".join(f"{100 * mean:.1f} % ({name})" for mean, name in zip(means, _MODELS.values(), strict=True))

    few, many = record["sizes"][0], record["sizes"][-1]
    return (
        f"From {few:,} images they reach {reached(0)}, from {many:,} images {reached(-1)}. The templates, which learn "
        f"from none, reach {100 * record['template_accuracy']:.1f} %."
    )


def _similarity_words(record: Record) -> str:
    after, before = record["similarities"], record["first_similarities"]
    return (
        f"No one asked the filters to become templates: some come near to one, others do not. Over all {after.size} "
        f"filters of the {record['seeds']} runs the similarity to the nearest template is {after.mean():.2f} on "
        f"average. By itself that says little, since one of {len(record['templates'])} templates is always fairly "
        f"near: the same filters had {before.mean():.2f} before training, when they were random."
    )


def _table(record: Record) -> Table:
    rows = [
        [f"{size:,}", *(_interval(record[f"{m}_means"][index], record[f"{m}_margins"][index]) for m in _MODELS)]
        for index, size in enumerate(record["sizes"])
    ]
    title = f"Test accuracy, mean and 95 % interval, n = {record['seeds']} seeds"
    return Table(title, ["training images", *_MODELS.values()], rows)


def _interval(mean: float, margin: float) -> str:
    return f"{100 * mean:.1f} ± {100 * margin:.1f} %"


def _curves(record: Record) -> Markup:
    sizes = record["sizes"]

    def paint(axes: Axes) -> None:
        for index, (model, name) in enumerate(_MODELS.items()):
            means, margins = 100 * record[f"{model}_means"], 100 * record[f"{model}_margins"]
            marks: dict[str, Any] = {"color": figures.COLOURS[index], "marker": figures.MARKERS[index]}
            axes.errorbar(sizes, means, margins, markersize=8, capsize=4, label=name, **marks)
        label = "templates, no training"
        axes.axhline(100 * record["template_accuracy"], color=figures.INK, linestyle="--", linewidth=1.2, label=label)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="training images", ylabel="test accuracy in %")
        axes.grid(axis="y", color=figures.INK, alpha=0.15)
        axes.legend(loc="upper left")

    return figures.draw(f"Test accuracy over training images. {_comparison(record)}", paint, size=(6.0, 4.0))


def _filters(record: Record) -> Markup:
    """The first run's filters in rows of four, and below each row the templates that they are nearest to."""
    filters, nearest, similarities = (record[name][0] for name in ("filters", "nearest", "similarities"))
    names = [record["template_names"][index] for index in nearest]
    patterns = [record["templates"][index] for index in nearest]
    largest = float(abs(filters).max())
    learned = [_weights(values, f"filter {index}", largest) for index, values in enumerate(filters, start=1)]
    prescribed = [
        _weights(values, f"{similarity:.2f}: {name.replace(' ', chr(10), 1)}", 2.0)
        for values, similarity, name in zip(patterns, similarities, names, strict=True)
    ]
    paints = [
        paint
        for first in range(0, len(learned), 4)
        for row in (learned, prescribed)
        for paint in row[first : first + 4]
    ]
    said = "; ".join(f"{name} {similarity:.2f}" for name, similarity in zip(names, similarities, strict=True))
    alt = f"Learned filters and the templates nearest to them, with their cosine similarity: {said}"
    return figures.panels(alt, paints, columns=4, cell=(1.5, 1.9))


def _weights(values: np.ndarray, title: str, largest: float) -> Callable[[Axes], None]:
    """A filter or a template without its numbers, under a title of two lines."""
    return lambda axes: pictures.heat_map(axes, values, title, largest=largest, form="")
