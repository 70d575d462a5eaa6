"""The tables, sentences and page of an overfitting study. The console shows the same tables and sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax import program
from cnn_jax.report import estimates
from cnn_jax.report.format import counted, fine_points, interval, listed, p_value, percent, points
from cnn_jax.report.page import Figure, Page, Section, render
from cnn_jax.report.tables import Table, machine_table, settings_table
from cnn_jax.studies.overfitting import figures

Record = Mapping[str, Any]


def console_tables(record: Record) -> list[Table]:
    """The tables that the console shows."""
    return [_scores(record), *([_differences(record)] if record["pairs"] else [])]


def _scores(record: Record) -> Table:
    rows = [
        [
            result["name"],
            f"{result['train_examples']:,}",
            f"{result['epochs']:,}",
            f"{result['steps']:,}",
            f"{len(result['seeds'])}",
            percent(result["train_accuracy"]["mean"]),
            percent(result["test_accuracy"]["mean"]),
            points(result["gap"]["mean"]),
            interval(result["gap"]["interval"], points),
        ]
        for result in record["learners"]
    ]
    title = f"Accuracy on the training images and on {record['test_examples']:,} test images: means over the seeds"
    headings = ["model", "training images", "epochs", "steps", "seeds", "training accuracy", "test accuracy"]
    return Table(title, [*headings, "gap, percentage points", "95 % interval"], rows)


def _differences(record: Record) -> Table:
    rows = [
        [
            f"{pair['fewer']} - {pair['more']}",
            f"{pair['train_examples']:,}",
            f"{len(pair['seeds'])}",
            fine_points(pair["gap"]["mean"]),
            interval(pair["gap"]["interval"], fine_points),
            p_value(pair["gap"]["p_holm"]),
            pair["verdict"],
            fine_points(pair["test_accuracy"]["mean"]),
            interval(pair["test_accuracy"]["interval"], fine_points),
        ]
        for pair in record["pairs"]
    ]
    headings = ["fewer - more parameters", "training images", "common seeds", "difference of gaps, percentage points"]
    headings += ["95 % interval", "p (Holm)", "gap with fewer parameters", "difference of test accuracies, points"]
    return Table("Differences between the models' gaps, over the common seeds", [*headings, "95 % interval"], rows)


def sentences(record: Record) -> list[str]:
    """The results in plain words, and what to know about the intervals."""
    said = [_sentence(verdict) for verdict in record["verdicts"]] or ["There is only one model: nothing to compare."]
    differences = [pair[name] for pair in record["pairs"] for name in ("gap", "test_accuracy")]
    return [*said, *estimates.remarks([*(result["gap"] for result in record["learners"]), *differences])]


def _sentence(verdict: Record) -> str:
    fewer, more = (
        f"{verdict[which]} ({count:,} parameters)"
        for which, count in zip(("fewer", "more"), verdict["parameters"], strict=True)
    )
    sizes = verdict["sizes"]
    parts = [
        f"{words} with {listed([f'{size:,}' for size in sizes[key]])} training images"
        for key, words in (
            ("smaller", "it is smaller"),
            ("larger", "it is larger"),
            ("no difference shown", "no difference is shown"),
        )
        if sizes[key]
    ]
    return (
        f'"Fewer parameters overfit less": {verdict["fewer_parameters_overfit_less"]}. The gap between training and '
        f"test accuracy of {fewer} is compared with that of {more}: {'; '.join(parts)}."
    )


def render_page(record: Record) -> str:
    """The page as HTML."""
    names = list(dict.fromkeys(result["name"] for result in record["learners"]))
    settings = {
        config["experiment"]: {name: value for name, value in config.items() if name != "experiment"}
        for config in record["configs"]
    }
    sections = [
        Section("Result", [*sentences(record), _method(record)]),
        Section("Accuracy and gap", [Figure(figures.accuracy_and_gap(record, names), _CAPTION)]),
        Section("Numbers", console_tables(record)),
        Section("What was trained", [settings_table("Settings", settings), machine_table([record["machine"]])]),
    ]
    lead = f"{listed(names)}, trained on the first images of {record['dataset']}: on few of them, on more, and on all."
    footer = f"Made by {program.name()} --mode=overfitting, {record['date']}."
    return render(Page("Overfitting", lead, sections, footer))


_CAPTION = (
    "Marks are means over the seeds, in a band from the lowest to the highest seed. The gap is training accuracy minus "
    "test accuracy."
)


def _method(record: Record) -> str:
    sizes = len({result["train_examples"] for result in record["learners"]})
    tests: Sequence[Record] = record["pairs"]
    compared = (
        " Gaps are compared seed by seed with a paired t-test at the 5 % level, with Holm's correction for "
        f"{counted(len(tests), 'test')}."
    )
    return (
        f"Each model was trained on {counted(sizes, 'different number')} of images. Every run takes at least "
        f"{record['least_steps']:,} steps, so that the model has time to learn few images too. It is then scored on "
        f"the same images that it was trained on, and on the test images.{compared if tests else ''}"
    )
