"""The scores of each class, the confusion matrix, and the misclassified images of each of its cells."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnn_jax.report.classification import (
    ClassificationReport,
    classification_report,
    confusion_matrix,
    top_k_accuracy,
)
from cnn_jax.report.statistics import SHARE, estimate

SCORES = ("precision", "recall", "f1")
TOP = 5  # of as many classes or fewer, every image is among the first 5
MOST_IMAGES = 2000  # misclassified images on a page, which then has some megabytes


def classes_record(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The scores of each class, and their averages: estimates over the seeds.

    confusion: the numbers of test images by class (rows) and prediction (columns), added up over the seeds.
    logits: float [seeds, N, classes]. labels: int [N].
    """
    number = len(names)
    matrices = [confusion_matrix(labels, of_seed.argmax(axis=-1), number) for of_seed in logits]
    reports = [classification_report(matrix) for matrix in matrices]
    unpredicted = np.sum([matrix.sum(axis=0) == 0 for matrix in matrices], axis=0)
    record = {
        "classes": [
            {"name": name, **_of_class(reports, index), "seeds_without_prediction": int(unpredicted[index])}
            for index, name in enumerate(names)
        ],
        "macro_average": _estimates([report.macro for report in reports]),
        "weighted_average": _estimates([report.weighted for report in reports]),
        "accuracy": dataclasses.asdict(estimate([report.accuracy for report in reports], SHARE)),
    }
    if number > TOP:
        top = [top_k_accuracy(of_seed, labels, TOP) for of_seed in logits]
        record[f"top_{TOP}_accuracy"] = dataclasses.asdict(estimate(top, SHARE))
    return record | {"confusion": np.sum(matrices, axis=0).tolist()}


def _of_class(reports: Sequence[ClassificationReport], index: int) -> dict[str, Any]:
    scores = [(report.precision[index], report.recall[index], report.f1[index]) for report in reports]
    return {"support": int(reports[0].support[index]), **_estimates(scores)}


def _estimates(of_seeds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Estimates of precision, recall and F1 over the seeds."""
    return {
        name: dataclasses.asdict(estimate(values, SHARE))
        for name, values in zip(SCORES, zip(*of_seeds, strict=True), strict=True)
    }


def misclassified(log_probabilities: np.ndarray, labels: np.ndarray, most: int) -> dict[str, Any]:
    """The confused pairs of classes, the most frequent first, with the images that at least one seed confuses so.

    images: how many there are, of a pair and of all pairs. shown: the first of a pair, ordered by the probability of
    the wrong class, which is the mean over the seeds. There are at most `most` of them in all: every pair gets its
    first one before any gets its second, and a pair without one is left out.
    log_probabilities: float [seeds, N, classes]. labels: int [N].
    """
    predictions, probabilities = log_probabilities.argmax(axis=-1), np.exp(log_probabilities).mean(axis=0)
    pairs = sorted(_pairs(predictions, labels, probabilities), key=lambda pair: -pair["predictions"])
    sizes = np.array([pair["images"] for pair in pairs], np.int64)
    shown = _shared_out(most, sizes)
    cut = [{**pair, "shown": pair["shown"][:number]} for pair, number in zip(pairs, shown, strict=True)]
    return {"images": int(sizes.sum()), "pairs": [pair for pair in cut if pair["shown"]]}


def _pairs(predictions: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Iterator[dict[str, Any]]:
    """Every confused pair with all its images. predictions: int [seeds, N]. probabilities: float [N, classes]."""
    wrong = predictions != labels
    for label, predicted in sorted({*zip(np.tile(labels, (len(wrong), 1))[wrong], predictions[wrong], strict=True)}):
        seeds = ((labels == label) & (predictions == predicted)).sum(axis=0)
        indices = np.flatnonzero(seeds)
        indices = indices[np.argsort(-probabilities[indices, predicted], kind="stable")]
        images = [
            {"index": int(i), "seeds": int(seeds[i]), "probability": float(probabilities[i, predicted])}
            for i in indices
        ]
        pair = {"class": int(label), "predicted": int(predicted), "predictions": int(seeds.sum())}
        yield {**pair, "images": len(images), "shown": images}


def _shared_out(most: int, sizes: np.ndarray) -> np.ndarray:
    """How many of each size to take, `most` in all: one of each, then a second of each, and so on."""
    ranks = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else np.zeros(0, np.int64)
    owners = np.repeat(np.arange(len(sizes)), sizes)
    taken = owners[np.argsort(ranks, kind="stable")[:most]]
    return np.bincount(taken, minlength=len(sizes))
