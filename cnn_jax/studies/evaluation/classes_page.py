"""The tables, remarks and galleries of an evaluation on its classes. The console shows the same tables and remarks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.report import pictures
from cnn_jax.report.format import counted, percent, percent_estimate
from cnn_jax.report.page import Block, Gallery, Matrix, Picture
from cnn_jax.report.tables import Table
from cnn_jax.studies.evaluation.classes import SCORES, TOP

Record = Mapping[str, Any]
Links = Mapping[tuple[int, int], str]  # class and predicted class -> the gallery of their images

MOST_CONFUSIONS = 10  # in the table of the most frequent ones
MOST_MATRIX_CLASSES = 100  # a page draws no larger matrix
_LONGEST_NAME = 20  # of a class on the console, so that tables fit into 80 columns
_MOST_NAMED = 10  # classes in a remark


def short_names(found: Record) -> list[str]:
    """The names of the classes for the console."""
    names = _names(found)
    return [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]


def _names(found: Record) -> list[str]:
    return [of_class["name"] for of_class in found["classes"]]


def report_table(found: Record, names: Sequence[str]) -> Table:
    """Precision, recall and F1 of each class in %, as scikit-learn's `classification_report` shows them."""
    total = f"{sum(of_class['support'] for of_class in found['classes']):,}"
    rows = [
        [name, *_scores(of_class), f"{of_class['support']:,}"]
        for name, of_class in zip(names, found["classes"], strict=True)
    ]
    rows.append(["accuracy", "", "", _in_percent(found["accuracy"]), total])
    if top := found.get(f"top_{TOP}_accuracy"):
        rows.append([f"top-{TOP} accuracy", "", "", _in_percent(top), total])
    for kind in ("macro", "weighted"):
        rows.append([f"{kind} avg", *_scores(found[f"{kind}_average"]), total])
    title = f"{found['scored']}: scores of each class in %{_mean_text(found)}"
    return Table(title, ["class", "precision", "recall", "F1", "support"], rows)


def _scores(estimates: Record) -> list[str]:
    return [_in_percent(estimates[name]) for name in SCORES]


def _in_percent(estimate: Record) -> str:
    return percent_estimate(estimate).removesuffix(" %")


def class_estimates(found: Record) -> Iterator[Record]:
    """The estimates that the table of scores shows."""
    for scores in (*found["classes"], found["macro_average"], found["weighted_average"]):
        yield from (scores[name] for name in SCORES)
    yield from (found[name] for name in ("accuracy", f"top_{TOP}_accuracy") if name in found)


def _seeds(found: Record) -> int:
    return found["accuracy"]["n"]


def matrix_table(found: Record, names: Sequence[str], links: Links | None = None, *, numbered: bool = False) -> Table:
    """The confusion matrix. numbered: whether columns are headed by the numbers of the rows instead of names."""
    headings = [f"({index})" for index in range(len(names))] if numbered else names
    rows = [
        [f"({index}) {name}" if numbered else name, *(_mean_count(count, _seeds(found)) for count in counts)]
        for index, (name, counts) in enumerate(zip(names, found["confusion"], strict=True))
    ]
    placed = {(label, 1 + predicted): gallery for (label, predicted), gallery in (links or {}).items()}
    title = f"{found['scored']}: confusion matrix, a row for each class{_mean_text(found)}"
    return Table(title, ["", *headings], rows, placed)


def _mean_text(found: Record) -> str:
    return f", means over {_seeds(found)} seeds" if _seeds(found) > 1 else ""


def _mean_count(count: int, seeds: int) -> str:
    """A count of all seeds as the mean over them; nothing for 0."""
    mean = count / seeds
    if not count:
        return ""
    return f"{mean:.0f}" if mean >= 10 or not count % seeds else f"{mean:.2g}"


def console_matrix(found: Record) -> Table:
    """The matrix as the console prints it: with the names of classes where they are short, otherwise with numbers."""
    names = short_names(found)
    return matrix_table(found, names, numbered=max(map(len, names)) > 4)


