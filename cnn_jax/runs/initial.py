"""The variables of a finished run, for another run that starts from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.errors import InputError, MachineError
from cnn_jax.experiment import Experiment
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory, seed_folders


def init_from(
    experiment: Experiment, run: Path, *, init_prefix: Sequence[str] = (), init_skip: Sequence[str] = ()
) -> Experiment:
    """The experiment whose training starts from the variables that a finished run has scored.

    The run's code is not needed. init_prefix, init_skip: as in `Experiment.init_from`. Raises InputError if the folder
    holds no finished run, or a damaged one.
    """
    try:
        variables = _scored(run)
    except OSError as error:
        raise InputError(f"--init_from={run}: cannot be read: {error.strerror}.") from None
    except (InputError, MachineError) as error:
        raise InputError(f"--init_from={run}: {error}") from None
    return experiment.init_from(variables, prefix=init_prefix, skip=init_skip, source=str(run))


def _scored(run: Path) -> dict[str, Any]:
    """The variables that a finished run has scored. Raises InputError; MachineError if its checkpoint is damaged."""
    folders = seed_folders(run) if run.is_dir() else {}
    if folders:
        first = next(iter(folders.values()))
        raise InputError(f"holds several seeds. Name one of them: --init_from={first}.")
    if not (run / "config.json").is_file():
        raise InputError(
            "holds no run (there is no config.json). Name the folder of one. To resume a run that started from it, "
            "give the --init_hash of its config.json instead."
        )
    directory = RunDirectory(run)
    result = directory.result()
    if result is None or result.status not in ("done", "stopped"):
        raise InputError("this run is not finished. Run it to its end first.")
    return checkpoint.load_variables(directory.checkpoints, result.scored_step)
