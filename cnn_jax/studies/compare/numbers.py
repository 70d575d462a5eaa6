"""Models compared by the runs of several seeds: every number of `compare.json` that does not come from a file."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.config import Config, as_text, differences
from cnn_jax.report import statistics

NUMBERS = ("test_loss", "test_accuracy", "train_seconds", "images_per_second")
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
DETECTABLE = 0.0005  # the difference in accuracy, 0.05 points, whose detection `seeds_needed` is about
DISAGREEMENTS = 8  # images in each direction, most telling first
HARDEST = 24
NEARLY_ALL = 0.9  # of a model's seeds


@dataclass(frozen=True)
class Variant:
    """A model's finished runs. The config is that of every seed, but for the seed.

    numbers: float [seeds] for each of `NUMBERS`. predicted: the predicted classes, int [seeds, test images].
    rows: each seed's rows of `metrics.jsonl`.
    """

    name: str
    config: Config
    parameters: int
    multiply_adds: int
    seeds: tuple[int, ...]
    numbers: Mapping[str, np.ndarray]
    predicted: np.ndarray
    rows: Sequence[Sequence[Mapping[str, float]]]

    def of(self, seeds: Sequence[int]) -> "Variant":
        """The same with these of its seeds alone, in this order."""
        places = [self.seeds.index(seed) for seed in seeds]
        return dataclasses.replace(
            self,
            seeds=tuple(seeds),
            numbers={name: values[places] for name, values in self.numbers.items()},
            predicted=self.predicted[places],
            rows=[self.rows[place] for place in places],
        )


def names(configs: Sequence[Config]) -> list[str]:
    """A name for each config: its experiment, the fields that tell it from its namesakes, and at last a number."""
    found = []
    for config in configs:
        namesakes = [other for other in configs if other.experiment == config.experiment]
        fields = {field: None for other in namesakes for field in differences(config, other) if field != "seed"}
        found.append(" ".join([config.experiment, *(f"{f}={as_text(getattr(config, f))}" for f in fields)]))
    counts = {name: itertools.count(1) for name in found}
    return [f"{name} ({next(counts[name])})" if found.count(name) > 1 else name for name in found]


def common_seeds(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """The seeds that both have, in ascending order."""
    return sorted(set(one) & set(other))


def compare(variants: Sequence[Variant], labels: np.ndarray) -> dict[str, Any]:
    """The models, every pair of them that has seeds in common, and the images that hardly any run gets right.

    labels: int [test images]. All numbers are plain Python's, for JSON.
    """
    return {
        "settings": {
            "test_examples": len(labels),
            "confidence": statistics.CONFIDENCE,
            "significance": statistics.SIGNIFICANCE,
            "power": statistics.POWER,
            "detectable_difference": DETECTABLE,
            "nearly_all": NEARLY_ALL,
        },
        "models": [_model(variant) for variant in variants],
        "pairs": _pairs(variants, labels),
        "hardest_images": _hardest(variants, labels),
    }


def _model(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "config": {k: v for k, v in dataclasses.asdict(variant.config).items() if k != "seed"},
        "parameters": variant.parameters,
        "multiply_adds": variant.multiply_adds,
        "seeds": list(variant.seeds),
        **{name: statistics.summary(variant.numbers[name]) for name in NUMBERS},
        "curves": _curves(variant.rows),
    }


def _curves(rows: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, list[dict[str, float]]]:
    """Mean, lowest and highest over the seeds at each epoch that all of them reached, of what all of them recorded."""
    epochs = min(map(len, rows))
    measures = [name for name in CURVES if epochs and all(name in row for seed in rows for row in seed[:epochs])]
    return {name: [_band([seed[epoch][name] for seed in rows]) for epoch in range(epochs)] for name in measures}


def _band(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "low": float(min(values)), "high": float(max(values))}


def _pairs(variants: Sequence[Variant], labels: np.ndarray) -> list[dict[str, Any]]:
    """Every pair, with p-values that are corrected over all pairs; the verdict is theirs on the accuracy."""
    pairs = []
    for one, other in itertools.combinations(variants, 2):
        seeds = common_seeds(one.seeds, other.seeds)
        if seeds:
            pairs.append(_pair(one.of(seeds), other.of(seeds), labels))
    for measure in ("test_accuracy", "test_loss"):
        corrected = statistics.holm({str(i): _deciding_p(pair, measure) for i, pair in enumerate(pairs)})
        for index, pair in enumerate(pairs):
            pair[measure]["p_holm"] = corrected[str(index)]
    for pair in pairs:
        pair["verdict"] = verdict(pair["test_accuracy"]["mean"], pair["test_accuracy"]["p_holm"])
    return pairs


def _deciding_p(pair: dict[str, Any], measure: str) -> float | None:
    """Of the seeds where there are several; where there is one, of the test images."""
    if measure == "test_accuracy" and pair["mcnemar"]:
        return pair["mcnemar"]["p"]
    return pair[measure]["p"]


def verdict(difference: float, p: float | None) -> str:
    """What may be said of the first of two models. difference: of accuracies, first minus second. p: corrected."""
    if p is None or p >= statistics.SIGNIFICANCE or difference == 0:
        return "no difference shown"
    return "better" if difference > 0 else "worse"


def _pair(one: Variant, other: Variant, labels: np.ndarray) -> dict[str, Any]:
    """Two models by the seeds that they have in common."""
    accuracy, loss = (_difference(one, other, name) for name in ("test_accuracy", "test_loss"))
    is_single = len(one.seeds) == 1
    hits = [variant.predicted == labels for variant in (one, other)]
    return {
        "first": one.name,
        "second": other.name,
        "seeds": list(one.seeds),
        "test_accuracy": accuracy | {"images_of_10000": 10_000 * accuracy["mean"]},
        "test_loss": loss,
        "seeds_needed": statistics.seeds_needed(DETECTABLE, accuracy["std"]),
        "mcnemar": dataclasses.asdict(statistics.mcnemar(hits[0][0], hits[1][0])) if is_single else None,
        "train_seconds_ratio": dataclasses.asdict(
            statistics.ratio(one.numbers["train_seconds"], other.numbers["train_seconds"])
        ),
        "only_first_right": _disagreements(one, other, labels),
        "only_second_right": _disagreements(other, one, labels),
    }


def _difference(one: Variant, other: Variant, name: str) -> dict[str, Any]:
    found = statistics.paired_difference(one.numbers[name], other.numbers[name])
    wilcoxon = dataclasses.asdict(found.wilcoxon) | {"is_powerless": found.wilcoxon.is_powerless}
    return dataclasses.asdict(found.estimate) | {"p": found.p, "wilcoxon": wilcoxon}


def _disagreements(right: Variant, wrong: Variant, labels: np.ndarray) -> list[dict[str, Any]]:
    """The images that more seeds of one model get right than of the other, those with the largest gap first."""
    rates = [np.mean(variant.predicted == labels, axis=0) for variant in (right, wrong)]
    order = np.argsort(rates[1] - rates[0], kind="stable")[:DISAGREEMENTS]
    return [
        _image(index, wrong.predicted, labels)
        | {"right_share": float(rates[0][index]), "other_right_share": float(rates[1][index])}
        for index in order.tolist()
        if rates[0][index] > rates[1][index]
    ]


def _hardest(variants: Sequence[Variant], labels: np.ndarray) -> dict[str, Any]:
    """The images that nearly all seeds of every model get wrong: how many, and the worst of them."""
    wrong = np.stack([np.mean(variant.predicted != labels, axis=0) for variant in variants])
    # Means of counts: 9 wrong of 10 are 0.9 only up to rounding.
    hard = np.flatnonzero(wrong.min(axis=0) >= NEARLY_ALL - 1e-9)
    order = hard[np.argsort(-wrong[:, hard].mean(axis=0), kind="stable")][:HARDEST]
    predicted = np.concatenate([variant.predicted for variant in variants])
    images = [
        _image(index, predicted, labels) | {"wrong_share": float(wrong[:, index].mean())} for index in order.tolist()
    ]
    return {"count": len(hard), "images": images}


def _image(index: int, predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """A test image with its label and the wrong class that is predicted most often."""
    classes, counts = np.unique(predicted[:, index][predicted[:, index] != labels[index]], return_counts=True)
    return {"index": index, "label": int(labels[index]), "predicted": int(classes[np.argmax(counts)])}
