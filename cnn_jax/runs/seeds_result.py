"""The result of several seeds: the content of their folder's `result.json`, written last."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.errors import InputError
from cnn_jax.files import read_json
from cnn_jax.report.statistics import NO_LIMITS, POSITIVE, SHARE, estimate
from cnn_jax.runs.result import Result, result_from_mapping

NUMBERS = {"test_loss": POSITIVE, "test_accuracy": SHARE, "train_seconds": POSITIVE}  # with their limits
LARGEST_FILE = 1 << 24  # bytes; a seed has under one kilobyte


@dataclass(frozen=True, kw_only=True)
class SeedsResult:
    """The end of several runs that differ in their seed alone.

    status: `diverged` if any seed has diverged, else `stopped` if any is not done, else `done`. mean, std, ci95: of
    `NUMBERS`, and of the experiment's own metrics by name, over the n seeds that are done. std is that of a sample
    (n - 1); ci95 is the interval of the mean with 95 % confidence, as `statistics.intervals` gives it. Each is None if
    there are too few seeds: no mean of none, no deviation of one, and no interval without spread. seeds: the results in
    ascending order of seeds.
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
    """The result of at least one seed. wanted: how many seeds there are to be."""
    done = [seed for seed in seeds if seed.status == "done"]
    status = "done" if len(done) == wanted else "stopped"
    values = {name: [getattr(seed, name) for seed in done] for name in NUMBERS} | _own_metrics(done)
    limits = {**NUMBERS, "cross_entropy": POSITIVE}
    found = {name: estimate(of, limits.get(name, NO_LIMITS)) if of else None for name, of in values.items()}
    return SeedsResult(
        status="diverged" if any(seed.status == "diverged" for seed in seeds) else status,
        **{name: getattr(seeds[0], name) for name in ("experiment", "dataset", "model", "parameters")},
        n=len(done),
        mean={name: one.mean if one else None for name, one in found.items()},
        std={name: one.std if one else None for name, one in found.items()},
        ci95={name: list(one.interval) if one and one.interval else None for name, one in found.items()},
        seeds=sorted(seeds, key=lambda seed: seed.seed),
    )


def _own_metrics(done: Sequence[Result]) -> dict[str, list[float]]:
    """The metrics that all seeds have, without a cross-entropy that is the loss."""
    metrics = [seed.test_metrics or {} for seed in done]
    names = [name for name in (metrics[0] if metrics else {}) if all(name in of_seed for of_seed in metrics)]
    is_loss = all(seed.test_loss == of_seed.get("cross_entropy") for seed, of_seed in zip(done, metrics, strict=True))
    return {name: [m[name] for m in metrics] for name in names if name != "cross_entropy" or not is_loss}


def read_seeds_result(path: Path) -> SeedsResult:
    """Reads such a `result.json`. Raises InputError if it is damaged or its numbers are not those of its seeds."""
    try:
        content = read_json(path, LARGEST_FILE)
        seeds = [result_from_mapping(seed) for seed in content["seeds"]]
        content["seeds"] = [dataclasses.asdict(seed) for seed in seeds]  # those of the first version had fewer fields
        expected = summarized(seeds, len(seeds) if content["status"] == "done" else len(seeds) + 1)
        content["ci95"] = expected.ci95  # earlier versions had intervals with impossible values
        for name, value in dataclasses.asdict(expected).items():
            if not _is_same(content.pop(name), value):
                raise ValueError(f"{name} is not that of its seeds")
        if content:
            raise ValueError(f"{min(content)[:40]!r}")
        return expected
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path}: not the result of several seeds ({error}). Move it away: the command that trained them makes it "
            "again from the results of the seeds."
        ) from None


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal. Numbers may differ by rounding, which depends on scipy's version."""
    if isinstance(other, float):
        return isinstance(one, (int, float)) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    if isinstance(other, list):
        return isinstance(one, list) and len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other
