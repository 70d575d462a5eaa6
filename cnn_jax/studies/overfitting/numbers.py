"""The numbers of an overfitting study: the gap between training and test accuracy, by the number of training images."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.report import statistics
from cnn_jax.report.statistics import NO_LIMITS, POSITIVE, SHARE

MEASURES = {"train_accuracy": SHARE, "test_accuracy": SHARE, "train_loss": POSITIVE, "test_loss": POSITIVE}  # limits
VERDICTS = ("smaller", "larger", statistics.NO_DIFFERENCE)


@dataclass(frozen=True)
class DataSizeResult:
    """A model trained on the first N training images with several seeds.

    scores: float [seeds] for each of `MEASURES`, of the parameters that a run has scored. epochs, steps: of each seed.
    """

    name: str
    parameters: int
    train_examples: int
    epochs: int
    steps: int
    seeds: tuple[int, ...]
    scores: Mapping[str, np.ndarray]

    @property
    def measures(self) -> dict[str, np.ndarray]:
        """The scores, and the gap: training accuracy minus test accuracy. float [seeds] each."""
        return {**self.scores, "gap": self.scores["train_accuracy"] - self.scores["test_accuracy"]}


def epochs_for(train_examples: int, batch_size: int, epochs: int, least_steps: int) -> int:
    """The given number of epochs, or as many more as `least_steps` steps take when there are few images."""
    epoch_steps = -(-train_examples // min(batch_size, train_examples))
    return max(epochs, -(-least_steps // epoch_steps))


def compare(results: Sequence[DataSizeResult]) -> dict[str, Any]:
    """Scores and gaps with intervals, and the gaps of every two models compared at each number of images.

    All numbers are plain numbers for JSON.
    """
    pairs = _pairs(results)
    return {
        "confidence": statistics.CONFIDENCE,
        "significance": statistics.SIGNIFICANCE,
        "learners": [_result(result) for result in results],
        "pairs": pairs,
        "verdicts": _verdicts(results, pairs),
    }


def _result(result: DataSizeResult) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(result) if field.name not in ("scores", "seeds")]
    measured = {
        name: statistics.summary(values, MEASURES.get(name, NO_LIMITS)) for name, values in result.measures.items()
    }
    return {name: getattr(result, name) for name in names} | {"seeds": list(result.seeds)} | measured


def _pairs(results: Sequence[DataSizeResult]) -> list[dict[str, Any]]:
    """Every two models with the same number of images and common seeds. p-values are corrected over all pairs."""
    pairs = [
        _pair(*sorted((one, other), key=lambda result: result.parameters))
        for one, other in itertools.combinations(results, 2)
        if one.train_examples == other.train_examples and set(one.seeds) & set(other.seeds)
    ]
    corrected = statistics.holm([pair["gap"]["p"] for pair in pairs])
    for pair, p in zip(pairs, corrected, strict=True):
        pair["gap"]["p_holm"] = p
        pair["verdict"] = statistics.verdict(pair["gap"]["mean"], p, below="smaller", above="larger")
    return pairs


def _pair(fewer: DataSizeResult, more: DataSizeResult) -> dict[str, Any]:
    """fewer, more: the models with fewer and with more parameters. Differences are fewer minus more."""
    seeds = sorted(set(fewer.seeds) & set(more.seeds))
    return {
        "fewer": fewer.name,
        "more": more.name,
        "train_examples": fewer.train_examples,
        "seeds": seeds,
        **{measure: _difference(fewer, more, measure, seeds) for measure in ("gap", "test_accuracy")},
    }


def _difference(fewer: DataSizeResult, more: DataSizeResult, measure: str, seeds: Sequence[int]) -> dict[str, Any]:
    values = [[result.measures[measure][result.seeds.index(seed)] for seed in seeds] for result in (fewer, more)]
    found = statistics.paired_difference(*values)
    return dataclasses.asdict(found.estimate) | {"p": found.p}


def _verdicts(results: Sequence[DataSizeResult], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every two models: the numbers of images by verdict, and whether fewer parameters overfit less."""
    parameters = {result.name: result.parameters for result in results}
    verdicts = []
    for names in dict.fromkeys((pair["fewer"], pair["more"]) for pair in pairs):
        of_both = [pair for pair in pairs if (pair["fewer"], pair["more"]) == names]
        sizes = {
            verdict: [pair["train_examples"] for pair in of_both if pair["verdict"] == verdict] for verdict in VERDICTS
        }
        fewer, more = names
        verdicts.append(
            {
                "fewer": fewer,
                "more": more,
                "parameters": [parameters[fewer], parameters[more]],
                "sizes": sizes,
                "fewer_parameters_overfit_less": _claim(sizes, parameters[fewer] < parameters[more]),
            }
        )
    return verdicts


def _claim(sizes: Mapping[str, Sequence[int]], parameters_differ: bool) -> str:
    """Whether the claim that fewer parameters overfit less holds."""
    if not parameters_differ:
        return "not asked: equally many parameters"
    if sizes["smaller"] and sizes["larger"]:
        return "depends on the number of images"
    if sizes["smaller"]:
        return "holds" if not sizes[statistics.NO_DIFFERENCE] else "holds where a difference is shown"
    return "does not hold" if sizes["larger"] else "not shown"
