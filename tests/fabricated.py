"""Run directories that nobody trained, written as a run writes them, so that the numbers in them are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.experiment import Experiment
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.result import Result

MACHINE = {
    "command_line": ["--workdir=/home/somebody/run"],
    "device": "1 x abacus",
    "cores": 2,
    "system": "Wood",
    "python": "3.11",
    "versions": {"jax": "0.10"},
    "git_commit": "0" * 40,
    "data_fingerprint": "f" * 64,
}
LABELS = np.resize(np.arange(10, dtype=np.int32), 1000)


def run(
    folder: Path,
    experiment: Experiment,
    wrong: Sequence[int],
    *,
    loss: float = 0.5,
    train_seconds: float = 10.0,
    status: str = "done",
    labels: np.ndarray = LABELS,
    metrics: Mapping[str, float] | None = None,
    machine: dict[str, Any] = MACHINE,
) -> Path:
    """A finished run that takes the `wrong` test images for the class after their own.

    metrics: the experiment's own, beside loss and accuracy.
    """
    config = experiment.config
    predicted = labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    directory = RunDirectory(folder)
    directory.start(experiment, machine)
    for epoch in (1, 2):
        directory.append_row({"epoch": epoch, "train_loss": loss / epoch, "train_accuracy": 0.8 + epoch / 10})
    directory.write_predictions(np.eye(10, dtype=np.float32)[predicted], labels)
    directory.write_result(
        Result(
            status=status,
            experiment=config.experiment,
            dataset=config.dataset.name,
            model=config.model.name,
            parameters=7850,
            seed=config.seed,
            epochs=2,
            steps=20,
            train_loss=loss,
            train_accuracy=0.9,
            test_loss=loss,
            test_accuracy=1 - len(wrong) / len(labels),
            test_examples=len(labels),
            test_metrics={"cross_entropy": loss, **(metrics or {})},
            compile_seconds=1.0,
            train_seconds=train_seconds,
            host_seconds=0.1,
            saving_seconds=0.1,
            evaluate_seconds=0.1,
            images_per_second=1000.0,
            device=machine["device"],
        )
    )
    return folder


def seeds(
    folder: Path,
    experiment: Experiment,
    wrong: Sequence[Sequence[int]],
    *,
    metrics: Mapping[str, Sequence[float]] | None = None,
    **changes: Any,
) -> Path:
    """A many-seed run: seed i takes the images `wrong[i]` for others, and has the metrics `metrics[name][i]`."""
    for seed, indices in enumerate(wrong):
        own = {name: values[seed] for name, values in (metrics or {}).items()}
        run(folder / f"seed-{seed}", experiment.replace(seed=seed), indices, metrics=own, **changes)
    return folder
