"""The numbers of an evaluation: scores of every seed, means, ensembles, test-time augmentation, corrupted images."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from cnn_jax.data.dataset import Spec
from cnn_jax.report import statistics
from cnn_jax.report.statistics import POSITIVE, SHARE, estimate
from cnn_jax.runs.result import Result
from cnn_jax.studies.evaluation import calibration, classes, corruptions, ensembles
from cnn_jax.studies.evaluation.variants import Variants
from cnn_jax.training import metrics
from cnn_jax.training.metrics import Measures, Score

FORMAT = 1
# Log-probabilities of single images and of the means over their variants, float [seeds, N, classes]; labels, int [N].
Predicted = tuple[np.ndarray, np.ndarray, np.ndarray]
LIMITS = {"loss": POSITIVE, "accuracy": SHARE, "calibration_error": SHARE}


def evaluation_record(
    dataset: str, images: str, examples: int, machine: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of `evaluation.json`.

    images: which of the dataset's images are scored, in words; examples: their number. machine: as in `machine.json`.
    runs: made by `run_record`.
    """
    scored = {"images": images, "test_examples": examples}
    about = {"format": FORMAT, "dataset": dataset, **scored, "bins": calibration.BINS}
    return {**about, "machine": dict(machine), "runs": list(runs)}


def run_record(
    name: str,
    path: str,
    measures: Measures,
    results: Mapping[int, Result],
    logits: Iterable[Any],
    targets: Any,
    spec: Spec,
    *,
    same_scores: bool,
    most_images: int = classes.MOST_IMAGES,
) -> dict[str, Any]:
    """The scores of a run's seeds, their means, those of each class, ensembles, and the bins of reliability diagrams.

    Where a model has several outputs, all of these are of its main output, but each seed has loss and accuracy of every
    output, and so have the classes. results: what each seed recorded, by seed. logits: of each seed, float
    [N, classes], or a dict of them by output. targets: int [N], or a dict of them. spec: of the scored dataset.
    same_scores: whether the run has recorded these scores too. most_images: how many misclassified images to name.
    """
    logits, labels = list(logits), measures.main(targets)
    logs = metrics.log_softmax(np.stack([measures.main(of_seed) for of_seed in logits]))
    scores = [dataclasses.asdict(calibration.quality(of_seed, labels)) for of_seed in logs]
    measured = [measures.score(of_seed, targets) for of_seed in logits]
    first = next(iter(results.values()))
    record: dict[str, Any] = {
        "name": name,
        "path": path,
        "trained_on": first.dataset,
        "parameters": first.parameters,
        "seeds": [
            {"seed": seed, **score, **_outputs(of_all)}
            for seed, score, of_all in zip(results, scores, measured, strict=True)
        ],
        "mean": _means(scores),
        "reliability": _reliability(logs, labels),
        "classification": _by_output(name, measures, logits, targets, spec),
        "misclassified": classes.misclassified(logs, labels, most_images),
        **_own_metrics({metric: [score.metrics[metric] for score in measured] for metric in measures.metrics}),
    }
    if measures.main_output:
        record["main_output"] = measures.main_output
    if same_scores:
        losses, accuracies = zip(*(result.main for result in results.values()), strict=True)
        record["recorded"] = {"loss": fmean(losses), "accuracy": fmean(accuracies)}
    if len(logs) > 1:
        record["ensembles"] = _plain(ensembles.by_size(logs, labels))
    return record


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The estimate of each measure over the seeds."""
    return {
        measure: dataclasses.asdict(estimate([one[measure] for one in scores], limits))
        for measure, limits in LIMITS.items()
    }


def _reliability(logs: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The bins of reliability diagrams: of all single models together, and of the ensemble of several.

    logs: log-probabilities, float [seeds, N, classes]. labels: int [N].
    """
    pooled = calibration.reliability(np.exp(logs).reshape(-1, logs.shape[-1]), np.tile(labels, len(logs)))
    found = {"single models": _plain(pooled)}
    if len(logs) > 1:
        of_all = calibration.reliability(np.exp(ensembles.averaged(logs)), labels)
        found[f"ensemble of {len(logs)}"] = _plain(of_all)
    return found


