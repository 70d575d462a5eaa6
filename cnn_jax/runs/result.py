"""The result of a run: the content of `result.json`, written last."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.display import Displayed
from cnn_jax.errors import InputError
from cnn_jax.files import read_json
from cnn_jax.report.format import loss, percent

STATUSES = ("done", "stopped", "interrupted", "diverged")
BEST = ("epoch", "step", "validation_loss", "validation_accuracy")  # what a result has of the best epoch's row
LARGEST_FILE = 1 << 20  # bytes; a result is under one kilobyte


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(Displayed):
    """The end of a run. Losses are means per image; times are in seconds.

    status: `done`, `stopped` (by `--max_time`), `interrupted` (by a signal) or `diverged`. The test numbers are None
    unless the status is `done` or `stopped`. The training numbers are those of the last epoch so far, and None before
    the first step. best_epoch, best_step, best_validation_loss, best_validation_accuracy: with `--keep=best`, the best
    epoch so far, whose parameters are those that are scored. test_metrics: by name, the cross-entropy, also where the
    loss is another, and the experiment's own metrics; one that is no number is left out. outputs: `test_loss`,
    `test_accuracy` and `test_cross_entropy` of each output if there are several; main_output: the one for the dataset's
    classes. images_per_second counts training alone, without compilation and evaluation. host_seconds: the part of
    train_seconds during which the device waited for the host; saving_seconds: the part of host_seconds that went into
    checkpoints.
    """

    status: str
    experiment: str
    dataset: str
    model: str
    parameters: int
    seed: int
    epochs: int  # finished
    steps: int
    train_loss: float | None
    train_accuracy: float | None
    best_epoch: int | None = None
    best_step: int | None = None
    best_validation_loss: float | None = None
    best_validation_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_examples: int | None = None
    test_metrics: dict | None = None
    outputs: dict | None = None
    main_output: str | None = None
    compile_seconds: float
    train_seconds: float
    host_seconds: float
    saving_seconds: float
    evaluate_seconds: float | None = None
    images_per_second: float | None
    device: str

    def _facts(self) -> dict[str, str]:
        scores = {}
        if self.test_loss is not None and self.test_accuracy is not None:
            scores = {"test loss": loss(self.test_loss), "test accuracy": percent(self.test_accuracy)}
        return {
            "status": self.status,
            "model": f"{self.model} on {self.dataset}, seed {self.seed}",
            "parameters": f"{self.parameters:,}",
            "epochs": str(self.epochs),
            **scores,
            "training": f"{self.train_seconds:.1f} s",
        }

    @property
    def scored_step(self) -> int:
        """The step whose parameters were scored on the test images."""
        return self.steps if self.best_step is None else self.best_step

    @property
    def main(self) -> tuple[float, float]:
        """Test cross-entropy and accuracy, of the main output if there are several. What runs are compared by."""
        if self.main_output:
            of_output = (self.outputs or {})[self.main_output]
            return of_output.get("test_cross_entropy", of_output["test_loss"]), of_output["test_accuracy"]
        assert self.test_metrics is not None and self.test_accuracy is not None, "a finished run has its test numbers"
        return self.test_metrics["cross_entropy"], self.test_accuracy

    def to_json(self) -> str:
        """The result as JSON text, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read_result(path: Path) -> Result:
    """Reads a `result.json`. Raises InputError if it is damaged or its fields are not a result's."""
    try:
        return result_from_mapping(read_json(path, LARGEST_FILE))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not the result of a run ({error}). Move it away: the command that trained the run makes it again "
            "from the checkpoint."
        ) from None


def result_from_mapping(values: dict) -> Result:
    """A result from decoded JSON. Raises ValueError or TypeError if it is none."""
    result = Result(**_of_this_version(values))
    for field in dataclasses.fields(Result):
        _check(field, getattr(result, field.name))
    if result.status not in STATUSES:
        raise ValueError("status")
    _check_outputs(result.outputs)
    _check_metrics(result.test_metrics)
    if result.main_output is not None and result.main_output not in (result.outputs or {}):
        raise ValueError("main_output")
    if result.status in ("done", "stopped") and "cross_entropy" not in (result.test_metrics or {}):
        raise ValueError("test_metrics")
    best = [f"best_{name}" for name in BEST]
    if len({getattr(result, name) is None for name in best}) > 1:
        raise ValueError("best_epoch")
    optional = ("outputs", "main_output", "test_metrics", *best)
    if result.status in ("done", "stopped") and None in (v for k, v in vars(result).items() if k not in optional):
        raise ValueError(f"the status is {result.status}, but numbers are missing")
    return result


def _of_this_version(values: Any) -> dict:
    """The fields of a result, also of one from the first version: its loss was always the cross-entropy."""
    if not isinstance(values, dict):
        raise TypeError("not a mapping")
    if "test_metrics" in values or not isinstance(values.get("test_loss"), float):
        return values
    added: dict[str, Any] = {"test_metrics": {"cross_entropy": values["test_loss"]}}
    if isinstance(values.get("outputs"), dict):
        added["main_output"] = next(iter(values["outputs"]), "")
    return {**values, **added}


def _check_metrics(metrics: dict | None) -> None:
    """Raises ValueError if a metric is no finite number."""
    for name, value in (metrics or {}).items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"test_metrics: {name[:40]!r}")


def _check(field: dataclasses.Field, value: object) -> None:
    """Raises ValueError if the value is not of the field's type."""
    kinds = typing.get_args(field.type) or (field.type,)
    is_whole_number = float in kinds and type(value) is int  # JSON has one type for 1.0 and 1
    if type(value) not in kinds and not is_whole_number:
        raise ValueError(f"{field.name}: {str(value)[:40]!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{field.name}: not a finite number")


def _check_outputs(outputs: dict | None) -> None:
    """Raises ValueError if an output has no valid score."""
    for name, score in (outputs or {}).items():
        if not isinstance(score, dict) or score.keys() - {"test_cross_entropy"} != {"test_loss", "test_accuracy"}:
            raise ValueError(f"outputs: {name[:40]!r}")
        if not all(isinstance(value, float) and math.isfinite(value) for value in score.values()):
            raise ValueError(f"outputs: {name[:40]!r}: not finite numbers")
