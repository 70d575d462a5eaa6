"""The numbers of a comparison: models, every pair of them, and the images that hardly any run gets right."""

import dataclasses
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.config import Config, as_text, config_differences
from cnn_jax.report import statistics
from cnn_jax.report.statistics import POSITIVE, SHARE
from cnn_jax.report.tables import MACHINE_FACTS

NUMBERS = {  # with their limits
    "test_loss": POSITIVE,
    "test_accuracy": SHARE,
    "train_seconds": POSITIVE,
    "images_per_second": POSITIVE,
}
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
FORMAT = 1
DETECTABLE = 0.0005  # a difference of 0.05 percentage points; `seeds_needed` says how many seeds would show it
DISAGREEMENTS = 8  # images shown for each direction of a pair
HARDEST = 24  # images shown
NEARLY_ALL = 0.9  # of a model's seeds


@dataclass(frozen=True)
class Variant:
    """A model's finished runs, which differ in their seed only.

    classes: names of the dataset's. numbers: float [seeds] for each of `NUMBERS`; the loss is the cross-entropy of the
    main output. metrics: float [seeds] for each metric of the experiment's own. predicted: the predicted classes, int
    [seeds, test images].
    rows: the rows of `metrics.jsonl` of each seed. machines: `machine.json` of each seed.
    """

    name: str
    config: Config
    classes: Sequence[str]
    parameters: int
    multiply_adds: int
    seeds: tuple[int, ...]
    numbers: Mapping[str, np.ndarray]
    metrics: Mapping[str, np.ndarray]
    predicted: np.ndarray
    rows: Sequence[Sequence[Mapping[str, float]]]
    machines: Sequence[Mapping[str, Any]]

    def of(self, seeds: Sequence[int]) -> "Variant":
        """The same model with only these of its seeds, in this order."""
        indices = [self.seeds.index(seed) for seed in seeds]
        return dataclasses.replace(
            self,
            seeds=tuple(seeds),
            numbers={name: values[indices] for name, values in self.numbers.items()},
            metrics={name: values[indices] for name, values in self.metrics.items()},
            predicted=self.predicted[indices],
            rows=[self.rows[index] for index in indices],
            machines=[self.machines[index] for index in indices],
        )


def variant_names(configs: Sequence[Config]) -> list[str]:
    """A name for each config: its experiment, then the fields in which configs of this experiment differ.

    A value that more than half of them have is left out. Configs that are equal get a number.
    """
    found = []
    for config in configs:
        namesakes = [other for other in configs if other.experiment == config.experiment]
        differences = [config_differences(config, other) for other in namesakes]
        fields = {field: mine for other in differences for field, (mine, _) in other.items() if field != "seed"}
        rare = [
            f"{field}={as_text(value)}"
            for field, value in fields.items()
            if sum(field in other for other in differences) * 2 >= len(namesakes)
        ]
        found.append(" ".join([config.experiment, *rare]))
    counts = {name: itertools.count(1) for name in found}
    return [f"{name} ({next(counts[name])})" if found.count(name) > 1 else name for name in found]


def comparison_record(variants: Sequence[Variant], labels: np.ndarray) -> dict[str, Any]:
    """The content of `compare.json`. labels: int [test images]."""
    dataset = variants[0].config.dataset.name
    record = {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": dataset,
        "classes": list(variants[0].classes),
        **_machines([machine for variant in variants for machine in variant.machines]),
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
    plain: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))  # exactly what a reader of the file gets
    return plain


