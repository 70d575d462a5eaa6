"""What a run came to: the content of `result.json`, written last."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run's end. Losses are mean natural-log cross-entropies per image; times are in seconds.

    status: `done`, `interrupted` or `diverged`. The numbers of the test set are None unless `done`; those of training
    are of the last epoch, as far as it came, and None before the first step. images_per_second counts training alone,
    without compilation and evaluation. host_seconds: the part of train_seconds that the device spent waiting.
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
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_examples: int | None = None
    compile_seconds: float
    train_seconds: float
    host_seconds: float
    evaluate_seconds: float | None = None
    images_per_second: float | None
    device: str

    def to_json(self) -> str:
        """The result as JSON text, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def from_file(path: Path) -> Result:
    """Reads a `result.json`. Raises InputError where it is damaged or its fields are not a result's."""
    try:
        return Result(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not the result of a run ({error}). Use --overwrite to run anew.") from None
