"""The tables, sentences and page of a comparison. The console and the README show the same tables and sentences."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax import program
from cnn_jax.report import estimates
from cnn_jax.report.format import (
    MISSING,
    counted,
    duration,
    fine_points,
    interval,
    loss,
    p_value,
    p_words,
    percent,
    points,
    three_digits,
)
from cnn_jax.report.page import Block, Figure, Page, Section, render
from cnn_jax.report.tables import Table, machine_table, settings_table
from cnn_jax.studies.compare import figures

Record = Mapping[str, Any]
Images = Mapping[int, np.ndarray]

MOST_PAIRS_WITH_PICTURES = 6  # so that the page stays small
_CURVES = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy, %",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy, %",
}
_COSTS = {"train_seconds": "seconds to train", "parameters": "parameters"}


def console_tables(record: Record) -> list[Table]:
    """The tables that the console shows."""
    differences = [_accuracy_differences(record), _other_differences(record)]
    return [_scores(record), *_own_metrics(record), _costs(record), *differences]


def _scores(record: Record) -> Table:
    rows = [
        [
            model["name"],
            f"{len(model['seeds'])}",
            percent(model["test_accuracy"]["mean"]),
            *_std_and_interval(model["test_accuracy"], percent),
            loss(model["test_loss"]["mean"]),
            *_std_and_interval(model["test_loss"], loss),
        ]
        for model in record["models"]
    ]
    accuracy, test_loss = ([f"test {name}", "standard deviation", "95 % interval"] for name in ("accuracy", "loss"))
    title = (
        f"Scores on {record['settings']['test_examples']:,} test images of {record['dataset']}: means over the seeds"
    )
    return Table(title, ["model", "seeds", *accuracy, *test_loss], rows)


def _own_metrics(record: Record) -> list[Table]:
    """A table of the metrics that the experiments define; none where they define none."""
    rows = [
        [model["name"], name, _number(estimate["mean"]), *_std_and_interval(estimate, _number)]
        for model in record["models"]
        for name, estimate in model.get("metrics", {}).items()
    ]
    headings = ["model", "metric", "mean", "standard deviation", "95 % interval"]
    title = "The experiments' own metrics on the test images: means over the seeds"
    return [Table(title, headings, rows)] if rows else []


def _number(value: float) -> str:
    """A number of unknown size, with four digits."""
    return f"{value:.4g}"


def _costs(record: Record) -> Table:
    rows = [
        [
            model["name"],
            f"{model['parameters']:,}",
            f"{model['multiply_adds']:,}",
            f"{model['images_per_second']['mean']:,.0f}",
            duration(model["train_seconds"]["mean"]),
            *_std_and_interval(model["train_seconds"], duration),
        ]
        for model in record["models"]
    ]
    headings = ["model", "parameters", "multiply-adds per image", "training images/s", "training time"]
    return Table("Costs: means over the seeds", [*headings, "standard deviation", "95 % interval"], rows)


def _std_and_interval(estimate: Record, form: Callable[[float], str]) -> list[str]:
    return [MISSING if estimate["std"] is None else form(estimate["std"]), interval(estimate["interval"], form)]


def _accuracy_differences(record: Record) -> Table:
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            f"first is {pair['verdict']}" if pair["verdict"] in ("better", "worse") else pair["verdict"],
            f"{len(pair['seeds'])}",
            fine_points(pair["test_accuracy"]["mean"]),
            interval(pair["test_accuracy"]["interval"], fine_points),
            f"{pair['test_accuracy']['images_of_10000']:+.1f}",
            p_value(pair["test_accuracy"]["p_holm"]),
            p_value(pair["test_accuracy"]["p"]),
            _wilcoxon(pair["test_accuracy"]["wilcoxon"]),
            MISSING if pair["seeds_needed"] is None else f"{pair['seeds_needed']:,}",
        ]
        for pair in record["pairs"]
    ]
    headings = ["first - second", "verdict", "common seeds", "difference, percentage points", "95 % interval"]
    headings += ["images of 10,000", "p (Holm)", "p (t-test)", "p (Wilcoxon)", "seeds to show 0.05 points"]
    return Table("Differences in test accuracy, over the common seeds", headings, rows)


def _wilcoxon(test: Record) -> str:
    return f"{p_value(test['p'])}{' (too few seeds)' if test['is_powerless'] else ''}"


def _other_differences(record: Record) -> Table:
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            f"{pair['test_loss']['mean']:+.4f}",
            interval(pair["test_loss"]["interval"], "{:+.4f}".format),
            p_value(pair["test_loss"]["p_holm"]),
            three_digits(pair["train_seconds_ratio"]["ratio"]),
            interval(pair["train_seconds_ratio"]["interval"], three_digits),
        ]
        for pair in record["pairs"]
    ]
    headings = ["first - second", "test loss, difference", "95 % interval", "p (Holm)"]
    headings += ["training time, first / second", "95 % interval"]
    return Table("Differences in test loss and training time, over the common seeds", headings, rows)


def sentences(record: Record) -> list[str]:
    """The result of each pair in plain words."""
    number, examples = len(record["pairs"]), record["settings"]["test_examples"]
    verdicts = [
        _single_run_sentence(pair, examples) if pair["mcnemar"] else _verdict_sentence(pair, number, examples)
        for pair in record["pairs"]
    ]
    return [f"{verdict} {_time_sentence(pair)}" for verdict, pair in zip(verdicts, record["pairs"], strict=True)]


def _images(accuracy: Record, examples: int) -> str:
    """A difference of accuracies as a number of test images."""
    return f"{accuracy['mean'] * examples:+.0f} of {examples:,} images"


def _verdict_sentence(pair: Record, number_of_pairs: int, examples: int) -> str:
    accuracy = pair["test_accuracy"]
    bounds = f"95 % interval {interval(accuracy['interval'], points)}, " if accuracy["interval"] else ""
    corrected = f" after Holm's correction for {number_of_pairs} pairs" if number_of_pairs > 1 else ""
    facts = (
        f"{points(accuracy['mean'])} percentage points of test accuracy ({bounds}{counted(len(pair['seeds']), 'seed')})"
        f", which is {_images(accuracy, examples)}; {p_words(accuracy['p_holm'])}{corrected}."
    )
    if pair["verdict"] != "no difference shown":
        return f"{pair['first']} is {pair['verdict']} than {pair['second']}: {facts}"
    needed = pair["seeds_needed"]
    more = f" {needed:,} seeds would show a difference of 0.05 points with 80 % power." if needed else ""
    return f"No difference shown between {pair['first']} and {pair['second']}: {facts}{more}"


def _single_run_sentence(pair: Record, examples: int) -> str:
    mcnemar, accuracy = pair["mcnemar"], pair["test_accuracy"]
    first, second, seed = pair["first"], pair["second"], pair["seeds"][0]
    result = (
        f"No difference shown between the runs of {first} and {second} with seed {seed}"
        if pair["verdict"] == "no difference shown"
        else f"With seed {seed}, the run of {first} is {pair['verdict']} than the run of {second}"
    )
    return (
        f"{result}: only {first} is right on {counted(mcnemar['only_first'], 'image')}, only {second} on "
        f"{mcnemar['only_second']:,}, a difference of {_images(accuracy, examples)}; "
        f"McNemar's test: {p_words(accuracy['p_holm'])}. This compares two runs, not the models: "
        "another seed may give another result."
    )


def _time_sentence(pair: Record) -> str:
    """How many times as fast the faster model trains."""
    found, names = pair["train_seconds_ratio"], (pair["first"], pair["second"])
    ratio, bounds = found["ratio"], found["interval"]
    if ratio > 1:
        names = names[::-1]
    else:  # the second one takes longer: the first one is faster by the inverse
        ratio, bounds = 1 / ratio, bounds and (1 / bounds[1], 1 / bounds[0])
    shown = f" (95 % interval {interval(bounds, three_digits)})" if bounds else ""
    return f"{names[0]} trains {three_digits(ratio)} times as fast as {names[1]}{shown}."


def remarks(record: Record) -> list[str]:
    """What to know about the intervals."""
    of_models = [model[name] for model in record["models"] for name in ("test_accuracy", "test_loss", "train_seconds")]
    own = [estimate for model in record["models"] for estimate in model.get("metrics", {}).values()]
    of_pairs = [pair[name] for pair in record["pairs"] for name in ("test_accuracy", "test_loss")]
    return estimates.remarks([*of_models, *own, *of_pairs])


def timing_note(record: Record) -> str:
    """Whether the runs' times may be compared."""
    differ = record["machines_differ_in"]
    if differ:
        return f"The times may not be comparable: the machine.json files of these runs differ in {', '.join(differ)}."
    return "All runs name the same machine. Their times are comparable only if it did no other work at the same time."


