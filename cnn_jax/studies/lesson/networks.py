"""The networks that the lesson shows: finished runs, those that ship with the project, or one of a short training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cnn_jax import data
from cnn_jax.data.dataset import Dataset, Spec
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report.format import counted
from cnn_jax.runs import shipped
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import load_variables
from cnn_jax.studies.lesson.results import Run
from cnn_jax.studies.lesson.short_run import compiled
from cnn_jax.training.loop import train
from cnn_jax.training.metrics import score

TRAIN_EXAMPLES, EPOCHS = 6_000, 3


class Network(NamedTuple):
    """A trained network. variables: as `module.apply` takes them. run: its results on the lesson's test images.

    origin: whose parameters these are, in words that end a sentence.
    """

    name: str
    origin: str
    experiment: Experiment
    variables: dict[str, Any]
    run: Run


def fit_the_shipped(spec: Spec) -> bool:
    """Whether images of a dataset are what the shipped networks know: digits in MNIST's form."""
    mnist = data.spec("mnist")
    return (spec.mnist_form, spec.image_shape, spec.classes) == (True, mnist.image_shape, mnist.classes)


def shipped_networks(dataset: Dataset, names: Sequence[str] = shipped.NAMES) -> list[Network]:
    """The shipped networks, scored on the test images of a dataset that fits them."""
    return [_shipped_network(name, dataset) for name in names]


def _shipped_network(name: str, dataset: Dataset) -> Network:
    trained = shipped.load_shipped(name)
    logits, labels = trained.logits(dataset.test.images), dataset.test.labels
    test, parameters = score(logits, labels), sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    run = Run(name, trained.history, test.loss, test.accuracy, parameters, logits, labels)
    elsewhere = "" if dataset.spec.name == "mnist" else f", and scored here on {dataset.spec.name}"
    return Network(name, shipped.origin(name) + elsewhere, trained.experiment, trained.variables, run)


def finished_networks(
    finished: Sequence[RunDirectory], experiments: Sequence[Experiment], dataset: Dataset
) -> list[Network]:
    """The networks of finished runs. experiments: of the runs. Raises InputError where one has other test images."""
    names = [run.path.name for run in finished]
    if len(set(names)) < len(names):  # such as two folders `seed-0` of two models
        names = [str(run.path) for run in finished]
    return [
        Network(name, f"the run in {run.path}", each, load_variables(run, each), _results(run, name, dataset))
        for name, run, each in zip(names, finished, experiments, strict=True)
    ]


def _results(directory: RunDirectory, name: str, dataset: Dataset) -> Run:
    """The results of a finished run. Raises InputError where it was scored on other images."""
    result, (logits, labels) = directory.finished_result(), directory.predictions()
    if not np.array_equal(labels, dataset.test.labels):
        raise InputError(f"--runs={directory.path}: was scored on other test images than {dataset.spec.name} has now.")
    rows = directory.rows()
    return Run(name, rows, *result.main, result.parameters, logits, labels, result.best_epoch)


def short_network(dataset: Dataset) -> Network:
    """The lecture's network, trained for a short time on the first images of a dataset."""
    count = min(TRAIN_EXAMPLES, len(dataset.train))
    experiment = Experiment().vary(dataset=dataset.spec.name, train_examples=count, epochs=EPOCHS)
    training, inference = compiled(experiment, dataset.spec, dataset.train[:count], dataset.test)
    last, rows = train(training, experiment.config.seed)
    logits = inference.logits(last.state.variables)
    test = score(logits, dataset.test.labels)
    name, parameters = f"short run, {count:,} images", training.learner.parameters
    run = Run(name, rows, test.loss, test.accuracy, parameters, logits, dataset.test.labels)
    origin = f"trained for this page, {counted(EPOCHS, 'epoch')} on {count:,} images of {dataset.spec.name}"
    return Network(name, origin, experiment.with_spec(dataset.spec), jax.device_get(last.state.variables), run)
