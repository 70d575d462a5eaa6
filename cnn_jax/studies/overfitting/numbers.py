"""Overfitting: how much better models do on the images they learned than on others, by the number of these images.

Every number of `overfitting.json` that does not come from a run.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.report import statistics

MEASURES = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")


@dataclass(frozen=True)
class Learner:
    """A model trained on the first N images, for one N, with several seeds.

    scores: float [seeds] for each of `MEASURES`, of the parameters at the end. epochs, steps: of each seed.
    """

    name: str
    parameters: int
    train_examples: int
    epochs: int
    steps: int
    seeds: tuple[int, ...]
    scores: Mapping[str, np.ndarray]

    @property
    def gap(self) -> np.ndarray:
        """Training accuracy minus test accuracy, float [seeds]."""
        return self.scores["train_accuracy"] - self.scores["test_accuracy"]


def epochs_for(train_examples: int, batch_size: int, epochs: int, least_steps: int) -> int:
    """The epochs that take at least so many steps, and at least the given ones: few images are seen more often."""
    epoch_steps = -(-train_examples // min(batch_size, train_examples))
    return max(epochs, -(-least_steps // epoch_steps))


def compare(learners: Sequence[Learner]) -> dict[str, Any]:
    """Each learner's scores with intervals, and every two models' gaps against each other at every size.

    All numbers are plain Python's, for JSON.
    """
    pairs = _pairs(learners)
    return {
        "confidence": statistics.CONFIDENCE,
        "significance": statistics.SIGNIFICANCE,
        "learners": [_learner(learner) for learner in learners],
        "pairs": pairs,
        "verdicts": _verdicts(learners, pairs),
    }


def _learner(learner: Learner) -> dict[str, Any]:
    about = {f.name: getattr(learner, f.name) for f in dataclasses.fields(learner) if f.name not in ("scores", "seeds")}
    measured = {name: statistics.summary(values) for name, values in {**learner.scores, "gap": learner.gap}.items()}
    return about | {"seeds": list(learner.seeds)} | measured


def _pairs(learners: Sequence[Learner]) -> list[dict[str, Any]]:
    """Two models of one size each, over their common seeds; p-values are corrected over all of them."""
    found = [
        _pair(*_ordered(one, other))
        for one, other in itertools.combinations(learners, 2)
        if one.train_examples == other.train_examples and set(one.seeds) & set(other.seeds)
    ]
    corrected = statistics.holm({str(index): pair["gap"]["p"] for index, pair in enumerate(found)})
    for index, pair in enumerate(found):
        pair["gap"]["p_holm"] = corrected[str(index)]
        pair["verdict"] = _verdict(pair["gap"]["mean"], corrected[str(index)])
    return found


def _ordered(one: Learner, other: Learner) -> tuple[Learner, Learner]:
    """The model with fewer parameters first."""
    return (other, one) if other.parameters < one.parameters else (one, other)


def _pair(fewer: Learner, more: Learner) -> dict[str, Any]:
    seeds = sorted(set(fewer.seeds) & set(more.seeds))
    gaps, tests = (
        statistics.paired_difference(*(values(one)[[one.seeds.index(s) for s in seeds]] for one in (fewer, more)))
        for values in (lambda one: one.gap, lambda one: one.scores["test_accuracy"])
    )
    return {
        "fewer": fewer.name,
        "more": more.name,
        "train_examples": fewer.train_examples,
        "seeds": seeds,
        "gap": dataclasses.asdict(gaps.estimate) | {"p": gaps.p},
        "test_accuracy": dataclasses.asdict(tests.estimate) | {"p": tests.p},
    }


def _verdict(difference: float, p: float | None) -> str:
    """What may be said of the gap of the model with fewer parameters. p: corrected."""
    if p is None or p >= statistics.SIGNIFICANCE or difference == 0:
        return "no difference shown"
    return "smaller" if difference < 0 else "larger"


def _verdicts(learners: Sequence[Learner], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every two models the sizes by verdict, and what they say of "fewer parameters overfit less"."""
    parameters = {learner.name: learner.parameters for learner in learners}
    verdicts = []
    for names in dict.fromkeys((pair["fewer"], pair["more"]) for pair in pairs):
        of_both = [pair for pair in pairs if (pair["fewer"], pair["more"]) == names]
        sizes = {
            word: [pair["train_examples"] for pair in of_both if pair["verdict"] == word]
            for word in ("smaller", "larger", "no difference shown")
        }
        fewer, more = names
        verdicts.append(
            {
                "fewer": fewer,
                "more": more,
                "parameters": [parameters[fewer], parameters[more]],
                "sizes": sizes,
                "fewer_parameters_overfit_less": _statement(sizes, parameters[fewer] < parameters[more]),
            }
        )
    return verdicts


def _statement(sizes: Mapping[str, Sequence[int]], differ: bool) -> str:
    """Whether the sizes bear out that fewer parameters overfit less."""
    if not differ:
        return "not asked: equally many parameters"
    if sizes["smaller"] and sizes["larger"]:
        return "depends on the number of images"
    if sizes["smaller"]:
        return "holds" if not sizes["no difference shown"] else "holds where a difference is shown"
    return "does not hold" if sizes["larger"] else "not shown"
