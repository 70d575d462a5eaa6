"""What the runs of many seeds came to: the content of their folder's `result.json`, written last."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy  # its parts are loaded where they are first used: they take longer than all else that a run imports

from cnn_jax.errors import InputError
from cnn_jax.runs import result as results
from cnn_jax.runs.result import Result

NUMBERS = ("test_loss", "test_accuracy", "train_seconds")
CONFIDENCE = 0.95
LARGEST_FILE = 1 << 24  # bytes; a seed has under one kilobyte


@dataclass(frozen=True, kw_only=True)
class SeedsResult:
    """The end of many runs that differ in their seed alone.

    status: `diverged` where any seed has, else `stopped` where any is not done, else `done`. mean, std, ci95: of
    `NUMBERS`, over the n seeds that are done; std is that of a sample (n - 1), ci95 Student's interval of the mean with
    95 % confidence. None stands where seeds do not suffice: no mean of none, no deviation of one, and no interval
    without any spread. seeds: each with a result, in ascending order.
    """

    status: str
    experiment: str
    dataset: str
    model: str
    parameters: int
    n: int
    mean: dict[str, float | None]
    std: dict[str, float | None]
    ci95: dict[str, list[float] | None]
    seeds: list[Result]

    def to_json(self) -> str:
        """The result as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def summarized(seeds: Sequence[Result], wanted: int) -> SeedsResult:
    """The result of at least one seed. wanted: how many there are to be in all."""
    done = [seed for seed in seeds if seed.status == "done"]
    status = "done" if len(done) == wanted else "stopped"
    found = {name: _estimated([getattr(seed, name) for seed in done]) for name in NUMBERS}
    return SeedsResult(
        status="diverged" if any(seed.status == "diverged" for seed in seeds) else status,
        **{name: getattr(seeds[0], name) for name in ("experiment", "dataset", "model", "parameters")},
        n=len(done),
        mean={name: mean for name, (mean, _, _) in found.items()},
        std={name: std for name, (_, std, _) in found.items()},
        ci95={name: interval for name, (_, _, interval) in found.items()},
        seeds=sorted(seeds, key=lambda seed: seed.seed),
    )


def _estimated(values: Sequence[float]) -> tuple[float | None, float | None, list[float] | None]:
    """Mean, deviation and interval."""
    n, mean = len(values), float(np.mean(values)) if values else None
    if mean is None or n == 1:
        return mean, None, None
    std = float(np.std(values, ddof=1)) if np.ptp(values) else 0.0
    if not std:
        return mean, std, None
    interval = scipy.stats.t.interval(CONFIDENCE, n - 1, mean, std / math.sqrt(n))
    return mean, std, [float(bound) for bound in interval]


def from_file(path: Path) -> SeedsResult:
    """Reads such a `result.json`. Raises InputError where it is damaged or its numbers are not those of its seeds."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"over {LARGEST_FILE:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        seeds = [results.from_mapping(seed) for seed in content["seeds"]]
        expected = summarized(seeds, len(seeds) if content["status"] == "done" else len(seeds) + 1)
        for name, value in dataclasses.asdict(expected).items():
            if not _is_same(content.pop(name), value):
                raise ValueError(f"{name} is not that of its seeds")
        if content:
            raise ValueError(f"{min(content)[:40]!r}")
        return expected
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not the result of many seeds ({error}). Use --overwrite to run anew.") from None


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal; numbers to rounding, which another version of scipy may do differently."""
    if isinstance(other, float):
        return isinstance(one, (int, float)) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    if isinstance(other, list):
        return isinstance(one, list) and len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other
