"""Part 9, the verdict: is the network with pooling a little better? What one run of each says, and what many say."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from scipy import stats

from cnn_jax.report.format import duration, loss_estimate, percent, percent_estimate
from cnn_jax.report.page import Section, Table
from cnn_jax.studies.lesson.formats import Record
from cnn_jax.studies.lesson.results import Run

ARRAYS: Mapping[str, str] = {}

LECTURE: Sequence[Mapping[str, Any]] = (  # its own results, of one run of each network
    {"name": "The lecture's network with pooling", "test_accuracy": 0.9909, "examples": 10_000},
    {"name": "its network without pooling", "test_accuracy": 0.9904, "examples": 10_000},
)
STORED = Path(__file__).with_name("comparison.json")  # made by experiments/results/lesson_comparison.py
_CRITICAL_Z = 1.96  # the two-sided 5 % point of the normal distribution


def compute(runs: Sequence[Run]) -> dict[str, Any]:
    """The differences between the lecture's two runs and between all pairs of the runs; the stored comparison."""
    facts = [{"name": run.name, "test_accuracy": run.test_accuracy, "examples": len(run.labels)} for run in runs]
    return {
        "lecture": _difference(*LECTURE),
        "differences": [_difference(*pair) for pair in combinations(facts, 2)],
        "stored": json.loads(STORED.read_text(encoding="utf-8")),
    }


def _difference(one: Record, other: Record) -> dict[str, Any]:
    """The accuracies of two runs on equally many test images, compared by the two-proportion z-test.

    The test assumes independent test images and pools the variance. z is 0 where all or no answers are right; p is
    two-sided. images: how many more images the first run classifies correctly.
    """
    examples, accuracies = one["examples"], (one["test_accuracy"], other["test_accuracy"])
    pooled = sum(accuracies) / 2
    deviation = math.sqrt(2 * pooled * (1 - pooled) / examples)
    z = (accuracies[0] - accuracies[1]) / deviation if deviation else 0.0
    return {
        "names": (one["name"], other["name"]),
        "accuracies": accuracies,
        "examples": examples,
        "images": round((accuracies[0] - accuracies[1]) * examples),
        "z": z,
        "p": float(2 * stats.norm.sf(abs(z))),
    }


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    stored, here = record["stored"], record["differences"]
    of_this_page = ["The runs of this page, compared in the same way:", *map(_in_words, here)] if here else []
    return Section(
        "Is the network with pooling better?",
        [
            'The lecture says that its network with pooling "does a little better, plus it trains a lot faster". It '
            "had one run of each network. Is the statement right?",
            "One run of each cannot say it. An accuracy is itself uncertain: with other test images it would be a "
            "little different. The number z is the difference of two accuracies divided by this uncertainty. If z is "
            f"below about 2, the difference may be chance. {_in_words(record['lecture'])}",
            *of_this_page,
            "Test images are only one source of chance. Another seed gives another network, and its accuracy differs "
            "too. To show that one network is better than another, both are trained with several seeds. This takes "
            "hours, so the next table was not computed with this page. It is stored with the project:",
            _stored_table(stored),
            f"{stored['measured']}",
            *stored["sentences"],
            "So the statement is right, although the two runs of the lecture could not show it. Their difference of "
            f"{abs(record['lecture']['images'])} images was within chance; the seeds show that the difference is real, "
            "and that it is small.",
        ],
    )


def _in_words(pair: Record) -> str:
    one, other = pair["names"]
    accuracies = " and ".join(map(percent, pair["accuracies"]))
    may_be_chance = abs(pair["z"]) < _CRITICAL_Z
    verdict = "the difference may be chance" if may_be_chance else "the difference is larger than chance explains"
    return (
        f"{one} and {other}: {accuracies} of {pair['examples']:,} images. They differ by "
        f"{abs(pair['images'])} images, z = {abs(pair['z']):.2f}: {verdict}."
    )


def _stored_table(stored: Record) -> Table:
    rows = [
        [
            model["name"],
            f"{model['parameters']:,}",
            f"{model['test_accuracy']['n']}",
            percent_estimate(model["test_accuracy"]),
            loss_estimate(model["test_loss"]),
            duration(model["train_seconds"]["mean"]),
        ]
        for model in stored["models"]
    ]
    headings = ["network", "parameters", "seeds", "test accuracy", "test loss", "training"]
    return Table("Means over the seeds, with 95 % intervals", headings, rows)
