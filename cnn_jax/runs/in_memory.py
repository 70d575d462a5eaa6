"""Training in a notebook or script, without files; and finished runs from disk as the same kind of object."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cnn_jax import compilation, numerics
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, load_experiment
from cnn_jax.files import local_path
from cnn_jax.report.console import Console
from cnn_jax.runs import selection
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, load_variables
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.selection import kept_row
from cnn_jax.runs.session import open_session
from cnn_jax.training.compiled import INFERENCE_BATCH, compile_all
from cnn_jax.training.loop import Progress, Row

OnEpoch = Callable[[Row], Any]


@dataclass(frozen=True)
class TrainedRun:
    """A trained model. variables: as `module.apply` takes them. history: a row for each epoch.

    test_loss, test_accuracy: over all test images, which are scored once. test_metrics: the cross-entropy and the
    experiment's own metrics. best_epoch: with `keep="best"`, the epoch whose variables these are.
    """

    experiment: Experiment
    variables: dict[str, Any]
    history: list[Row]
    test_loss: float
    test_accuracy: float
    test_metrics: dict[str, float]
    best_epoch: int | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        params: dict[str, Any] = self.variables["params"]
        return params

    @functools.cached_property
    def _apply(self) -> Callable[[Any, Any], Any]:
        learner = build(self.experiment)
        return compilation.jit(lambda variables, images: learner.measures.main(learner.apply(variables, images)))

    def predict(self, images: Any) -> np.ndarray:
        """The probability of each class, of the main output if there are several: float32 [N, classes].

        images: uint8 [N, H, W, C] of the dataset's shape, or [N, H, W]. Raises InputError on others.
        """
        return np.asarray(jax.nn.softmax(self.logits(images)), np.float32)

    def logits(self, images: Any) -> np.ndarray:
        """The logits of each class: float32 [N, classes]. images: as in `predict`."""
        images, shape = np.asarray(images), self.experiment.spec.image_shape
        wanted = ", ".join(map(str, shape))
        if images.dtype != np.uint8 or images.shape[1:] not in (shape, shape[:2]) or (shape[2] > 1 and images.ndim < 4):
            raise InputError(
                f"predict: images {images.dtype} {images.shape}, expected uint8 of the shape [N, {wanted}]."
            )
        images = images.reshape(-1, *shape)
        parts = [
            self._logits(images[first : first + INFERENCE_BATCH]) for first in range(0, len(images), INFERENCE_BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.experiment.spec.classes)), np.float32)

    def _logits(self, images: np.ndarray) -> np.ndarray:
        """The logits of at most INFERENCE_BATCH images. They are filled up to a power of two: few shapes compile."""
        rows = min(INFERENCE_BATCH, 1 << (len(images) - 1).bit_length())
        filled = np.concatenate([images, np.zeros((rows - len(images), *images.shape[1:]), np.uint8)])
        return np.asarray(self._apply(self.variables, filled))[: len(images)]


def train(
    experiment: Experiment,
    on_epoch: OnEpoch | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> TrainedRun:
    """Trains an experiment with the seed of its Config, scores the test images once, and writes no file.

    on_epoch: called with each row, as in `metrics.jsonl`: loss, accuracy, metrics, learning rate, norms of gradients
    and parameters, seconds; where it returns "stop", training ends. data_dir: of prepared datasets. progress: show a
    bar; None means on a terminal. Raises InputError and DivergedError.
    """
    if not isinstance(experiment, Experiment):
        raise InputError(
            f"train: {type(experiment).__name__} is no Experiment. Make one with Experiment(Config(...)), or take one "
            'from a file with load_experiment("mine.py").'
        )
    console = Console(progress=progress, rows=False)
    options = RunOptions(data_dir=local_path(data_dir) if data_dir else None)
    compilation.require_device()
    with numerics.fixed():
        return _trained(experiment, options, console, on_epoch)


def _trained(experiment: Experiment, options: RunOptions, console: Console, on_epoch: OnEpoch | None) -> TrainedRun:
    """Trains and scores, as `train` says."""
    config, session = experiment.config, open_session(experiment, options, console)
    learner, splits = session.learner, session.splits
    learner.require_initial()
    functions = compile_all(learner, splits.train, splits.validation, splits.dataset.test)
    training = functions.training
    with console.bar(config.epochs, training.epoch_steps) as show:

        def is_enough(latest: Progress) -> bool:
            assert latest.train is not None, "a chunk has at least one step"
            show(latest.step, latest.train, latest.images_per_second or 0.0)
            return bool(latest.row and on_epoch and on_epoch(latest.row) == "stop")

        trained = selection.train(config, training, functions.validation, is_enough)
    variables = jax.device_get(trained.kept.state.variables)
    test = functions.test.score(variables)
    metrics = {"cross_entropy": test.cross_entropy, **test.metrics}
    best_epoch = trained.kept.epoch if kept_row(config, trained.rows) else None
    return TrainedRun(session.experiment, variables, trained.rows, test.loss, test.accuracy, metrics, best_epoch)


def load_run(path: str | os.PathLike[str], experiment: Experiment | str | os.PathLike[str] | None = None) -> TrainedRun:
    """A finished run from its folder. experiment: where its parts are, if they are a user's; a file or an Experiment.

    Raises InputError if the run is not finished, MachineError if its checkpoint is damaged.
    """
    run = RunDirectory(local_path(path))
    if experiment is not None and not isinstance(experiment, Experiment):
        experiment = load_experiment(local_path(experiment))
    found, result = experiment_of(run, experiment, Console()), run.finished_result()
    with numerics.fixed():
        variables = jax.device_get(load_variables(run, found))
    assert result.test_loss is not None and result.test_accuracy is not None, "a finished run has its test numbers"
    metrics = dict(result.test_metrics or {})
    return TrainedRun(found, variables, run.rows(), result.test_loss, result.test_accuracy, metrics, result.best_epoch)
