"""Check an experiment: one batch forwards and backwards, with the shapes of everything. Nothing is written."""

from typing import Any

import jax
import numpy as np

from cnn_jax import compilation
from cnn_jax.data.dataset import split_training_images
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, remarks
from cnn_jax.models import summary
from cnn_jax.report.console import Console
from cnn_jax.report.tables import Table
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.training.checks import require_numbers
from cnn_jax.training.compiled import compile_training
from cnn_jax.training.learner import Learner
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import MetricSums, compute_metrics


def run(experiment: Experiment, options: RunOptions) -> dict[str, float]:
    """Prints the parts with shapes, parameters and costs; takes one step; returns its loss, metrics and norms.

    Raises InputError, with file and line of the user's code, where a part does not keep its promise or the step gives
    no finite loss.
    """
    compilation.start(persistent_cache=False)
    console, config = Console(), experiment.config
    learner = build(experiment)  # raises where parts do not fit each other
    learner.require_initial()
    dataset = load_dataset(experiment, options, console)
    learner = build(experiment, dataset.spec)  # with what only the images tell
    train, _ = split_training_images(dataset, config.train_examples, config.validation_examples)
    require_numbers(learner, train)
    for remark in remarks(config, dataset.spec.classes):
        console.note(remark)
    batch = train[: config.batch_size]
    console.table(_parts(experiment))
    console.table(_shapes(learner, len(batch)))
    training = compile_training(learner, batch, make_mesh())
    state, sums = training.create_state(config.seed), training.zeros()
    _, sums = training.chunk(state, sums, training.batch_indices(state.key, 1), 0, 1)
    numbers = _numbers(jax.device_get(sums))
    if not np.isfinite(numbers["loss"]):
        raise InputError(f"the loss of the first batch is {numbers['loss']}, not a finite number.")
    console.line(f"one step on {len(batch)} images of {dataset.spec.name}: {_listed(numbers)}")
    console.line("all parts fit each other")
    return numbers


def _numbers(sums: MetricSums) -> dict[str, float]:
    score = compute_metrics(sums)
    assert score is not None, "a batch has at least one image"
    norms = {"gradient norm": float(sums.gradient_norm), "parameter norm": float(sums.parameter_norm)}
    return {"loss": score.loss, "accuracy": score.accuracy, **score.metrics, **norms}


def _listed(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _parts(experiment: Experiment) -> Table:
    rows = [
        [name.partition(".")[0], part.name, ", ".join(f"{key}={value}" for key, value in part.settings.items())]
        for name, part in experiment.config.parts().items()
    ]
    return Table(f"Parts of {experiment.config.experiment}", ["part", "name", "settings"], rows)


def _shapes(learner: Learner, rows: int) -> Table:
    """What goes in and out, and what the state holds."""
    layers = summary.layers(learner.module, learner.input_shapes)
    state = learner.abstract_state[0]
    inputs = {"/".join(map(str, path)) or "images": leaf for path, leaf in _leaves(learner.input_shapes)}
    described = [[f"input {name}", f"{leaf.dtype} [{rows}, {_dimensions(leaf)}]"] for name, leaf in inputs.items()]
    described += [
        ["classes", str(len(learner.spec.classes))],
        ["parameters", f"{learner.parameters:,}"],
        ["frozen parameters", f"{learner.frozen_parameters:,}"],
        ["other collections", ", ".join(state.model_state) or "none"],
        ["multiply-adds per image", f"{sum(layer.multiply_adds for layer in layers):,}"],
    ]
    return Table("Shapes and costs", ["", "value"], described)


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _dimensions(leaf: Any) -> str:
    return ", ".join(map(str, leaf.shape[1:]))
