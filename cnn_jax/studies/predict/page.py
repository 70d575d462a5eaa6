"""What a model says of a user's pictures, for people: a table on the console, and a sheet that shows why."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.report import pictures
from cnn_jax.report.console import Console
from cnn_jax.report.page import Block, Card, Page, Picture, Section, Table, render

Row = Mapping[str, Any]

HEADINGS = ["file", "class", "probability", "second", "probability", "why not"]


def show(console: Console, rows: Sequence[Row]) -> None:
    """The rows on the console."""
    console.table(Table(_told(rows), HEADINGS, [_cells(row) for row in rows]))


def page(model: str, rows: Sequence[Row], most: int) -> str:
    """The sheet: the first `most` rows with their pictures, or why there are none.

    model: what named them, in words. rows: file and error, and where that is empty class, probability, second_class and
    second_probability; for those shown also thumbnail (JPEG), image (uint8 [28, 28, 1]), saliency (float [28, 28]) and
    probabilities (class to number).
    """
    shown = rows[:most]
    cards: list[Block] = [_card(row) for row in shown if not row["error"]]
    failed = [[row["file"], row["error"]] for row in shown if row["error"]]
    sections = [Section("How to read this", [*_EXPLANATION, *_left_out(rows, most)])]
    if cards:
        sections.append(Section("The pictures", cards))
    if failed:
        sections.append(Section("Not read", [Table("Files in which no digit can be read", ["file", "why"], failed)]))
    return render(Page("Predictions", f"{_told(rows)} Named by {model}.", sections, "Made by run.py --mode=predict."))


_EXPLANATION = (
    "Each picture is made into what the network was trained on, as MNIST's images were made: the light evened out, the "
    "ink cut out, scaled to 20 x 20 pixels and placed by its centre of mass in 28 x 28. Ink is a large number to the "
    "network and is shown dark. Where a name is wrong, look at what the network saw first.",
    "The third picture shows what the name hangs on: patches of 5 x 5 pixels are blanked, one place after another. "
    "Where that makes the name less likely, the place is red; where more likely, blue. The strongest colour of a "
    "picture is its own largest change, so that colours are not to be compared between pictures.",
    "A probability is the network's, not a promise: it knows only its own classes, and a scribble becomes one of them.",
)


def _left_out(rows: Sequence[Row], most: int) -> list[str]:
    if len(rows) <= most:
        return []
    return [f"This sheet shows the first {most:,} of {len(rows):,} files; predictions.csv holds them all."]


def _told(rows: Sequence[Row]) -> str:
    failed = sum(bool(row["error"]) for row in rows)
    not_read = f", {failed:,} could not be read" if failed else ""
    return f"{len(rows):,} {'file' if len(rows) == 1 else 'files'}{not_read}."


def _cells(row: Row) -> list[str]:
    if row["error"]:
        return [row["file"], "", "", "", "", row["error"]]
    named = [(row["class"], row["probability"]), (row["second_class"], row["second_probability"])]
    return [row["file"], *(cell for name, share in named for cell in (name, f"{share:.2%}")), ""]


def _card(row: Row) -> Card:
    image, change = row["image"][..., 0], row["saliency"]
    largest = float(np.abs(change).max())
    name, share, second, second_share = (
        row[key] for key in ("class", "probability", "second_class", "second_probability")
    )
    seen = pictures.png(pictures.ink(image))
    reasons = pictures.png(pictures.tinted(image, change, largest))
    return Card(
        title=row["file"],
        words=f"{name} with probability {share:.1%}; next {second} with {second_share:.1%}.",
        pictures=[
            Picture(row["thumbnail"], "image/jpeg", f"the picture {row['file']}", "the picture"),
            Picture(seen, "image/png", f"the 28 x 28 pixels that were named {name}", "what the network saw"),
            Picture(reasons, "image/png", f"where blanking changes how likely {name} is", _range(change, name)),
        ],
        shares=row["probabilities"],
    )


def _range(change: np.ndarray, name: str) -> str:
    """The caption of a map of falls in log-probability, as factors."""
    return f"blanking red makes {name} up to {np.exp(max(change.max(), 0)):,.3g} times less likely"
