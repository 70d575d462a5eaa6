"""List every table, a line an entry: what experiments, flags and files may name."""

import inspect
from collections.abc import Mapping
from typing import Any

from cnn_jax import data
from cnn_jax.experiment import TABLES, Experiment
from cnn_jax.report.console import Console
from cnn_jax.settings import takes


def run(descriptions: Mapping[str, str], experiment: Experiment) -> None:
    """Prints all names that can be chosen, with a description.

    descriptions: of each shipped experiment, by its name. experiment: its own entries are listed too.
    """
    console = Console()
    _print(console, "experiment", descriptions)
    for name, table in TABLES.items():
        entries = experiment.entries(name)
        _print(console, table.field, {entry: _description(name, entry, entries[entry]) for entry in sorted(entries)})


def _print(console: Console, flag: str, entries: Mapping[str, str]) -> None:
    console.line(f"--{flag}=")
    for name, description in entries.items():
        console.line(f"  {name:<{max(map(len, entries))}}  {description}".rstrip())


def _description(table: str, name: str, entry: Any) -> str:
    """The first line of the entry's docstring; of a dataset, its description."""
    if table == "datasets" and name in data.DATASETS and not takes(entry, "dataset_dir"):
        return data.spec(name).description
    return (inspect.getdoc(entry) or "").partition("\n")[0]