def images_shown(record: Record) -> list[int]:
    """The indices of the test images that the page shows."""
    shown = [*record["hardest_images"]["images"]]
    for pair in record["pairs"][:MOST_PAIRS_WITH_PICTURES]:
        shown += [*pair["only_first_right"], *pair["only_second_right"]]
    return sorted({item["index"] for item in shown})


def render_page(record: Record, images: Images | None) -> str:
    """The page as HTML.

    images: those of `images_shown`, uint8 [H, W, C]; None where the dataset is not available.
    """
    names = [model["name"] for model in record["models"]]
    details: list[Block] = [_pairs_text(record), _accuracy_differences(record), _other_differences(record)]
    settings = settings_table(
        "Settings in which the models differ", {m["name"]: m["config"] for m in record["models"]}, only_different=True
    )
    machines = record["machines"]
    number_of_runs = [["runs", *(str(machine["runs"]) for machine in machines)]]
    sections = [
        Section("Result", [*sentences(record), *remarks(record), timing_note(record)]),
        Section("The models", [_scores(record), *_notes(record), _accuracy_by_seed(record), _costs(record)]),
        Section("Pairs of models", details),
        Section("Accuracy and cost", [timing_note(record), *_accuracy_by_cost(record)]),
        Section("Training", list(_training_curves(record))),
        Section("Images on which the models disagree", list(_disagreements(record, images))),
        Section("Images that nearly every run gets wrong", list(_hardest(record, images))),
        Section(
            "What was compared",
            [
                settings if settings.rows else "All models have the same settings.",
                machine_table(machines, number_of_runs),
            ],
        ),
    ]
    title = f"Comparison of {', '.join(names)}" if len(names) <= 4 else f"Comparison of {len(names)} models"
    number = sum(len(model["seeds"]) for model in record["models"])
    lead = f"{number} finished runs on {record['dataset']}. Models are compared by the runs with the same seed."
    return render(Page(title, lead, sections, f"Made by {program.name()} --mode=compare, {record['date']}."))


