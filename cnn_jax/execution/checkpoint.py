"""Training states on disk, through Orbax, each with a manifest that tells a damaged one before it is read.

Orbax restores a file with a flipped bit without a word. `sha256sum --check manifest.sha256` works on the manifest too.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from orbax import checkpoint as ocp

from cnn_jax.errors import InputError, MachineError
from cnn_jax.training.state import TrainState

_MANIFEST = "manifest.sha256"


def save(folder: Path, state: TrainState) -> None:
    """Stores a state under its step, atomically; its manifest comes last. Raises MachineError where it cannot."""
    step = int(state.step)
    try:
        with ocp.CheckpointManager(folder.absolute()) as manager:
            manager.save(step, args=ocp.args.StandardSave(state))
        lines = [f"{digest}  {name}\n" for name, digest in _digests(folder / str(step))]
        (folder / str(step) / _MANIFEST).write_text("".join(lines), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise MachineError(f"{folder}: the checkpoint cannot be written: {error}") from None


def restore(folder: Path, like: TrainState) -> TrainState:
    """Reads the newest state. like: the shapes, dtypes and places of its arrays.

    Raises InputError where there is none or it is of another model, MachineError where it is damaged.
    """
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
    if not steps:
        raise InputError(f"{folder}: there is no checkpoint.")
    _verify(folder / str(steps[-1]))
    with ocp.CheckpointManager(folder.absolute()) as manager:
        try:
            return manager.restore(steps[-1], args=ocp.args.StandardRestore(like))
        except (ValueError, KeyError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{folder / str(steps[-1])}: is of another model: {reason[:200]}") from None


def _verify(step_folder: Path) -> None:
    """Raises MachineError where a file of the checkpoint is not what was written."""
    try:
        lines = (step_folder / _MANIFEST).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        found = dict(_digests(step_folder))
    except (OSError, ValueError) as error:
        raise MachineError(f"{step_folder}: the checkpoint is damaged: {error}.") from None
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise MachineError(f"{step_folder}: the checkpoint is damaged: {name} is not the file that was written.")


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every file below a checkpoint's folder but its manifest."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _MANIFEST:
            yield path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
