"""The predictions for a user's pictures: a table on the console, and a page that shows the parts that decided them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax import program
from cnn_jax.data.dataset import Spec
from cnn_jax.report import pictures
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted, percent
from cnn_jax.report.page import Card, Page, Picture, Section, Table, render
from cnn_jax.studies.predict.saliency import patch_side

Row = Mapping[str, Any]

HEADINGS = ["file", "class", "probability", "second class", "probability", "error"]


def show(console: Console, rows: Sequence[Row]) -> None:
    """Prints the rows as a table."""
    console.table(Table(_counted(rows), HEADINGS, [_cells(row) for row in rows]))


def predictions_page(model: str, spec: Spec, rows: Sequence[Row], most: int) -> str:
    """The page: the first `most` rows with their pictures, or with their errors.

    model: describes the run. spec: of its images. rows: file and error; without an error also class, probability,
    second_class and second_probability, and, where the row is shown, thumbnail (JPEG), image (uint8 [H, W, C]),
    saliency (float [H, W]) and probabilities (by class).
    """
    shown = rows[:most]
    cards = [_card(row, spec) for row in shown if not row["error"]]
    failed = [[row["file"], row["error"]] for row in shown if row["error"]]
    explanation = _explanation(spec)
    if len(rows) > most:
        explanation.append(
            f"This page shows the first {most:,} of {len(rows):,} files; predictions.csv has all of them."
        )
    sections = [Section("How to read this page", explanation)]
    if cards:
        sections.append(Section("The pictures", cards))
    if failed:
        sections.append(Section("Files without a prediction", [Table("Errors", ["file", "error"], failed)]))
    footer = f"Made by {program.name()} --mode=predict."
    return render(Page("Predictions", f"{_counted(rows)} Model: {model}.", sections, footer))


def _explanation(spec: Spec) -> list[str]:
    height, width, _ = spec.image_shape
    size, side = f"{height} x {width} pixels", patch_side(spec.image_shape)
    prepared = (
        "The network was trained on images like those of MNIST, and each picture is first made into such an image: "
        "uneven light is removed, the ink is cut out and scaled to 20 x 20 pixels, and its centre of mass is placed in "
        f"the middle of {size}. Ink is shown dark."
        if spec.mnist_form
        else f"The network was trained on images of {size}: the middle of each picture is first scaled to that size."
    )
    return [
        f"{prepared} Where an answer is wrong, look at this image first: the network sees nothing else.",
        f"The third picture shows the parts that decided the answer. A patch of {side} x {side} pixels is made blank, "
        "at one position after another. Where this makes the answer less likely, the place is red; where it makes the "
        "answer more likely, the place is blue. The strongest colour stands for the largest change in the same "
        "picture, so colours of different pictures cannot be compared.",
        "A probability is computed by the network; it is no guarantee. The network knows only its own classes, and "
        "gives one of them even to a picture of something else.",
    ]


def _counted(rows: Sequence[Row]) -> str:
    failed = sum(bool(row["error"]) for row in rows)
    not_read = f", {failed:,} of them could not be read" if failed else ""
    return f"{counted(len(rows), 'file')}{not_read}."


def _cells(row: Row) -> list[str]:
    if row["error"]:
        return [row["file"], "", "", "", "", row["error"]]
    answers = [(row["class"], row["probability"]), (row["second_class"], row["second_probability"])]
    return [row["file"], *(cell for name, share in answers for cell in (name, percent(share))), ""]


def _card(row: Row, spec: Spec) -> Card:
    image, change, name = row["image"], row["saliency"], row["class"]
    height, width, channels = image.shape
    # Ink is large in MNIST's form, and dark on the page. Other pictures are shown as they are.
    shown = 255 - image if spec.mnist_form else image
    seen = pictures.png(shown if channels == 3 else shown[..., 0])
    darkness = 255 - shown.mean(axis=-1).astype(np.uint8)
    decisive = pictures.png(pictures.tinted(darkness, change, float(np.abs(change).max())))
    largest_fall = 1 - float(np.exp(-max(change.max(), 0)))  # saliency is a fall of the log-probability
    caption = f"blanking a red place lowers the probability of {name} by up to {percent(largest_fall, 1)}"
    return Card(
        title=row["file"],
        words=f"Answer {name} with probability {percent(row['probability'], 1)}; second answer {row['second_class']} "
        f"with probability {percent(row['second_probability'], 1)}.",
        pictures=[
            Picture(row["thumbnail"], "image/jpeg", f"the picture {row['file']}", "your picture"),
            Picture(
                seen,
                "image/png",
                f"the {height} x {width} pixels for which the answer is {name}",
                "what the network sees",
            ),
            Picture(decisive, "image/png", f"where blanking changes the probability of {name}", caption),
        ],
        shares=row["probabilities"],
    )