def _notes(record: Record) -> list[Block]:
    """What the table of scores does not say: how other losses compare, and the experiments' own metrics."""
    notes: list[Block] = []
    plain = {"name": "cross_entropy"}
    losses = [{k: v for k, v in model["config"].get("loss", plain).items() if v} for model in record["models"]]
    if any(loss != plain for loss in losses):
        notes.append("The test loss is the cross-entropy in every row, whatever loss a model was trained with.")
    if metrics := _own_metrics(record):
        notes += [*metrics, "These metrics are shown as they are: they take no part in any test or verdict."]
    return notes


def _accuracy_by_seed(record: Record) -> Figure:
    means = "; ".join(f"{m['name']} {percent(m['test_accuracy']['mean'])}" for m in record["models"])
    svg = figures.accuracy_by_seed(record["models"], f"Test accuracy of every seed. Means: {means}.")
    return Figure(
        svg,
        "Test accuracy. Each mark is one seed. Below the marks, the vertical stroke is their mean, and the bar is the "
        "95 % interval of the mean.",
    )


def _pairs_text(record: Record) -> str:
    number = len(record["pairs"])
    holm = f" Holm's correction takes into account that there are {number} pairs." if number > 1 else ""
    return (
        "Runs with the same seed see the training images in the same order, so models are compared seed by seed. "
        "Differences are first minus second. The verdict is that of a paired t-test of the test accuracies at the 5 % "
        "level or, for a single common seed, of McNemar's exact test on the test images."
        f"{holm}{_wilcoxon_text(record)} The last column says how many seeds would show a true difference of 0.05 "
        "percentage points with 80 % power, if the differences vary from seed to seed as much as here. All intervals "
        "and tests describe other seeds on the same test images. They do not cover how the models do on other images."
    )


