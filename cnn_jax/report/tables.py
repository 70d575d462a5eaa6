"""Tables of text: one class for the console and for pages, and the tables that several studies show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnn_jax.config import as_text
from cnn_jax.report.format import MISSING, duration, loss, percent

MACHINE_FACTS = {
    "device": "device",
    "cores": "cores",
    "system": "system",
    "python": "Python",
    "versions": "versions",
    "xla_flags": "XLA_FLAGS",
    "git_commit": "git commit",
}


@dataclass(frozen=True)
class Table:
    """A title, headings, and rows of as many cells of text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_numeric(self, column: int) -> bool:
        """Whether all cells of the column are numbers, which are aligned to the right. Empty cells and dashes count."""
        return bool(self.rows) and all(
            row[column].lstrip("+-\u2212")[:1].isdigit() or row[column] in ("", "-") for row in self.rows
        )


def machine_table(machines: Sequence[Mapping[str, Any]], first_rows: Sequence[Sequence[str]] = ()) -> Table:
    """What something ran on: a column for each machine.

    machines: as in `machine.json`; a fact that no machine has is left out. first_rows: rows to show above, each with
    its name and a cell for each machine.
    """
    rows = [
        [name, *(_fact(machine.get(key)) for machine in machines)]
        for key, name in MACHINE_FACTS.items()
        if any(key in machine for machine in machines)
    ]
    if len(machines) == 1:
        return Table("Machine", ["", "value"], [*first_rows, *rows])
    headings = [f"machine {number}" for number in range(1, len(machines) + 1)]
    return Table("Machines", ["", *headings], [*first_rows, *rows])


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return "none" if value is None else str(value)


def settings_table(title: str, settings: Mapping[str, Mapping[str, Any]], *, only_different: bool = False) -> Table:
    """Settings of one or several models: a column for each model, a row for each setting.

    settings: by the model's name. only_different: leave out the settings that are the same in all models.
    """
    first, *others = settings.values()
    names = [name for name in first if not only_different or any(other[name] != first[name] for other in others)]
    rows = [[name, *(setting_text(of_model[name]) for of_model in settings.values())] for name in names]
    return Table(title, ["setting", *settings], rows)


def setting_text(value: Any) -> str:
    """A setting as one types it on the command line. value: of a Config, or as JSON has it."""
    return as_text(tuple(value) if isinstance(value, list) else value)


def seeds_table(title: str, seeds: Sequence[Mapping[str, Any]]) -> Table:
    """The results of several seeds. seeds: as in their common `result.json`; a seed that diverged has no scores."""
    rows = [
        [
            str(seed["seed"]),
            seed["status"],
            MISSING if seed["test_loss"] is None else loss(seed["test_loss"]),
            MISSING if seed["test_accuracy"] is None else percent(seed["test_accuracy"]),
            duration(seed["train_seconds"]),
        ]
        for seed in seeds
    ]
    return Table(title, ["seed", "status", "test loss", "test accuracy", "training time"], rows)
