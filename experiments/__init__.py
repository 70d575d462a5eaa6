"""Experiments: one file for each variant, whose `config()` returns its Config. Users may add files of their own."""

import ast
import dataclasses
import importlib
import importlib.util
import traceback
from pathlib import Path
from types import ModuleType

from cnn_jax.config import Config
from cnn_jax.errors import InputError, unknown_name

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the shipped experiments."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def descriptions() -> dict[str, str]:
    """The first line of each shipped experiment's docstring, by its name. No experiment is imported."""
    trees = {name: ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8")) for name in names()}
    return {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in trees.items()}


def load(experiment: str) -> Config:
    """Returns the Config of a shipped experiment (a name) or of a user's file (a path that ends in .py).

    Raises InputError when there is no such experiment, or when the user's file fails; the error names the line.
    """
    if not experiment.endswith(".py"):
        if experiment not in names():
            error = unknown_name("--experiment", experiment, "experiment", names())
            raise InputError(f"{error} For your own experiment, give the path of a .py file.")
        module = importlib.import_module(f"experiments.{experiment}")
        return dataclasses.replace(module.config(), experiment=experiment)
    path = Path(experiment)
    if not path.is_file():
        raise InputError(f"--experiment={experiment}: no such file.")
    config = _config_of(path)
    if not isinstance(config, Config):
        raise InputError(f"--experiment={experiment}: config() returns {type(config).__name__}, not a Config.")
    return dataclasses.replace(config, experiment=path.stem)


def _config_of(path: Path) -> object:
    """Returns what the user's `config()` returns. An error in that file becomes an InputError that names the line."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise InputError(f"--experiment={path}: not a Python file.")
    module: ModuleType = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        return module.config()
    except InputError as error:
        raise InputError(f"--experiment={path}: {error}") from None
    except Exception as error:  # a user's file may raise anything; its author needs the line and the reason
        raise InputError(f"--experiment={path}: {_place(error, path)}{type(error).__name__}: {error}") from None


def _place(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"line {lines[-1]}: " if lines else ""
