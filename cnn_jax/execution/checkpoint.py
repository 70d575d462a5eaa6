"""Training states on disk, through Orbax."""

from pathlib import Path

import jax
from orbax import checkpoint as ocp

from cnn_jax.errors import InputError, MachineError
from cnn_jax.training.state import TrainState


def save(folder: Path, state: TrainState) -> None:
    """Stores a state under its step, atomically. Raises MachineError where that cannot be written."""
    try:
        with ocp.CheckpointManager(folder.absolute()) as manager:
            manager.save(int(state.step), args=ocp.args.StandardSave(state))
    except (OSError, ValueError) as error:
        raise MachineError(f"{folder}: the checkpoint could not be written: {error}") from None


def restore(folder: Path, like: TrainState) -> TrainState:
    """Reads the newest state. like: a state of the same shapes (arrays or `jax.ShapeDtypeStruct`).

    Raises InputError where there is none, MachineError where it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no checkpoint. Has the run been finished?")
    try:
        with ocp.CheckpointManager(folder.absolute()) as manager:
            step = manager.latest_step()
            if step is None:
                raise InputError(f"{folder}: there is no checkpoint. Has the run been finished?")
            abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
            return manager.restore(step, args=ocp.args.StandardRestore(abstract))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise MachineError(f"{folder}: the checkpoint is damaged or of another model: {reason}") from None
