"""Training in a notebook or script, without files; and finished runs from disk as the same kind of object."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import compilation, numerics
from cnn_jax.data import pictures
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.display import Displayed
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, load_experiment
from cnn_jax.files import local_path
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted, loss, percent
from cnn_jax.runs import selection
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, load_variables
from cnn_jax.runs.history import History
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.selection import kept_row
from cnn_jax.runs.session import open_session
from cnn_jax.settings import plain
from cnn_jax.training.compiled import INFERENCE_BATCH, CompiledFunctions, compile_all
from cnn_jax.training.loop import Clock, Progress, Row, progress_at
from cnn_jax.training.state import TrainState

OnEpoch = Callable[[Row], Any]


@dataclass(frozen=True)
class _Trainer:
    """What training goes on with: the compiled functions, and the state after the last step."""

    functions: CompiledFunctions
    state: TrainState


@dataclass(frozen=True, repr=False)
class TrainedRun(Displayed):
    """A trained model. variables: as `module.apply` takes them. history: a row for each epoch.

    test_loss, test_accuracy: over all test images, which are scored once after training. test_metrics: the
    cross-entropy and the experiment's own metrics. best_epoch: with `keep="best"`, the epoch whose variables these are.
    """

    experiment: Experiment
    variables: dict[str, Any]
    history: History
    test_loss: float
    test_accuracy: float
    test_metrics: dict[str, float]
    best_epoch: int | None = None
    _trainer: _Trainer | None = None

    def _facts(self) -> dict[str, str]:
        return {
            "experiment": repr(self.experiment),
            "parameters": f"{sum(leaf.size for leaf in jax.tree.leaves(self.params)):,}",
            "epochs": str(len(self.history)),
            "test loss": loss(self.test_loss),
            "test accuracy": percent(self.test_accuracy),
        }

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        params: dict[str, Any] = self.variables["params"]
        return params

    def fit(self, epochs: int = 1, on_epoch: OnEpoch | None = None, *, progress: bool | None = None) -> "TrainedRun":
        """The run after so many more epochs, with the bits of one training of them all. This run stays as it is.

        on_epoch, progress: as in `train`. Raises InputError where the run cannot go on; DivergedError.
        """
        experiment = self.experiment.vary(epochs=len(self.history) + _require_more(epochs))
        trainer = self._require_trainer()
        training = trainer.functions.training.replace(epochs=experiment.config.epochs)
        with numerics.fixed():
            state = jax.tree.map(jnp.copy, trainer.state)  # training donates it
            start = progress_at(training, state, training.zeros(), Clock())
            functions = dataclasses.replace(trainer.functions, training=training)
            return _trained(
                experiment, functions, Console(progress=progress, rows=False), on_epoch, self.history, start
            )

    def _require_trainer(self) -> _Trainer:
        """Raises InputError where training cannot go on from the end of this run."""
        experiment = self.experiment
        if self._trainer is None:
            raise InputError(
                "fit: this run comes from a folder. Train it on there, with a larger epochs and the same workdir."
            )
        if experiment.planned_parts:
            raise InputError(
                f"fit: this run was planned for {counted(experiment.config.epochs, 'epoch')}, and its "
                f"{experiment.planned_parts[0]} depends on their number. Train anew, with more epochs."
            )
        if experiment.config.chooses_epochs:
            raise InputError(
                "fit: this run chose among its epochs by held-out images. Train anew, with more epochs or patience."
            )
        return self._trainer

    def read_picture(self, path: str | os.PathLike[str]) -> np.ndarray:
        """A picture file of your own as an image that the model knows: uint8 [H, W, C].

        For a model of digits as MNIST has them, a picture of any size and light is brought into their form; of others
        the middle is scaled. `run.predict(image[None])` says what it shows. Raises InputError where it cannot be used.
        """
        spec, file = self.experiment.spec, local_path(path)
        try:
            with pictures.without_warnings():
                if not spec.mnist_form:
                    return pictures.as_image(file, spec.image_shape)
                return as_mnist(pictures.read(file, background=None))
        except pictures.UnusablePicture as error:
            raise InputError(f"{file}: {error}.") from None

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
    bar; None means on a terminal and in a notebook. Raises InputError and DivergedError.
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
        session = open_session(experiment, options, console)
        session.learner.require_initial()
        splits = session.splits
        functions = compile_all(session.learner, splits.train, splits.validation, splits.dataset.test)
        return _trained(session.experiment, functions, console, on_epoch)


def _trained(
    experiment: Experiment,
    functions: CompiledFunctions,
    console: Console,
    on_epoch: OnEpoch | None,
    earlier: Sequence[Row] = (),
    start: Progress | None = None,
) -> TrainedRun:
    """Trains and scores, as `train` says. earlier, start: the rows and the end of the run that goes on."""
    config, training = experiment.config, functions.training
    with console.bar(config.epochs, training.epoch_steps) as show:

        def is_enough(latest: Progress) -> bool:
            assert latest.train is not None, "a chunk has at least one step"
            show(latest.step, latest.train, latest.images_per_second or 0.0)
            return bool(latest.row and on_epoch and on_epoch(latest.row) == "stop")

        trained = selection.train(config, training, functions.validation, is_enough, start)
    variables = jax.device_get(trained.kept.state.variables)
    test = functions.test.score(variables)
    return TrainedRun(
        experiment=experiment,
        variables=variables,
        history=History([*earlier, *trained.rows]),
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_metrics={"cross_entropy": test.cross_entropy, **test.metrics},
        best_epoch=trained.kept.epoch if kept_row(config, trained.rows) else None,
        _trainer=_Trainer(functions, trained.last.state),
    )


def _require_more(epochs: int) -> int:
    epochs = plain(epochs)
    if type(epochs) is not int or epochs < 1:
        raise InputError(f"fit: epochs={epochs}: must be a whole number, at least 1.")
    return epochs


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
    return TrainedRun(
        found, variables, History(run.rows()), result.test_loss, result.test_accuracy, metrics, result.best_epoch
    )
