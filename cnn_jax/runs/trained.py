"""What a finished run has learned."""

from cnn_jax import data
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs


def params(run: RunDirectory) -> dict:
    """The parameters that a finished run ended with.

    Raises InputError where it is not finished or its checkpoint is not there, MachineError where that is damaged.
    """
    config, steps = run.config(), run.finished_result().steps
    shapes = programs.saved_shapes(config, data.spec(config.dataset), meshes.over_all_devices())
    return checkpoint.of_step(run.checkpoints, steps, shapes).state.params