def _wilcoxon_text(record: Record) -> str:
    tests = [pair["test_accuracy"]["wilcoxon"] for pair in record["pairs"]]
    smallest = sorted({test["smallest_p"] for test in tests if test["is_powerless"]})
    if not smallest:
        return ""
    values = " or ".join(p_value(p) for p in smallest)
    return (
        " Wilcoxon's test needs six seeds or more: with fewer, its p is at least "
        f"{values}, even when all seeds differ in the same direction."
    )


def _accuracy_by_cost(record: Record) -> Iterator[Figure]:
    for name, words in _COSTS.items():
        alt = f"Test accuracy against {words}. The tables of scores and costs have the numbers."
        svg = figures.accuracy_against(record["models"], alt, name, words)
        yield Figure(svg, f"Test accuracy against {words}. Error bars are 95 % intervals of the means.")


def _training_curves(record: Record) -> Iterator[str | Figure]:
    yield (
        "Lines are means over the seeds, in a band from the lowest to the highest seed. Test images are scored only "
        "at the end of training, so they have no curve."
    )
    for name, words in _CURVES.items():
        models = [model for model in record["models"] if model["curves"].get(name)]
        if models:
            ends = "; ".join(f"{m['name']} ends at {m['curves'][name][-1]['mean']:.4g}" for m in models)
            svg = figures.curves(record["models"], f"{words} by epoch: {ends}.", name, words)
            yield Figure(svg, words.capitalize())


_NO_PICTURES = "The dataset is not available here, so images are listed by their index in the test set."


def _disagreements(record: Record, images: Images | None) -> Iterator[str | Table | Figure]:
    yield (
        "These test images are right in more seeds of one model than of the other; the largest difference comes first. "
        "Each title names the true class and the wrong class that the other model predicts most often, then the share "
        "of seeds that are right in the one and in the other model."
    )
    if images is None:
        yield _NO_PICTURES
    for pair in record["pairs"][:MOST_PAIRS_WITH_PICTURES]:
        for key, right, wrong in (
            ("only_first_right", pair["first"], pair["second"]),
            ("only_second_right", pair["second"], pair["first"]),
        ):
            shares = [f"{percent(x['right_share'], 0)} : {percent(x['other_right_share'], 0)}" for x in pair[key]]
            yield from _gallery(record, pair[key], images, f"Right in {right}, wrong in {wrong}", shares)
    if len(record["pairs"]) > MOST_PAIRS_WITH_PICTURES:
        yield f"Only the first {MOST_PAIRS_WITH_PICTURES} pairs are shown; compare.json has all of them."


def _hardest(record: Record, images: Images | None) -> Iterator[str | Table | Figure]:
    hardest, share = record["hardest_images"], percent(record["settings"]["nearly_all"], 0)
    yield (
        f"{counted(hardest['count'], 'test image')} are wrong in at least {share} of the seeds of every model. Some of "
        "them may have a wrong label; only a person can decide that."
    )
    shares = [f"{percent(item['wrong_share'], 0)} wrong" for item in hardest["images"]]
    yield from _gallery(record, hardest["images"], images, "The worst come first", shares)


def _gallery(
    record: Record, items: Sequence[Record], images: Images | None, title: str, shares: Sequence[str]
) -> Iterator[str | Table | Figure]:
    """Images with their true and predicted classes, or a table of them where there are no images."""
    classes = record["classes"]
    named = [(classes[item["label"]], classes[item["predicted"]]) for item in items]
    if not items:
        yield f"{title}: none."
    elif images is None:
        rows = [
            [str(item["index"]), label, predicted, share]
            for item, (label, predicted), share in zip(items, named, shares, strict=True)
        ]
        yield Table(title, ["test image", "true class", "predicted class", "seeds"], rows)
    else:
        has_short_names = max(len(label + predicted) for label, predicted in named) <= 4
        between = " " if has_short_names else "\n"
        titles = [f"{a}{between}predicted {b}\n{share}" for (a, b), share in zip(named, shares, strict=True)]
        alt = ", ".join(f"{label} predicted as {predicted}" for label, predicted in named)
        indices = ", ".join(str(item["index"]) for item in items)
        yield f"{title}:"
        yield Figure(
            figures.gallery(items, images, titles, f"{title}: {alt}."), f"Test images {indices}, counted from 0."
        )
