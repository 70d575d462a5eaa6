"""Part 3, learned, not prescribed, said and drawn."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.reporting import figures, pictures
from cnn_jax.reporting.page import Figure, Section, Table

Record = Mapping[str, Any]

_MODELS = {"logistic": "logistic regression", "cnn": "small CNN"}


def section(record: Record) -> Section:
    """Accuracies over training sizes, and learned filters. record: of `lesson/learned.py`."""
    seeds, largest = record["seeds"], record["sizes"][-1]
    after, before = record["similarities"], record["first_similarities"]
    return Section(
        "Learned, not prescribed",
        [
            "Nobody has to prescribe the templates. A network starts from random filters and moves them until its "
            "answers are right. Logistic regression, which has one weight a pixel and no filters, must see a letter in "
            "every place to know it there; a convolution uses what it learns in one place everywhere.",
            f"Both learn from the same images, {record['steps']} steps of {record['batch_size']} images each, "
            f"{seeds} times: every time from other starting weights and on other images. All are scored on the same "
            "test images. " + _comparison(record),
            _table(record),
            Figure(_curves(record), "Test accuracy: means, and 95 % intervals of them by Student's t over the seeds."),
            f"These are the {record['filters'].shape[1]} filters of the CNN's first layer, from the first of the "
            f"{seeds} runs on {largest:,} images, each above the template that it is nearest to. Nearness is the cosine "
            "of the angle between the two, with the mean taken off both, so that it compares their patterns and not "
            "how much of them is ink.",
            Figure(_filters(record), "Above: learned filters, red positive, blue negative. Below: the nearest templates."),
            f"Some filters come near to a template and others do not: no one asked for it. Over all {after.size} filters "
            f"of the {seeds} runs the similarity to the nearest template is {after.mean():.2f} on average after training. "
            f"That alone says little, as the best of {len(record['templates'])} templates is never far: the same "
            f"filters had {before.mean():.2f} before training, when they were random.",
        ],
    )


def _comparison(record: Record) -> str:
    few, many = record["sizes"][0], record["sizes"][-1]
    said = [
        f"{record[f'{model}_means'][0]:.1%} from {few:,} images and {record[f'{model}_means'][-1]:.1%} from {many:,} "
        f"({name})"
        for model, name in _MODELS.items()
    ]
    return f"They reach {' and '.join(said)}; the templates alone reach {record['template_accuracy']:.1%}."


def _table(record: Record) -> Table:
    rows = []
    for index, size in enumerate(record["sizes"]):
        shown = [_interval(record[f"{model}_means"][index], record[f"{model}_margins"][index]) for model in _MODELS]
        rows.append([f"{size:,}", *shown])
    rows.append(["templates, no training", f"{record['template_accuracy']:.1%}", ""])
    return Table(
        f"Test accuracy by number of training images, mean and 95 % interval, n = {record['seeds']}",
        ["training images", *_MODELS.values()],
        rows,
    )


def _interval(mean: float, margin: float) -> str:
    return f"{mean:.1%} ± {100 * margin:.1f}"


def _curves(record: Record) -> Markup:
    sizes = record["sizes"]

    def paint(axes: Axes) -> None:
        for index, (model, name) in enumerate(_MODELS.items()):
            means, margins = 100 * record[f"{model}_means"], 100 * record[f"{model}_margins"]
            colour = figures.COLOURS[index]
            axes.fill_between(sizes, means - margins, means + margins, color=colour, alpha=0.2, linewidth=0)
            axes.errorbar(
                sizes, means, margins, color=colour, marker=figures.MARKERS[index], markersize=8, capsize=4, label=name
            )
        label = "templates, no training"
        axes.axhline(100 * record["template_accuracy"], color=figures.INK, linestyle="--", linewidth=1.2, label=label)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("training images")
        axes.set_ylabel("test accuracy in %")
        axes.grid(axis="y", color=figures.INK, alpha=0.15)
        axes.legend(loc="lower right")

    return figures.draw(f"Test accuracy over training images. {_comparison(record)}", paint)


def _filters(record: Record) -> Markup:
    """The first run's filters, and below each the template that it is nearest to."""
    filters, nearest, similarities = (record[name][0] for name in ("filters", "nearest", "similarities"))
    names = [record["template_names"][index] for index in nearest]
    largest = float(abs(filters).max())
    paints: list[Callable[[Axes], None]] = [
        lambda axes, values=values: pictures.heat_map(axes, values, largest=largest, form="") for values in filters
    ]
    paints += [
        lambda axes, values=record["templates"][index], title=f"{similarity:.2f}\n{name.replace(' ', chr(10), 1)}": (
            pictures.heat_map(axes, values, title, form="")
        )
        for index, similarity, name in zip(nearest, similarities, names, strict=True)
    ]
    said = "; ".join(f"{name} {similarity:.2f}" for name, similarity in zip(names, similarities, strict=True))
    return figures.panels(
        f"Learned filters and the templates nearest to them, with their cosine similarity: {said}",
        paints,
        columns=len(filters),
        cell=(1.15, 1.75),
    )
