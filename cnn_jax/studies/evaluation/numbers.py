"""The numbers of an evaluation: scores of every seed, their means, ensembles of them, and corrupted images."""

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from cnn_jax.report.statistics import estimate
from cnn_jax.runs.result import Result
from cnn_jax.studies.evaluation import calibration, ensembles
from cnn_jax.studies.evaluation.corruptions import CORRUPTIONS
from cnn_jax.training.metrics import log_softmax

FORMAT = 1
CORRUPTION_SEED = 0


def evaluation_record(
    dataset: str, test_examples: int, machine: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of `evaluation.json`. machine: as in `machine.json`. runs: made by `run_record`."""
    about = {"format": FORMAT, "dataset": dataset, "test_examples": test_examples, "bins": calibration.BINS}
    return {**about, "machine": dict(machine), "runs": list(runs)}


def run_record(
    name: str, path: str, results: Mapping[int, Result], logits: np.ndarray, labels: np.ndarray, *, same_dataset: bool
) -> dict[str, Any]:
    """The scores of a run's seeds, their means, ensembles of them, and the bins of reliability diagrams.

    results: what each seed recorded, by seed. logits: float [seeds, N, classes]. labels: int [N]. same_dataset: whether
    the labels are those of the dataset that the run was trained on.
    """
    logs = log_softmax(logits)
    scores = [dataclasses.asdict(calibration.quality(seed, labels)) for seed in logs]
    pooled = calibration.reliability(np.exp(logs).reshape(-1, logs.shape[-1]), np.tile(labels, len(logs)))
    first = next(iter(results.values()))
    record: dict[str, Any] = {
        "name": name,
        "path": path,
        "trained_on": first.dataset,
        "parameters": first.parameters,
        "seeds": [{"seed": seed, **of_seed} for seed, of_seed in zip(results, scores, strict=True)],
        "mean": {measure: dataclasses.asdict(estimate([one[measure] for one in scores])) for measure in scores[0]},
        "reliability": {"single models": _plain(pooled)},
    }
    if same_dataset:
        recorded = [vars(result) for result in results.values()]
        record["recorded"] = {key: fmean(one[f"test_{key}"] for one in recorded) for key in ("loss", "accuracy")}
    if len(logs) > 1:
        record["ensembles"] = _plain(ensembles.by_size(logs, labels))
        of_all = calibration.reliability(np.exp(ensembles.averaged(logs)), labels)
        record["reliability"][f"ensemble of {len(logs)}"] = _plain(of_all)
    return record


def corruption_record(
    accuracies: Mapping[str, Mapping[str, np.ndarray]], seeds: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """The part of the record on corrupted images. accuracies: from `robustness.accuracies`. seeds: of each run."""
    names = next(iter(accuracies.values()))
    return {
        "seed": CORRUPTION_SEED,
        "kinds": {name: _kind(name) for name in names},
        "runs": [{"name": run, "seeds": list(seeds[run]), **_table(table)} for run, table in accuracies.items()],
    }


def _kind(name: str) -> dict[str, Any]:
    corruption = CORRUPTIONS[name]
    return {"meaning": corruption.meaning, "unit": corruption.unit, "amounts": list(corruption.amounts)}


def _table(accuracies: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "accuracy": {name: table.tolist() for name, table in accuracies.items()},
        "mean": {name: _plain([estimate(strength) for strength in table]) for name, table in accuracies.items()},
    }


def _plain(records: Sequence[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(record) for record in records]