def _by_output(run: str, measures: Measures, logits: Sequence[Any], targets: Any, spec: Spec) -> list[dict[str, Any]]:
    """The scores of the classes of each output. Those of the main output have the names of the dataset's classes."""
    outputs = [None] if measures.main_output is None else list(targets)
    found = []
    for output in outputs:
        pick = Measures(main_output=output).main
        of_seeds, labels = np.stack([pick(of_seed) for of_seed in logits]), np.asarray(pick(targets))
        is_main = output == measures.main_output
        names = spec.classes if is_main else [str(index) for index in range(of_seeds.shape[-1])]
        scored = f"{run} on {spec.name}{f', {output}' if output else ''}"
        found.append({"output": output, "scored": scored, **classes.classes_record(of_seeds, labels, names)})
    return found


def _own_metrics(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The experiment's own metrics, with their means over the seeds; nothing where it has none.

    values: of each seed, by the metric's name. A metric that is no number on these images is left out.
    """
    finite = {name: list(of_seeds) for name, of_seeds in values.items() if np.isfinite(of_seeds).all()}
    means = {name: {"values": of_seeds, **dataclasses.asdict(estimate(of_seeds))} for name, of_seeds in finite.items()}
    return {"metrics": means} if means else {}


def _outputs(score: Score) -> dict[str, Any]:
    """Cross-entropy and accuracy of each output under `outputs`; nothing where there is only one."""
    by_output = {name: {"loss": one.cross_entropy, "accuracy": one.accuracy} for name, one in score.outputs.items()}
    return {"outputs": by_output} if by_output else {}


def augmentation_record(
    variants: Variants, runs: Sequence[Mapping[str, Any]], predicted: Mapping[str, Predicted]
) -> dict[str, Any]:
    """The part of the record on test-time augmentation: each run's scores with it, and what it changes.

    The verdict is that of a paired t-test of the seeds' accuracies or, for one seed, of McNemar's test, corrected for
    the number of runs. runs: made by `run_record`. predicted: by the name of each run.
    """
    found = [_augmented(run, *predicted[run["name"]]) for run in runs]
    deciding = [one["mcnemar"]["p"] if one["mcnemar"] else one["difference"]["accuracy"]["p"] for one in found]
    for one, p in zip(found, statistics.holm(deciding), strict=True):
        change = one["difference"]["accuracy"]["mean"]
        one |= {"p_holm": p, "verdict": statistics.verdict(change, p, below="worse", above="better")}
    about = {"pixels": variants.pixels, "mirrored": variants.is_mirrored, "variants": len(variants)}
    return {**about, "runs": found}


def _augmented(run: Mapping[str, Any], plain: np.ndarray, averaged: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """A run with test-time augmentation. difference: with it minus without it, over the seeds."""
    scores = [dataclasses.asdict(calibration.quality(of_seed, labels)) for of_seed in averaged]
    hits = [logs.argmax(axis=-1) == labels for logs in (plain, averaged)]
    is_single = len(scores) == 1
    record: dict[str, Any] = {
        "name": run["name"],
        "seeds": [{"seed": of_seed["seed"], **score} for of_seed, score in zip(run["seeds"], scores, strict=True)],
        "mean": _means(scores),
        "difference": {measure: _difference(measure, scores, run["seeds"]) for measure in LIMITS},
        "mcnemar": dataclasses.asdict(statistics.mcnemar(hits[0][0], hits[1][0])) if is_single else None,
    }
    if not is_single:
        record["ensemble"] = dataclasses.asdict(calibration.quality(ensembles.averaged(averaged), labels))
    return record


def _difference(
    measure: str, first: Sequence[Mapping[str, float]], second: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    found = statistics.paired_difference(*([of_seed[measure] for of_seed in scores] for scores in (first, second)))
    return dataclasses.asdict(found.estimate) | {"p": found.p}


def corruption_record(
    accuracies: Mapping[str, Mapping[str, np.ndarray]], seeds: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """The part of the record on corrupted images. accuracies: from `corruptions.accuracies`. seeds: of each run."""
    kinds = {name: corruptions.CORRUPTIONS[name] for name in next(iter(accuracies.values()))}
    return {
        "seed": corruptions.SEED,
        "kinds": {
            name: {"meaning": kind.meaning, "unit": kind.unit, "amounts": list(kind.amounts)}
            for name, kind in kinds.items()
        },
        "runs": [
            {
                "name": run,
                "seeds": list(seeds[run]),
                "accuracy": {name: table.tolist() for name, table in tables.items()},
                "mean": {name: _plain(estimate(row, SHARE) for row in table) for name, table in tables.items()},
            }
            for run, tables in accuracies.items()
        ],
    }


def _plain(records: Iterable[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]
