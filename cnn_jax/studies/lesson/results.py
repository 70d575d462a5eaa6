"""Part 8, the results: what finished runs came to, which images they get wrong, and what a difference means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import special, stats

ARRAYS: Mapping[str, str] = {
    "runs/RUN/confusion": "int64 [classes, classes]: test images by their class and, along the row, by the answer",
    "runs/RUN/wrong": "int64 [W]: numbers of misclassified test images, the largest loss first",
    "runs/RUN/wrong_losses": "float64 [W]: their losses",
    "runs/RUN/wrong_images": "uint8 [up to 20, H, W, C]: the first of them",
    "runs/RUN/wrong_labels": "int32 [up to 20]: what they show",
    "runs/RUN/wrong_answers": "int64 [up to 20]: what the network says",
}

SHOWN = 20  # misclassified images
LECTURE = {"with pooling": 0.9909, "without": 0.9904}  # its accuracies on 10,000 test images, one run of each


@dataclass(frozen=True)
class Run:
    """A finished run. rows: of its epochs. logits: float [N, classes] of the test images, whose labels are int [N]."""

    name: str
    rows: Sequence[Mapping[str, float]]
    test_loss: float
    test_accuracy: float
    parameters: int
    logits: np.ndarray
    labels: np.ndarray


def compute(runs: Sequence[Run], images: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """What there is to see of the runs. images: the test images of all of them, uint8 [N, H, W, C]."""
    found = [_facts(run, images, len(classes)) for run in runs]
    pairs = [_difference(one, other) for one, other in combinations(found, 2) if one["examples"] == other["examples"]]
    (first, best), (second, other) = LECTURE.items()
    examples = 10_000
    return {
        "classes": classes,
        "runs": found,
        "differences": pairs,
        "lecture": {
            "names": (f"the lecture's network {first}", second),
            "accuracies": (best, other),
            "examples": examples,
            "images": round((best - other) * examples),
            **_significance(best, other, examples),
        },
    }


def _facts(run: Run, images: np.ndarray, classes: int) -> dict[str, Any]:
    losses = special.logsumexp(run.logits, axis=-1) - run.logits[np.arange(len(run.labels)), run.labels]
    answers = run.logits.argmax(axis=-1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (run.labels, answers), 1)
    wrong = np.flatnonzero(answers != run.labels)
    wrong = wrong[np.argsort(-losses[wrong], kind="stable")]
    return {
        "name": run.name,
        "rows": run.rows,
        "test_loss": run.test_loss,
        "test_accuracy": run.test_accuracy,
        "parameters": run.parameters,
        "examples": len(run.labels),
        "epoch_seconds": float(np.mean([row["seconds"] for row in run.rows])),
        "confusion": confusion,
        "wrong": wrong,
        "wrong_losses": losses[wrong].astype(float),
        "wrong_images": images[wrong[:SHOWN]],
        "wrong_labels": run.labels[wrong[:SHOWN]],
        "wrong_answers": answers[wrong[:SHOWN]],
    }


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    examples = one["examples"]
    return {
        "names": (one["name"], other["name"]),
        "accuracies": (one["test_accuracy"], other["test_accuracy"]),
        "examples": examples,
        "images": len(other["wrong"]) - len(one["wrong"]),
        **_significance(one["test_accuracy"], other["test_accuracy"], examples),
    }


def _significance(one: float, other: float, examples: int) -> dict[str, float]:
    """The z of two shares of so many images each, as if of independent samples, and its two-sided p-value.

    The two-proportion z-test with pooled variance; 0 where all or none are right.
    """
    pooled = (one + other) / 2
    deviation = math.sqrt(2 * pooled * (1 - pooled) / examples)
    z = (one - other) / deviation if deviation else 0.0
    return {"z": z, "p": float(2 * stats.norm.sf(abs(z)))}