def _machines(machines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The different machines of the runs, and the facts in which they differ."""
    known = [_machine(machine) for machine in machines]
    different = [machine for index, machine in enumerate(known) if machine not in known[:index]]
    facts = [name for name in MACHINE_FACTS if any(machine[name] != known[0][name] for machine in different)]
    return {
        "machines": [machine | {"runs": known.count(machine)} for machine in different],
        "machines_differ_in": facts,
    }


def _machine(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a `machine.json`. The command line is left out, because it may name folders."""
    versions = content.get("versions")
    facts = {name: "none" if content.get(name) is None else str(content[name]) for name in MACHINE_FACTS}
    return facts | {"versions": {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}}


def _model(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "config": {k: v for k, v in variant.config.as_mapping().items() if k != "seed"},
        "parameters": variant.parameters,
        "multiply_adds": variant.multiply_adds,
        "seeds": list(variant.seeds),
        **{name: statistics.summary(variant.numbers[name], limits) for name, limits in NUMBERS.items()},
        "metrics": {name: statistics.summary(values) for name, values in variant.metrics.items()},
        "curves": _curves(variant.rows),
    }


def _curves(rows: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, list[dict[str, float]]]:
    """Mean, lowest and highest over the seeds, for the epochs and the measures that all seeds have."""
    epochs = min(map(len, rows))
    measures = [name for name in CURVES if epochs and all(name in row for seed in rows for row in seed[:epochs])]
    return {name: [_band([seed[epoch][name] for seed in rows]) for epoch in range(epochs)] for name in measures}


def _band(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "low": float(min(values)), "high": float(max(values))}


def _pairs(variants: Sequence[Variant], labels: np.ndarray) -> list[dict[str, Any]]:
    """Every pair with common seeds. p-values are corrected over all pairs; accuracy decides the verdict."""
    pairs = []
    for one, other in itertools.combinations(variants, 2):
        seeds = sorted(set(one.seeds) & set(other.seeds))
        if seeds:
            pairs.append(_pair(one.of(seeds), other.of(seeds), labels))
    for measure in ("test_accuracy", "test_loss"):
        corrected = statistics.holm([_deciding_p(pair, measure) for pair in pairs])
        for pair, p in zip(pairs, corrected, strict=True):
            pair[measure]["p_holm"] = p
    for pair in pairs:
        accuracy = pair["test_accuracy"]
        pair["verdict"] = statistics.verdict(accuracy["mean"], accuracy["p_holm"], below="worse", above="better")
    return pairs


def _deciding_p(pair: dict[str, Any], measure: str) -> float | None:
    """The p-value over the seeds; for single runs that over the test images."""
    if measure == "test_accuracy" and pair["mcnemar"]:
        return pair["mcnemar"]["p"]
    return pair[measure]["p"]


def _pair(one: Variant, other: Variant, labels: np.ndarray) -> dict[str, Any]:
    """Two models with the same seeds."""
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
    """The images that more seeds of `right` than of `wrong` get right, the largest difference first."""
    rates = [np.mean(variant.predicted == labels, axis=0) for variant in (right, wrong)]
    indices = np.argsort(rates[1] - rates[0], kind="stable")[:DISAGREEMENTS]
    return [
        _image(index, wrong.predicted, labels)
        | {"right_share": float(rates[0][index]), "other_right_share": float(rates[1][index])}
        for index in indices.tolist()
        if rates[0][index] > rates[1][index]
    ]


def _hardest(variants: Sequence[Variant], labels: np.ndarray) -> dict[str, Any]:
    """The images that nearly all seeds of every model get wrong: how many there are, and the worst of them."""
    wrong = np.stack([np.mean(variant.predicted != labels, axis=0) for variant in variants])
    # The mean of 9 ones and a 0 is 0.9 only up to rounding.
    hard = np.flatnonzero(wrong.min(axis=0) >= NEARLY_ALL - 1e-9)
    indices = hard[np.argsort(-wrong[:, hard].mean(axis=0), kind="stable")][:HARDEST]
    predicted = np.concatenate([variant.predicted for variant in variants])
    images = [
        _image(index, predicted, labels) | {"wrong_share": float(wrong[:, index].mean())} for index in indices.tolist()
    ]
    return {"count": len(hard), "images": images}


def _image(index: int, predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """A test image with its label and the wrong class that is predicted most often."""
    classes, counts = np.unique(predicted[:, index][predicted[:, index] != labels[index]], return_counts=True)
    return {"index": index, "label": int(labels[index]), "predicted": int(classes[np.argmax(counts)])}
