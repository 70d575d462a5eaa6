"""What a reader should know about the intervals that a console or a page shows.

An estimate is a mapping with `n`, `mean`, `std` and `interval`, as `statistics.summary` gives it.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from cnn_jax.report.statistics import margin_in_standard_errors

Estimate = Mapping[str, Any]

_UNEVEN = (
    "Some intervals are not even around the mean. Student's interval would leave the possible values there: 0 to 100 % "
    "for a share, above 0 for a loss or a time. So that of a share is cut there, and that of a loss or a time is "
    "computed on its logarithm."
)


def of_seeds(result: Mapping[str, Any], name: str) -> Estimate:
    """The estimate of a number of several seeds. result: as in their common `result.json`."""
    return {"n": result["n"], "interval": result["ci95"][name]} | {key: result[key][name] for key in ("mean", "std")}


def remarks(estimates: Iterable[Estimate]) -> list[str]:
    """Sentences about the intervals of the estimates that are shown: none where all are Student's of three values."""
    shown = [estimate for estimate in estimates if estimate["interval"]]
    said = [] if all(map(_is_students, shown)) else [_UNEVEN]
    return said + ([_of_two_values()] if any(estimate["n"] == 2 for estimate in shown) else [])


def _is_students(estimate: Estimate) -> bool:
    low, high = estimate["interval"]
    margin = margin_in_standard_errors(estimate["n"]) * estimate["std"] / math.sqrt(estimate["n"])
    return math.isclose((high - low) / 2, margin, rel_tol=1e-6, abs_tol=1e-9 * abs(estimate["mean"]))


def _of_two_values() -> str:
    two, five = (f"{margin_in_standard_errors(n):.1f}" for n in (2, 5))
    return (
        f"An interval of two values says little: by Student's t, it reaches {two} standard errors to each side of the "
        f"mean. An interval of five values reaches {five}."
    )
