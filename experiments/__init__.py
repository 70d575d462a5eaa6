"""Experiments: one file a variant, whose `config()` gives its Config. By name, or by the path of a user's own file."""

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
    """The shipped experiments."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def descriptions() -> dict[str, str]:
    """The first line of each shipped experiment's docstring, without importing any."""
    trees = {name: ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8")) for name in names()}
    return {name: (ast.get_docstring(tree) or "").partition("\n")[0] for name, tree in trees.items()}


def load(experiment: str) -> Config:
    """The Config of a shipped experiment (by name) or of a user's file (a path that ends in .py).

    Raises InputError where there is none, or where the user's file fails; that error names the line.
    """
    if not experiment.endswith(".py"):
        if experiment not in names():
            error = unknown_name("--experiment", experiment, "experiment", names())
            raise InputError(f"{error} Your own: the path of a .py file.")
        module = importlib.import_module(f"experiments.{experiment}")
        return dataclasses.replace(module.config(), experiment=experiment)
    path = Path(experiment)
    if not path.is_file():
        raise InputError(f"--experiment={experiment}: no such file.")
    config = _config_of(path)
    if not isinstance(config, Config):
        raise InputError(f"--experiment={experiment}: config() gives no Config but {type(config).__name__}.")
    return dataclasses.replace(config, experiment=path.stem)


def _config_of(path: Path) -> object:
    """What a user's `config()` returns; whatever goes wrong in that file is said with its line."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise InputError(f"--experiment={path}: is no Python file.")
    module: ModuleType = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
        return module.config()
    except InputError as error:
        raise InputError(f"--experiment={path}: {error}") from None
    except Exception as error:  # a stranger's file may raise anything; its author needs the place and the reason
        raise InputError(f"--experiment={path}: {_place(error, path)}{type(error).__name__}: {error}") from None


def _place(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"line {lines[-1]}: " if lines else ""
