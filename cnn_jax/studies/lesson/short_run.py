"""Short trainings for the lesson, and the network that it shows where no finished run is given."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from cnn_jax.data.dataset import Dataset, Spec, Split
from cnn_jax.experiment import Experiment, build
from cnn_jax.studies.lesson.results import Run
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Row, train
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import Score, score

TRAIN_EXAMPLES, EPOCHS = 6_000, 3


class Network(NamedTuple):
    """A trained network, by its experiment and variables, and the runs whose results are shown; it is the first."""

    experiment: Experiment
    variables: dict
    runs: Sequence[Run]


def compiled(experiment: Experiment, spec: Spec, train: Split, test: Split) -> tuple[Training, Inference]:
    """Training and inference of an experiment, compiled for these images."""
    learner, mesh = build(experiment, spec), make_mesh()
    return compile_training(learner, train, mesh), compile_inference(learner, test, mesh)


def train_and_score(training: Training, inference: Inference, seed: int) -> tuple[dict, list[Row], Score]:
    """Trains one seed. Returns the parameters on the host, a row for each epoch, and the score of the test images."""
    last, rows = train(training, seed)
    variables = jax.device_get(last.state.variables)
    return variables["params"], rows, inference.score(variables)


def trained_network(dataset: Dataset) -> Network:
    """The lecture's network, trained for a short time on the first images of the dataset."""
    count = min(TRAIN_EXAMPLES, len(dataset.train))
    experiment = Experiment().vary(dataset=dataset.spec.name, train_examples=count, epochs=EPOCHS)
    training, inference = compiled(experiment, dataset.spec, dataset.train[:count], dataset.test)
    last, rows = train(training, experiment.config.seed)
    logits = inference.logits(last.state.variables)
    test = score(logits, dataset.test.labels)
    name, parameters = f"short run, {count:,} images", training.learner.parameters
    run = Run(name, rows, test.loss, test.accuracy, parameters, logits, dataset.test.labels)
    return Network(experiment, jax.device_get(last.state.variables), [run])
