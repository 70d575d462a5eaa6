"""Overfitting for people: the same tables and sentences on the console and on a page, and one figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from cnn_jax.report import figures
from cnn_jax.report.figures import COLOURS, INK, MARKERS
from cnn_jax.report.page import Figure, Page, Section, Table, render
from cnn_jax.studies.compare.page import p_value

Record = Mapping[str, Any]

_STATEMENT = "fewer parameters overfit less"


def scores(record: Record) -> Table:
    """What each model reaches on the images that it learned and on others."""
    rows = [
        [
            learner["name"],
            f"{learner['train_examples']:,}",
            f"{learner['epochs']:,}",
            f"{learner['steps']:,}",
            f"{len(learner['seeds'])}",
            f"{100 * learner['train_accuracy']['mean']:.2f} %",
            f"{100 * learner['test_accuracy']['mean']:.2f} %",
            f"{100 * learner['gap']['mean']:.2f}",
            _points(learner["gap"]["interval"]),
        ]
        for learner in record["learners"]
    ]
    title = f"Accuracy on the images learned and on {record['test_examples']:,} test images, means of the seeds"
    headings = ["model", "images", "epochs", "steps", "seeds", "training", "test", "gap, points", "95 % interval"]
    return Table(title, headings, rows)


def differences(record: Record) -> Table:
    """The gaps of every two models against each other, seed by seed."""
    rows = [
        [
            f"{pair['fewer']} - {pair['more']}",
            f"{pair['train_examples']:,}",
            f"{len(pair['seeds'])}",
            f"{100 * pair['gap']['mean']:+.3f}",
            _points(pair["gap"]["interval"], "+.3f"),
            p_value(pair["gap"]["p_holm"]),
            pair["verdict"],
            f"{100 * pair['test_accuracy']['mean']:+.3f}",
            _points(pair["test_accuracy"]["interval"], "+.3f"),
        ]
        for pair in record["pairs"]
    ]
    headings = ["fewer - more parameters", "images", "seeds", "gap, points", "95 % interval", "p, Holm", "its gap is"]
    return Table("Gaps against each other, seed by seed", [*headings, "test, points", "95 % interval"], rows)


def sentences(record: Record) -> list[str]:
    """What the runs say of overfitting, in plain words."""
    return [_sentence(verdict) for verdict in record["verdicts"]] or ["One model alone: nothing to compare."]


def _sentence(verdict: Record) -> str:
    fewer, more = (
        f"{verdict[which]} ({count:,} parameters)"
        for which, count in zip(("fewer", "more"), verdict["parameters"], strict=True)
    )
    sizes = verdict["sizes"]
    said = [
        f"{words} with {_listed(sizes[word])} training images"
        for word, words in (
            ("smaller", "smaller"),
            ("larger", "larger"),
            ("no difference shown", "no difference is shown"),
        )
        if sizes[word]
    ]
    return (
        f'"{_STATEMENT[0].upper()}{_STATEMENT[1:]}": {verdict["fewer_parameters_overfit_less"]}. The gap between '
        f"training and test accuracy of {fewer} against that of {more}: {'; '.join(said)}."
    )


def _listed(sizes: Sequence[int]) -> str:
    *first, last = [f"{size:,}" for size in sizes]
    return f"{', '.join(first)} and {last}" if first else last


def _points(interval: Sequence[float] | None, form: str = ".2f") -> str:
    return f"{100 * interval[0]:{form}} to {100 * interval[1]:{form}}" if interval else "-"


def page(record: Record) -> str:
    """The whole record as a page."""
    names = list(dict.fromkeys(learner["name"] for learner in record["learners"]))
    sections = [
        Section("In words", [*sentences(record), _how(record)]),
        Section("Accuracy and gap", [Figure(_curves(record, names), _CAPTION)]),
        Section("Numbers", [scores(record), *([differences(record)] if record["pairs"] else [])]),
        Section("What was trained", [_settings(record, names), _machine(record)]),
    ]
    lead = f"{' and '.join(names)}, trained on the first images of {record['dataset']}: few of them, more, and all."
    return render(Page("Overfitting", lead, sections, f"Made by run.py --mode=overfitting, {record['date']}."))


_CAPTION = "Marks are means of the seeds, in a band from the lowest to the highest. The gap: training minus test."


def _how(record: Record) -> str:
    sizes = len({learner["train_examples"] for learner in record["learners"]})
    tests = len(record["pairs"])
    return (
        f"Each model was trained on {sizes} numbers of images, each at least {record['least_steps']:,} steps, so that "
        "it had the time to learn few images too, and then scored on the very images it had learned and on the test "
        f"images. Gaps are compared seed by seed by the paired t-test at 5 %, with Holm's correction for {tests} tests."
    )


def _curves(record: Record, names: Sequence[str]) -> Markup:
    """Training and test accuracy by the number of images, and below it the gap between the two."""
    said = "; ".join(
        f"{learner['name']} with {learner['train_examples']:,} images {learner['train_accuracy']['mean']:.2%} and "
        f"{learner['test_accuracy']['mean']:.2%}"
        for learner in record["learners"]
    )

    def paint(drawing: Drawing) -> None:
        above, below = drawing.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for index, name in enumerate(names):
            learners = [learner for learner in record["learners"] if learner["name"] == name]
            _curve(above, learners, "train_accuracy", index, linestyle="--", label=f"{name}, training")
            _curve(above, learners, "test_accuracy", index, linestyle="-", label=f"{name}, test")
            _curve(below, learners, "gap", index, linestyle="-", label=name)
        above.set_ylabel("accuracy, %")
        above.legend(loc="lower right", fontsize=10)
        below.set_ylabel("gap, points")
        below.axhline(0, color=INK, linewidth=0.8)
        below.set_xlabel("training images")
        below.set_xscale("log")
        figures.plain_logarithmic(below.xaxis)
        for axes in (above, below):
            axes.grid(color=INK, alpha=0.15)

    return figures.compose(f"Training and test accuracy by training images: {said}.", paint, size=(7.0, 6.5))


def _curve(axes: Axes, learners: Sequence[Record], name: str, index: int, **style: Any) -> None:
    colour, images = COLOURS[index % len(COLOURS)], [learner["train_examples"] for learner in learners]
    values = [100 * np.array(learner[name]["values"]) for learner in learners]
    axes.fill_between(images, [v.min() for v in values], [v.max() for v in values], color=colour, alpha=0.2, lw=0)
    axes.plot(images, [v.mean() for v in values], color=colour, marker=MARKERS[index % len(MARKERS)], ms=5, **style)


def _settings(record: Record, names: Sequence[str]) -> Table:
    fields = [name for name in record["configs"][0] if name != "experiment"]
    rows = [[field, *(_setting(config[field]) for config in record["configs"])] for field in fields]
    return Table("Settings", ["", *names], rows)


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _machine(record: Record) -> Table:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rows = [[name, str(machine[name])] for name in ("device", "cores", "system", "python")]
    return Table("Machine", ["", ""], [*rows, ["versions", versions], ["commit", str(machine["git_commit"])]])
