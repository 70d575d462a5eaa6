"""A comparison's record for people: the same tables and sentences on the console, on a page and in the README."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.report.page import Figure, Page, Section, Table, render
from cnn_jax.studies.compare import figures as drawings

Record = Mapping[str, Any]
Images = Mapping[int, np.ndarray]

MOST_PAIRS_IN_PICTURES = 6  # the page stays small, whatever is compared
_CURVES = {
    "train_loss": "training loss",
    "train_accuracy": "training accuracy, %",
    "validation_loss": "validation loss",
    "validation_accuracy": "validation accuracy, %",
}


def scores(record: Record) -> Table:
    """What each model reaches on the test images."""
    rows = [
        [
            model["name"],
            f"{len(model['seeds'])}",
            f"{100 * model['test_accuracy']['mean']:.2f} %",
            *_spread(model["test_accuracy"], _points),
            f"{model['test_loss']['mean']:.4f}",
            *_spread(model["test_loss"], "{:.4f}".format),
        ]
        for model in record["models"]
    ]
    accuracy, loss = (["test " + name, "deviation", "95 % interval"] for name in ("accuracy", "loss"))
    title = f"Scores on {record['settings']['test_examples']:,} test images of {record['dataset']}, means of the seeds"
    return Table(title, ["model", "seeds", *accuracy, *loss], rows)


def costs(record: Record) -> Table:
    """What each model takes."""
    rows = [
        [
            model["name"],
            f"{model['parameters']:,}",
            f"{model['multiply_adds']:,}",
            f"{model['images_per_second']['mean']:,.0f}",
            seconds(model["train_seconds"]["mean"]),
            *_spread(model["train_seconds"], seconds),
        ]
        for model in record["models"]
    ]
    headings = ["model", "parameters", "multiply-adds an image", "images/s in training", "to train", "deviation"]
    return Table("Costs", [*headings, "95 % interval"], rows)


def pairs(record: Record) -> Table:
    """The differences in accuracy of every pair, first minus second, and their tests."""
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            pair["verdict"],
            f"{len(pair['seeds'])}",
            f"{100 * pair['test_accuracy']['mean']:+.3f}",
            _range(pair["test_accuracy"]["interval"], lambda value: f"{100 * value:+.3f}"),
            f"{pair['test_accuracy']['images_of_10000']:+.1f}",
            p_value(pair["test_accuracy"]["p_holm"]),
            p_value(pair["test_accuracy"]["p"]),
            _wilcoxon(pair["test_accuracy"]["wilcoxon"]),
            needed(pair["seeds_needed"]),
        ]
        for pair in record["pairs"]
    ]
    headings = ["first - second", "verdict", "seeds", "points", "95 % interval", "of 10,000", "p, Holm", "p, t"]
    return Table("Test accuracy over the common seeds", [*headings, "p, Wilcoxon", "seeds for 0.05"], rows)


def other_differences(record: Record) -> Table:
    """The differences in test loss and the ratios of the times to train, of every pair."""
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            f"{pair['test_loss']['mean']:+.4f}",
            _range(pair["test_loss"]["interval"], "{:+.4f}".format),
            p_value(pair["test_loss"]["p_holm"]),
            f"{pair['train_seconds_ratio']['ratio']:,.3f}",
            _range(pair["train_seconds_ratio"]["interval"], "{:,.3f}".format),
        ]
        for pair in record["pairs"]
    ]
    headings = ["first - second", "test loss", "95 % interval", "p, Holm", "time to train, first / second"]
    return Table("Test loss and time to train over the common seeds", [*headings, "95 % interval"], rows)


def sentences(record: Record) -> list[str]:
    """What may be said of each pair, in plain words."""
    return [
        " ".join([_single_run(pair) if pair["mcnemar"] else _verdict(pair, len(record["pairs"])), _time(pair)])
        for pair in record["pairs"]
    ]


def _verdict(pair: Record, tests: int) -> str:
    found = pair["test_accuracy"]
    corrected = f" after Holm's correction for {tests} pairs" if tests > 1 else ""
    facts = (
        f"{100 * found['mean']:+.2f} points of test accuracy "
        f"({_interval_words(found['interval'])}{len(pair['seeds'])} seeds), {found['images_of_10000']:+.0f} images of "
        f"10,000, {_p_words(found['p_holm'])}{corrected}."
    )
    if pair["verdict"] != "no difference shown":
        return f"{pair['first']} is {pair['verdict']} than {pair['second']}: {facts}"
    more = _needed_words(pair["seeds_needed"])
    return f"No difference shown between {pair['first']} and {pair['second']}: {facts}{more}"


def _interval_words(interval: Sequence[float] | None) -> str:
    return f"95 % interval {_range(interval, lambda value: f'{100 * value:+.2f}')}, " if interval else ""


def _needed_words(number: int | None) -> str:
    return f" {number:,} seeds would show one of 0.05 points with 80 % power." if number else ""


def _single_run(pair: Record) -> str:
    mcnemar, difference = pair["mcnemar"], pair["test_accuracy"]["images_of_10000"]
    said = (
        f"No difference shown between one run of {pair['first']} and one of {pair['second']}"
        if pair["verdict"] == "no difference shown"
        else f"This run of {pair['first']} is {pair['verdict']} than that of {pair['second']}"
    )
    return (
        f"{said} with seed {pair['seeds'][0]}: {mcnemar['only_first']:,} images are right in the first alone, "
        f"{mcnemar['only_second']:,} in the second alone, {difference:+.0f} of 10,000 in all, McNemar's "
        f"{_p_words(pair['test_accuracy']['p_holm'])}. One run each cannot speak for the models: another "
        "seed may say otherwise."
    )


def _time(pair: Record) -> str:
    """How much faster one of them trains, whichever it is."""
    found, names = pair["train_seconds_ratio"], (pair["first"], pair["second"])
    ratio, interval = found["ratio"], found["interval"]
    if ratio > 1:
        ratio, names = 1 / ratio, names[::-1]
        interval = interval and (1 / interval[1], 1 / interval[0])
    bounds = f" (95 % interval {1 / interval[1]:.3g} to {1 / interval[0]:.3g})" if interval else ""
    return f"{names[0]} trains {1 / ratio:.3g} times as fast as {names[1]}{bounds}."


def times_line(record: Record) -> str:
    """Whether the times may be compared."""
    differ = record["machines_differ_in"]
    if not differ:
        return "Times are comparable on one machine only: these runs name the same one, not what else it was doing."
    return (
        f"Times are comparable on one machine only, and these runs' machine.json differ in {', '.join(differ)}: "
        "take the times with care."
    )


def p_value(p: float | None) -> str:
    """A p-value with two digits; a dash where there was no test."""
    if p is None:
        return "-"
    return f"{p:.2g}" if p >= 1e-4 or p == 0 else f"{p:.0e}"


def needed(number: int | None) -> str:
    """A number of seeds; a dash where it is not known or beyond all measure."""
    return "-" if number is None else f"{number:,}"


def seconds(value: float) -> str:
    """A time to train: `1.3 s`, `78 s`, `14.2 min`."""
    if value >= 120:
        return f"{value / 60:,.1f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s"


def _p_words(p: float | None) -> str:
    return "no test possible" if p is None else f"p = {p_value(p)}"


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


def _spread(found: Record, form: Any) -> list[str]:
    return ["-" if found["std"] is None else form(found["std"]), _range(found["interval"], form)]


def _range(interval: Sequence[float] | None, form: Any) -> str:
    return f"{form(interval[0])} to {form(interval[1])}" if interval else "-"


def _wilcoxon(found: Record) -> str:
    return f"{p_value(found['p'])}{' (powerless)' if found['is_powerless'] else ''}"


def images_shown(record: Record) -> list[int]:
    """The indices of the test images that the page shows."""
    shown = [*record["hardest_images"]["images"]]
    for pair in record["pairs"][:MOST_PAIRS_IN_PICTURES]:
        shown += [*pair["only_first_right"], *pair["only_second_right"]]
    return sorted({item["index"] for item in shown})


def page(record: Record, images: Images | None) -> str:
    """The whole record as a page. images: those of `images_shown`, uint8 [H, W, C]; None: they are not at hand."""
    names = [model["name"] for model in record["models"]]
    sections = [
        Section("In words", [*sentences(record), times_line(record)]),
        Section("The models", [scores(record), *_strips(record), costs(record)]),
        Section(
            "Pair by pair", [_pairs_words(record), pairs(record), *_single_runs(record), other_differences(record)]
        ),
        Section("What accuracy costs", _costs(record)),
        Section("Training", list(_curves(record))),
        Section("Where they disagree", list(_disagreements(record, images))),
        Section("Images that nearly every run gets wrong", list(_hardest(record, images))),
        Section("What is compared", [_settings(record), _machines(record)]),
    ]
    title = f"Comparison of {', '.join(names)}" if len(names) <= 4 else f"Comparison of {len(names)} models"
    lead = (
        f"{sum(len(model['seeds']) for model in record['models'])} finished runs on {record['dataset']}, seed by seed."
    )
    return render(Page(title, lead, sections, f"Made by run.py --mode=compare, {record['date']}."))


def _strips(record: Record) -> Iterator[Figure]:
    said = "; ".join(f"{m['name']} {m['test_accuracy']['mean']:.2%}" for m in record["models"])
    svg = drawings.strips(record["models"], f"Test accuracies of all seeds. Means: {said}.")
    yield Figure(svg, "Each mark is one seed. Below them the mean, on the 95 % interval of the mean.")


def _pairs_words(record: Record) -> str:
    count = len(record["pairs"])
    return (
        "One seed gives all models the same order of training images, so that differences are taken seed by seed: in "
        "percentage points, and as images of 10,000. The verdict is that of the paired t-test on accuracy at 5 %; with "
        "a single common seed, that of McNemar's exact test on the test images. "
        f"{f'Holm corrects the p-values for {count} pairs. ' if count > 1 else ''}{_powerless_words(record)}"
        "The last number says how many seeds would show a true difference of 0.05 points with 80 % power, were the "
        "deviation of the differences the one seen here. All of it holds for these test images: how the models would "
        "do on others is a further uncertainty."
    )


def _powerless_words(record: Record) -> str:
    tests = [pair["test_accuracy"]["wilcoxon"] for pair in record["pairs"]]
    least = sorted({test["smallest_p"] for test in tests if test["is_powerless"]})
    if not least:
        return ""
    listed = " or ".join(p_value(p) for p in least)
    return f"Wilcoxon's test is powerless where it says so: were all seeds of one mind, its p would still be {listed}. "


def _single_runs(record: Record) -> Iterator[Table]:
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            f"{pair['mcnemar']['only_first']:,}",
            f"{pair['mcnemar']['only_second']:,}",
            p_value(pair["mcnemar"]["p"]),
            p_value(pair["test_accuracy"]["p_holm"]),
        ]
        for pair in record["pairs"]
        if pair["mcnemar"]
    ]
    if rows:
        yield Table(
            "Single runs on the same images", ["", "only first right", "only second right", "p", "p, Holm"], rows
        )


def _costs(record: Record) -> list[str | Figure]:
    caption = "Error bars are 95 % intervals of the means."
    said = {
        "train_seconds": "; ".join(f"{m['name']} {seconds(m['train_seconds']['mean'])}" for m in record["models"]),
        "parameters": "; ".join(f"{m['name']} {m['parameters']:,}" for m in record["models"]),
    }
    axes = {"train_seconds": "seconds to train", "parameters": "parameters"}
    return [
        times_line(record),
        *(
            Figure(
                drawings.accuracy_against(
                    record["models"], f"Test accuracy against {words}: {said[name]}.", name, words
                ),
                caption,
            )
            for name, words in axes.items()
        ),
    ]


def _curves_of(record: Record, name: str) -> list[Record]:
    return [model for model in record["models"] if model["curves"].get(name)]


def _curves(record: Record) -> Iterator[str | Figure]:
    yield "The mean over the seeds, in a band from the lowest to the highest. Test images are scored at the end alone."
    for name, words in _CURVES.items():
        shown = _curves_of(record, name)
        if shown:
            ends = "; ".join(f"{m['name']} ends at {m['curves'][name][-1]['mean']:.4g}" for m in shown)
            yield Figure(
                drawings.curves(record["models"], f"{words} by epoch: {ends}.", name, words), words.capitalize()
            )


_NO_PICTURES = "The dataset's images are not at hand, so that they are named by their place in the test set."


def _disagreements(record: Record, images: Images | None) -> Iterator[str | Table | Figure]:
    yield (
        "The test images that more seeds of one model get right than of the other, the largest gap first: the true "
        "class, what the other model takes it for most often, and the shares of the seeds that are right in each."
    )
    if images is None:
        yield _NO_PICTURES
    for pair in record["pairs"][:MOST_PAIRS_IN_PICTURES]:
        for part, right, wrong in (
            ("only_first_right", pair["first"], pair["second"]),
            ("only_second_right", pair["second"], pair["first"]),
        ):
            shares = [f"{item['right_share']:.0%} : {item['other_right_share']:.0%}" for item in pair[part]]
            yield from _gallery(record, pair[part], images, f"Right in {right}, wrong in {wrong}", shares)
    if len(record["pairs"]) > MOST_PAIRS_IN_PICTURES:
        yield f"The first {MOST_PAIRS_IN_PICTURES} pairs are shown; compare.json has all of them."


def _hardest(record: Record, images: Images | None) -> Iterator[str | Table | Figure]:
    found, share = record["hardest_images"], record["settings"]["nearly_all"]
    yield (
        f"{found['count']:,} test images are wrong in at least {share:.0%} of the seeds of every model. Some of them "
        "may be labelled wrongly; whether they are, a person has to say."
    )
    shares = [f"{item['wrong_share']:.0%} wrong" for item in found["images"]]
    yield from _gallery(record, found["images"], images, "The worst first", shares)


def _gallery(
    record: Record, found: Sequence[Record], images: Images | None, title: str, shares: Sequence[str]
) -> Iterator[str | Table | Figure]:
    """Images with true and predicted class; a table of them where the images are not at hand."""
    classes = record["classes"]
    named = [(classes[item["label"]], classes[item["predicted"]]) for item in found]
    if not found:
        yield f"{title}: none."
    elif images is None:
        rows = [
            [str(item["index"]), label, predicted, share]
            for item, (label, predicted), share in zip(found, named, shares, strict=True)
        ]
        yield Table(title, ["test image", "true", "predicted", "seeds"], rows)
    else:
        between = " " if max(len(a + b) for a, b in named) <= 4 else "\n"  # names as long as in Fashion-MNIST
        titles = [f"{a}{between}taken for {b}\n{share}" for (a, b), share in zip(named, shares, strict=True)]
        said = ", ".join(f"{a} taken for {b}" for a, b in named)
        places = ", ".join(str(item["index"]) for item in found)
        yield f"{title}:"
        yield Figure(
            drawings.gallery(found, images, titles, f"{title}: {said}."), f"Test images {places}, counted from 0."
        )


def _settings(record: Record) -> str | Table:
    """The settings in which the models differ."""
    configs = [model["config"] for model in record["models"]]
    fields = [name for name in configs[0] if any(config[name] != configs[0][name] for config in configs)]
    rows = [[name, *(_setting(config[name]) for config in configs)] for name in fields]
    if not rows:
        return "The settings are the same."
    return Table("Settings that differ", ["", *(model["name"] for model in record["models"])], rows)


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _machines(record: Record) -> Table:
    machines = record["machines"]
    rows = [["runs", *(str(machine["runs"]) for machine in machines)]]
    rows += [[name, *(machine[name] for machine in machines)] for name in ("device", "cores", "system", "python")]
    rows += [["versions", *(", ".join(f"{k} {v}" for k, v in machine["versions"].items()) for machine in machines)]]
    rows += [["XLA_FLAGS", *(machine["xla_flags"] for machine in machines)]]
    rows += [["commit", *(machine["git_commit"] for machine in machines)]]
    return Table("Machines", ["", *(f"machine {number}" for number in range(1, len(machines) + 1))], rows)
