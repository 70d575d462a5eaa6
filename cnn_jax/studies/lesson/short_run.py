"""Short trainings for the lesson."""

import jax

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.experiment import Experiment, build
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Row, train
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import Score


def compiled(experiment: Experiment, spec: Spec, train: Split, test: Split) -> tuple[Training, Inference]:
    """Training and inference of an experiment, compiled for these images."""
    learner, mesh = build(experiment, spec), make_mesh()
    return compile_training(learner, train, mesh), compile_inference(learner, test, mesh)


def train_and_score(training: Training, inference: Inference, seed: int) -> tuple[dict, list[Row], Score]:
    """Trains one seed. Returns the parameters on the host, a row for each epoch, and the score of the test images."""
    last, rows = train(training, seed)
    variables = jax.device_get(last.state.variables)
    return variables["params"], rows, inference.score(variables)
