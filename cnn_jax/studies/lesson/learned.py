"""Part 3, learned filters: logistic regression and a small CNN learn X and O, and the filters that the CNN finds."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes

from cnn_jax.config import Part
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.experiment import Experiment
from cnn_jax.report import figures, pictures, statistics
from cnn_jax.report.format import percent
from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson import template_matching
from cnn_jax.studies.lesson.formats import Record, error_bars, interval_remarks, percent_with_interval
from cnn_jax.studies.lesson.short_run import compiled, train_and_score
from cnn_jax.training.compiled import Training

ARRAYS: Mapping[str, str] = {
    "sizes": "int64 [S]: numbers of training images",
    "logistic_accuracies": "float64 [S, seeds]: test accuracy of logistic regression",
    "cnn_accuracies": "float64 [S, seeds]: test accuracy of the CNN",
    "logistic_means": "float64 [S]: means over the seeds",
    "cnn_means": "float64 [S]: means over the seeds",
    "logistic_intervals": "float64 [S, 2]: the two ends of the mean's 95 % interval, by Student's t where possible",
    "cnn_intervals": "float64 [S, 2]: the same for the CNN",
    "filters": "float32 [seeds, 8, 3, 3]: the CNN's first layer after training on the largest number of images",
    "initial_filters": "float32 [seeds, 8, 3, 3]: the same before training",
    "similarities": "float64 [seeds, 8]: cosine similarity of each filter with the most similar template, both centred",
    "initial_similarities": "float64 [seeds, 8]: the same before training",
    "nearest": "int64 [seeds, 8]: the most similar template of each filter, as an index into `template_names`",
    "templates": "float64 [9, 3, 3]: the templates of X and of O",
}

SIZES = (50, 200, 1_000)  # training images
SEEDS = 5
_EPOCHS, _BATCH = 20, 32  # every training takes the steps of the largest size: 640 for the sizes above
_MODELS: Mapping[str, Part] = {"logistic": Part("logistic"), "cnn": Part("cnn", widths=(8, 16))}
_LABELS = {"logistic": "logistic regression", "cnn": "small CNN"}
_TEMPLATES = {**template_matching.OF_X, **template_matching.OF_O}


def compute(dataset: Dataset, *, sizes: Sequence[int] = SIZES, seeds: int = SEEDS) -> dict[str, Any]:
    """Trains both models with several seeds on each number of images, and compares their filters with the templates.

    dataset: `x_and_o`. Each seed has its own training images, so that the spread over the seeds is that of initial
    weights and of training images. This needs seeds * max(sizes) training images. All are scored on the same test set.
    """
    curves = {name: _curve(_experiment(model), dataset, sizes, seeds) for name, model in _MODELS.items()}
    _, initial, learned = curves["cnn"]
    initial_filters, initial_similarities = _filters_and_similarities(initial)
    filters, similarities = _filters_and_similarities(learned)
    bitmaps = dataset.spec.inputs(dataset.test.images[..., 0])
    is_right = template_matching.looks_like_x(bitmaps) == (dataset.test.labels == dataset.spec.classes.index("X"))
    record = {
        "sizes": np.array(sizes),
        "seeds": seeds,
        "batch_size": _BATCH,
        "steps": _EPOCHS * math.ceil(max(sizes) / _BATCH),
        "filters": filters,
        "initial_filters": initial_filters,
        "similarities": similarities.max(axis=-1),
        "initial_similarities": initial_similarities.max(axis=-1),
        "nearest": similarities.argmax(axis=-1),
        "template_names": list(_TEMPLATES),
        "templates": np.stack(list(_TEMPLATES.values())),
        "template_accuracy": float(is_right.mean()),
    }
    for name, (accuracies, _, _) in curves.items():
        record[f"{name}_accuracies"] = accuracies
        record[f"{name}_means"] = accuracies.mean(axis=1)
        record[f"{name}_intervals"] = statistics.intervals(accuracies, statistics.SHARE)
    return record


def _experiment(model: Part) -> Experiment:
    return Experiment().vary(dataset="x_and_o", model=model, epochs=_EPOCHS, batch_size=_BATCH)


def _curve(
    experiment: Experiment, dataset: Dataset, sizes: Sequence[int], seeds: int
) -> tuple[np.ndarray, list[dict], list[dict]]:
    """Test accuracies [sizes, seeds], and the parameters of each seed before and after training on the last size."""
    training, test = compiled(experiment, dataset.spec, dataset.train[: max(sizes)], dataset.test)
    accuracies = np.zeros((len(sizes), seeds))
    for row, size in enumerate(sizes):
        learned = []
        for seed in range(seeds):
            on_split = _on(training, dataset.train[seed * size : (seed + 1) * size])
            params, _, score = train_and_score(on_split, test, seed)
            learned.append(params)
            accuracies[row, seed] = score.accuracy
    initial = [jax.device_get(training.create_state(seed).params) for seed in range(seeds)]
    return accuracies, initial, learned


def _on(training: Training, split: Split) -> Training:
    """The same compiled programs for fewer images, which are repeated to the old number: one program for all sizes."""
    repeated = np.resize(np.arange(len(split)), training.examples)
    images, targets = jax.device_put((split.images[repeated], split.labels[repeated]), training.images.sharding)
    return training.replace(images=images, targets=targets)


def _filters_and_similarities(params_of_seeds: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """The CNN's first layer, [seeds, filters, 3, 3], and its similarities with the templates, [seeds, filters, 9]."""
    kernels = np.stack([params["Conv_0"]["kernel"][:, :, 0] for params in params_of_seeds])
    filters = np.moveaxis(kernels, -1, 1)
    return filters, np.stack([template_matching.cosine_similarities(of_seed, _TEMPLATES) for of_seed in filters])


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    seeds, after, before = record["seeds"], record["similarities"], record["initial_similarities"]
    return Section(
        "Learned filters",
        [
            "Nobody has to design the templates. A network starts with random filters, and training changes them until "
            "its answers are right. For comparison there is logistic regression, which has one weight for each pixel "
            "and no filters. It must have seen a letter at every position to recognize it there; a convolution learns "
            "a pattern at one position and finds it at all others.",
            f"Both models learn from the same images, in {record['steps']} steps of {record['batch_size']} images. "
            f"This is repeated {seeds} times, each time with other initial weights and other training images. All are "
            f"scored on the same test images. {_comparison(record)}",
            _table(record),
            *interval_remarks(np.stack([record[f"{model}_accuracies"] for model in _MODELS])),
            _curves(record),
            f"The next picture shows the {record['filters'].shape[1]} filters of the CNN's first layer, after the "
            f"first of the {seeds} trainings on {record['sizes'][-1]:,} images, and the template that is most similar "
            "to each. Similarity is the cosine of the angle between a filter and a template, after the mean of each is "
            "subtracted: it compares the patterns, and not the amount of ink.",
            _filters(record),
            "Nothing in the training asks for filters that are templates: some become similar to one, others do not. "
            f"Over all {after.size} filters of the {seeds} trainings, the mean similarity to the most similar template "
            f"is {after.mean():.2f}. This number alone means little, because one of {len(record['templates'])} "
            "templates is always fairly similar: for the random filters before training it was "
            f"{before.mean():.2f}.",
        ],
    )


