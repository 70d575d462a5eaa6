"""What the trials of a sweep say: its settings, best first, and how the scores respond to each field.

Rows are those of `sweep.jsonl`: settings, seed, status and numbers of each trial.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.report import statistics

Row = Mapping[str, Any]
Found = dict[str, Any]

NUMBERS = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "seconds")


def ranked(rows: Sequence[Row]) -> list[Found]:
    """The settings with what their seeds came to, best first: by mean validation accuracy, and where that ties by loss.

    Those of which a seed has diverged come last, whatever the others reached: they are not to be relied on.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_key(row["settings"]), []).append(row)
    return sorted(map(_summary, groups.values()), key=_place)


def _summary(rows: Sequence[Row]) -> Found:
    done = [row for row in rows if row["status"] == "done"]
    found: Found = {
        "settings": rows[0]["settings"],
        "seeds": [row["seed"] for row in done],
        "diverged": [row["seed"] for row in rows if row["status"] == "diverged"],
    }
    for name in NUMBERS:
        values = [row[name] for row in done]
        found[name] = statistics.summary(values) if done else None
    return found


def _place(found: Found) -> tuple[bool, float, float]:
    """What to sort by."""
    if not found["seeds"]:
        return True, 1.0, 0.0
    return bool(found["diverged"]), -found["validation_accuracy"]["mean"], found["validation_loss"]["mean"]


def winner(settings: Sequence[Found]) -> Found | None:
    """The best of ranked settings; None where each of them has diverged with some seed."""
    return None if settings[0]["diverged"] else settings[0]


def response(settings: Sequence[Row], field: str) -> list[Found]:
    """How validation accuracy responds to a field: for every combination of the other fields, a point a value.

    Each has `others`, and `points` in ascending order of the value with `value`, `mean`, `low` and `high` over the
    seeds; these are None where all have diverged.
    """
    lines: dict[str, Found] = {}
    for found in settings:
        others = {name: value for name, value in found["settings"].items() if name != field}
        accuracy = found["validation_accuracy"]
        low, high = (min(accuracy["values"]), max(accuracy["values"])) if accuracy else (None, None)
        point = {"value": found["settings"][field], "mean": accuracy and accuracy["mean"], "low": low, "high": high}
        lines.setdefault(_key(others), {"others": others, "points": []})["points"].append(point)
    for line in lines.values():
        if all(isinstance(point["value"], (int, float)) for point in line["points"]):
            line["points"].sort(key=lambda point: point["value"])
    return [lines[key] for key in sorted(lines)]


def is_at_the_end(settings: Sequence[Row], field: str) -> bool:
    """Whether the best setting has the smallest or the largest of three numbers or more that were tried."""
    values = [found["settings"][field] for found in settings]
    if not all(type(value) in (int, float) for value in values) or len(set(values)) < 3:
        return False
    return values[0] in (min(values), max(values))


def _key(settings: Mapping[str, Any]) -> str:
    """Text that is equal for equal settings."""
    return json.dumps(settings, sort_keys=True)
