"""The numbers of a sweep: its settings with their scores, best first, and how the scores depend on each field.

Rows are those of `sweep.jsonl`: the setting, seed, status and numbers of a trial.
"""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.config import Config
from cnn_jax.report import statistics
from cnn_jax.report.statistics import POSITIVE, SHARE
from cnn_jax.runs.seeds_result import SeedsResult
from cnn_jax.studies.sweep.space import Dimension

Row = Mapping[str, Any]
Scored = dict[str, Any]  # a setting with the scores of its seeds

FORMAT = 1
NUMBERS = {  # with their limits
    "validation_accuracy": SHARE,
    "validation_loss": POSITIVE,
    "train_accuracy": SHARE,
    "train_loss": POSITIVE,
    "seconds": POSITIVE,
}


def sweep_record(
    base: Config,
    dimensions: Sequence[Dimension],
    rows: Sequence[Row],
    search: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `sweep.json`, before the winner is tested.

    base: what all trials have in common. search: sweep, samples and seeds, as asked for. machine: as in `machine.json`.
    """
    settings = rank(rows)
    best = best_setting(settings)
    fields = [dimension.field for dimension in dimensions]
    edges = [field for field in fields if best and is_at_edge(settings, field)]
    counts = {
        "settings": len(settings),
        "trials": len(rows),
        "diverged": sum(row["status"] == "diverged" for row in rows),
        "validation_examples": base.validation_examples,
    }
    return {
        "format": FORMAT,
        "date": datetime.date.today().isoformat(),
        "dataset": base.dataset.name,
        "base": base.as_mapping(),
        "machine": {name: value for name, value in machine.items() if name != "command_line"},  # it may name folders
        "search": {**search, **counts},
        "fields": [_field(dimension, settings) for dimension in dimensions],
        "settings": settings,
        "winner": best and best | {"at_the_end": edges},
    }


def with_test_scores(record: Mapping[str, Any], folder: str, result: SeedsResult) -> dict[str, Any]:
    """The record with the winner's test scores. folder: the name of the folder of its runs."""
    return {**record, "winner": record["winner"] | {"folder": folder, "test": dataclasses.asdict(result)}}


def _field(dimension: Dimension, settings: Sequence[Scored]) -> dict[str, Any]:
    """A swept field, and how accuracy depends on it."""
    has_numbers = all(setting["settings"][dimension.field] is not None for setting in settings)
    return {
        "name": dimension.field,
        "is_numeric": dimension.is_numeric and has_numbers,
        "is_logarithmic": dimension.is_logarithmic,
        "lines": response(settings, dimension.field),
    }


def rank(rows: Sequence[Row]) -> list[Scored]:
    """The settings with the scores of their seeds, sorted by mean validation accuracy, then by mean validation loss.

    Settings with a seed that diverged come last, whatever the other seeds reached, because they are not reliable.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row["settings"]), []).append(row)
    return sorted(map(_scored, groups.values()), key=_sort_key)


def _scored(rows: Sequence[Row]) -> Scored:
    """A setting with the scores of its seeds. rows: of this setting."""
    done = [row for row in rows if row["status"] == "done"]
    setting: Scored = {
        "settings": rows[0]["settings"],
        "seeds": [row["seed"] for row in done],
        "diverged": [row["seed"] for row in rows if row["status"] == "diverged"],
    }
    return setting | {
        name: statistics.summary([row[name] for row in done], limits) if done else None
        for name, limits in NUMBERS.items()
    }


def _sort_key(setting: Scored) -> tuple[bool, float, float]:
    if not setting["seeds"]:
        return True, 1.0, 0.0
    accuracy, loss = setting["validation_accuracy"]["mean"], setting["validation_loss"]["mean"]
    return bool(setting["diverged"]), -accuracy, loss


def best_setting(settings: Sequence[Scored]) -> Scored | None:
    """The best of ranked settings; None when every setting has a seed that diverged."""
    return None if settings[0]["diverged"] else settings[0]


def response(settings: Sequence[Scored], field: str) -> list[dict[str, Any]]:
    """How validation accuracy depends on a field: a line for each combination of the other fields.

    Each line has `others`, the other fields, and `points` in ascending order of the field's value, each with `value`,
    `mean`, `low` and `high` over the seeds; these are None where all seeds diverged.
    """
    lines: dict[str, dict[str, Any]] = {}
    for setting in settings:
        others = {name: value for name, value in setting["settings"].items() if name != field}
        accuracy = setting["validation_accuracy"]
        low, high = (min(accuracy["values"]), max(accuracy["values"])) if accuracy else (None, None)
        point = {"value": setting["settings"][field], "mean": accuracy and accuracy["mean"], "low": low, "high": high}
        lines.setdefault(_key(others), {"others": others, "points": []})["points"].append(point)
    for line in lines.values():
        if all(isinstance(point["value"], (int, float)) for point in line["points"]):
            line["points"].sort(key=lambda point: point["value"])
    return [lines[key] for key in sorted(lines)]


def is_at_edge(settings: Sequence[Scored], field: str) -> bool:
    """Whether the best of ranked settings has the smallest or largest of at least three numbers that were tried."""
    values = [setting["settings"][field] for setting in settings]
    if not all(type(value) in (int, float) for value in values) or len(set(values)) < 3:
        return False
    return values[0] in (min(values), max(values))


def _key(settings: Mapping[str, Any]) -> str:
    """Text that is the same for equal settings."""
    return json.dumps(settings, sort_keys=True)