def _comparison(record: Record) -> str:
    (logistic, cnn), (last_logistic, last_cnn) = (
        [percent(record[f"{model}_means"][index], 1) for model in _MODELS] for index in (0, -1)
    )
    few, many = record["sizes"][0], record["sizes"][-1]
    return (
        f"With {few:,} training images, logistic regression reaches {logistic} and the small CNN {cnn}. With {many:,}, "
        f"they reach {last_logistic} and {last_cnn}. The templates, which need no training images, reach "
        f"{percent(record['template_accuracy'], 1)}."
    )


def _table(record: Record) -> Table:
    rows = [
        [f"{size:,}", *(percent_with_interval(record[f"{m}_means"][i], record[f"{m}_intervals"][i]) for m in _MODELS)]
        for i, size in enumerate(record["sizes"])
    ]
    title = f"Test accuracy in %: mean and 95 % confidence interval, n = {record['seeds']} seeds"
    return Table(title, ["training images", *_LABELS.values()], rows)


def _curves(record: Record) -> Figure:
    sizes = record["sizes"]

    def paint(axes: Axes) -> None:
        for index, (model, label) in enumerate(_LABELS.items()):
            means, look = record[f"{model}_means"], figures.line_style(index)
            bars = error_bars(means, record[f"{model}_intervals"])
            axes.errorbar(sizes, 100 * means, bars, markersize=8, capsize=4, label=label, **look)
        label = "templates, without training"
        axes.axhline(100 * record["template_accuracy"], color=figures.INK, linestyle="--", linewidth=1.2, label=label)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="training images", ylabel="test accuracy in %")
        figures.grid(axes, "y")
        axes.legend(loc="upper left")

    drawing = figures.draw(f"Test accuracy over training images. {_comparison(record)}", paint, size=(6.0, 4.0))
    return Figure(
        drawing,
        f"Test accuracy for each number of training images. Points are means over {record['seeds']} seeds; bars are "
        "95 % confidence intervals of the means (Student's t).",
    )


def _filters(record: Record) -> Figure:
    """The filters of the first training in rows of four, and below each row the most similar templates."""
    filters, nearest, similarities = (record[name][0] for name in ("filters", "nearest", "similarities"))
    names = [
        f"{record['template_names'][index]}, similarity {similarity:.2f}"
        for index, similarity in zip(nearest, similarities, strict=True)
    ]
    heat_map = partial(pictures.heat_map, form="")
    learned = [
        partial(heat_map, values=values, title=f"filter {index}", largest=abs(filters).max())
        for index, values in enumerate(filters, start=1)
    ]
    given = [
        partial(heat_map, values=record["templates"][index], title=textwrap.fill(name, 18), largest=2.0)
        for index, name in zip(nearest, names, strict=True)
    ]
    rows = [row[first : first + 4] for first in range(0, len(learned), 4) for row in (learned, given)]
    paints = [paint for row in rows for paint in row]
    alt = f"Learned filters and the most similar templates, with their cosine similarity: {'; '.join(names)}"
    return Figure(
        figures.panels(alt, paints, columns=4, cell=(1.5, 1.9), below=pictures.scale(abs(filters).max())),
        "Learned filters, and below each the most similar template with its similarity. The scale is that of the "
        "filters' weights; a template has the two values +1, red, and \u22121, blue.",
    )
