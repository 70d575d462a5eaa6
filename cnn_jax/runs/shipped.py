"""Trained networks that ship with the project, so that nothing must be trained before a network can be shown or used.

They are one run of each of the lecture's two networks and of the dense one, on MNIST with seed 0 for five epochs. Each
folder in `shipped/` is a run directory in which `parameters.npz` stands for the checkpoints. The parameters are rounded
to float16, and `rounded.json` has what that costs on the 10,000 test images: no network gives another answer, the
largest change of a logit is 0.008, and that of a test loss 6e-06. `experiments/results/ship.py` makes the folders from
finished runs.
"""

from pathlib import Path

import numpy as np
from flax.traverse_util import unflatten_dict

from cnn_jax.errors import unknown_name
from cnn_jax.files import read_json
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of
from cnn_jax.runs.history import History
from cnn_jax.runs.in_memory import TrainedRun

NAMES = ("lecture_cnn", "lecture_cnn_no_pooling", "dense")
FOLDER = Path(__file__).with_suffix("")
PARAMETERS, ROUNDED = "parameters.npz", "rounded.json"
_LARGEST_JSON = 1 << 16  # bytes


def load_shipped(name: str) -> TrainedRun:
    """A shipped run by its name. Its variables are float32, as all variables are, with the values of float16.

    Its test loss and accuracy are those of these variables. Raises InputError on another name.
    """
    run = _directory(name)
    with np.load(run.path / PARAMETERS, allow_pickle=False) as arrays:
        params = unflatten_dict({path: array.astype(np.float32) for path, array in arrays.items()}, sep="/")
    test = read_json(run.path / ROUNDED, _LARGEST_JSON)
    return TrainedRun(
        experiment_of(run, None, Console()),
        {"params": params},
        History(run.rows()),
        test["test_loss"],
        test["test_accuracy"],
        {"cross_entropy": test["test_loss"]},
    )


def origin(name: str) -> str:
    """Where the parameters of a shipped run come from, in words that end a sentence."""
    run = _directory(name)
    config, machine = run.config(), run.machine()
    return (
        f"shipped with this project: one run of {name} on {config.dataset}, seed {config.seed}, {config.epochs} epochs "
        f"({machine['device']}, jax {machine['versions']['jax']}, commit {machine['git_commit'][:7]}), its parameters "
        "rounded to float16"
    )


def _directory(name: str) -> RunDirectory:
    if name not in NAMES:
        raise unknown_name("load_shipped", name, "shipped run", NAMES)
    return RunDirectory(FOLDER / name)
