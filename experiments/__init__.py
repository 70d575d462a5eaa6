"""Experiments: one file for each variant, whose `experiment()` returns its Experiment."""

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import cnn_jax
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.files import local_path

if TYPE_CHECKING:
    from cnn_jax import Experiment

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the shipped experiments."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def descriptions() -> dict[str, str]:
    """The first line of each shipped experiment's docstring, by its name. No experiment is imported."""
    trees = {name: ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8")) for name in names()}
    return {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in trees.items()}


def load(name: str) -> "Experiment":
    """A shipped experiment by its name, or a user's by the path of its file, which ends in .py.

    Raises InputError when there is no such experiment, or when the user's file fails; the error names the line.
    """
    if name.endswith(".py"):
        return cnn_jax.load_experiment(local_path(name))
    if name not in names():
        error = unknown_name("--experiment", name, "experiment", names())
        raise InputError(f"{error} For your own experiment, give the path of a .py file.")
    experiment: Experiment = importlib.import_module(f"{__name__}.{name}").experiment()
    return experiment.replace(experiment=name)
