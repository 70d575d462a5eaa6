"""Tables of text: one class for the console and for pages, and the tables that several studies show."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
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
    """A title, headings, and rows of as many cells of text.

    links: the part of a page that a cell opens there, by its row and column.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    links: Mapping[tuple[int, int], str] = dataclasses.field(default_factory=dict)

    def is_numeric(self, column: int) -> bool:
        """Whether all cells of the column are numbers, which are aligned to the right. Empty cells and dashes count."""
        return bool(self.rows) and all(
            row[column].lstrip("<>+-\u2212")[:1].isdigit() or row[column] in ("", "-") for row in self.rows
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

    settings: by the model's name, as a config has them in JSON. A model that does not have a setting has a dash.
    only_different: leave out the settings that are the same in all models.
    """
    columns = [dict(flat_settings(of_model)) for of_model in settings.values()]
    names = list(dict.fromkeys(name for column in columns for name in column))
    cells = {name: [setting_text(column[name]) if name in column else MISSING for column in columns] for name in names}
    rows = [[name, *texts] for name, texts in cells.items() if not only_different or len(set(texts)) > 1]
    return Table(title, ["setting", *settings], rows)


def flat_settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a config as JSON has it, by their full names, as in `model.width`; a part itself is its name."""
    for field, value in config.items():
        parts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, Mapping)]
        if not parts:
            yield field, value
            continue
        yield field, tuple(part["name"] for part in parts) if isinstance(value, list) else parts[0]["name"]
        for part in parts:
            prefix = f"{field}.{part['name']}" if isinstance(value, list) else field
            yield from ((f"{prefix}.{name}", setting) for name, setting in part.items() if name != "name")


def setting_text(value: Any) -> str:
    """A setting as one types it on the command line. value: of a Config, or as JSON has it."""
    return as_text(tuple(value) if isinstance(value, list) else value)


def seeds_table(title: str, seeds: Sequence[Mapping[str, Any]]) -> Table:
    """The results of several seeds. seeds: as in their common `result.json`; a seed that diverged has no scores."""
    has_best = any(seed["best_epoch"] for seed in seeds)
    rows = [
        [
            str(seed["seed"]),
            seed["status"],
            *([f"{seed['best_epoch'] or MISSING} of {seed['epochs']}"] if has_best else []),
            MISSING if seed["test_loss"] is None else loss(seed["test_loss"]),
            MISSING if seed["test_accuracy"] is None else percent(seed["test_accuracy"]),
            duration(seed["train_seconds"]),
        ]
        for seed in seeds
    ]
    best = ["best epoch"] if has_best else []
    return Table(title, ["seed", "status", *best, "test loss", "test accuracy", "training time"], rows)