def confusions_table(
    found: Record, names: Sequence[str], links: Links | None = None, most: int = MOST_CONFUSIONS
) -> Table:
    """The most frequent confusions, at most `most` of them."""
    confusion = np.array(found["confusion"])
    support = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    frequent = np.argsort(-confusion, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(names)) for place in frequent if confusion.flat[place]]
    rows = [
        [
            names[label],
            names[predicted],
            _mean_count(int(confusion[label, predicted]), _seeds(found)),
            percent(confusion[label, predicted] / support[label]),
        ]
        for label, predicted in pairs
    ]
    placed = {(row, 2): links[pair] for row, pair in enumerate(pairs) if links and pair in links}
    title = f"{found['scored']}: the most frequent confusions{_mean_text(found)}"
    return Table(title, ["class", "predicted as", "images", "share of the class"], rows, placed)


def remarks(found: Record) -> Iterator[str]:
    """Which scores count as 0 because there is nothing to divide by, and whether all is right: a line each."""
    seeds = _seeds(found)
    empty = [of_class["name"] for of_class in found["classes"] if not of_class["support"]]
    unpredicted = [
        of_class["name"] + (f" (in {number} of {seeds} seeds)" if number < seeds else "")
        for of_class in found["classes"]
        if (number := of_class["seeds_without_prediction"])
    ]
    for names, what, score in (
        (empty, "without an image", "recall"),
        (unpredicted, "that are never predicted", "precision"),
    ):
        if names:
            others = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            first = ", ".join(names[:_MOST_NAMED])
            yield f"classes {what}: {first}{others} (their {score} counts as 0, also in the averages)"
    if np.trace(found["confusion"]) == np.sum(found["confusion"]):
        yield "no image is misclassified"


def class_blocks(run: Record, images: np.ndarray, prefix: str) -> Iterator[Block]:
    """The part of a page on the classes of a run. images: those that are scored, uint8 [N, H, W, C].

    prefix: begins the names of the run's galleries, which show the images of the main output.
    """
    for found in run["classification"]:
        is_main = found["output"] == run.get("main_output")
        pairs = run["misclassified"]["pairs"] if is_main else []
        links = {(pair["class"], pair["predicted"]): f"{prefix}-{pair['class']}-{pair['predicted']}" for pair in pairs}
        names, has_matrix = _names(found), len(found["classes"]) <= MOST_MATRIX_CLASSES
        yield report_table(found, names)
        yield from (f"{remark[:1].upper()}{remark[1:]}." for remark in remarks(found))
        if pairs:
            yield _gallery_words(run["misclassified"], _seeds(found))
        # Without a matrix, this table has the links to all galleries.
        confusions = confusions_table(found, names, links, MOST_CONFUSIONS if has_matrix else len(pairs))
        if confusions.rows:
            yield confusions
        if has_matrix:
            yield Matrix(matrix_table(found, names, links), _shares(found))
        yield from (_gallery(pair, names, images, links, _seeds(found)) for pair in pairs)


def _shares(found: Record) -> list[list[float]]:
    confusion = np.array(found["confusion"])
    return (confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)).tolist()


def _gallery_words(misclassified: Record, seeds: int) -> str:
    """How to see the images, and how many of them there are."""
    number, shown = misclassified["images"], sum(len(pair["shown"]) for pair in misclassified["pairs"])
    by, mean = (" by any of the seeds", ", the mean over the seeds") if seeds > 1 else ("", "")
    some = (
        f" There are {number:,}; this page has {shown:,} of them, the first ones of each link."
        if shown < number
        else ""
    )
    return (
        f"A number with a link opens the images that are misclassified so{by}. The largest probability of the "
        f"wrong class comes first. Below each: its index among them, counted from 0, and this probability{mean}."
        f"{some}"
    )


def _gallery(pair: Record, names: Sequence[str], images: np.ndarray, links: Links, seeds: int) -> Gallery:
    """The images of one cell of the confusion matrix."""
    label, predicted = names[pair["class"]], names[pair["predicted"]]
    number, shown = pair["images"], len(pair["shown"])
    return Gallery(
        links[pair["class"], pair["predicted"]],
        f"{label} predicted as {predicted}",
        f"{counted(number, 'image')}{f', of which {shown:,} are shown' if shown < number else ''}.",
        [_picture(item, images, f"{label} predicted as {predicted}", seeds) for item in pair["shown"]],
    )


def _picture(item: Record, images: np.ndarray, what: str, seeds: int) -> Picture:
    content, media_type = pictures.tile(images[item["index"]])
    of_seeds = f", {item['seeds']} of {seeds} seeds" if seeds > 1 else ""
    caption = f"{item['index']}: {percent(item['probability'], 0)}{of_seeds}"
    return Picture(content, media_type, f"image {item['index']}: {what}", caption)
