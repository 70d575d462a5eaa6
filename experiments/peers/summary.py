"""Statistics of measured rounds: medians, their intervals, and how many times faster this project is.

Everything here is a pure function of the runner's records and needs only the standard library.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median

OURS = "cnn_jax"
COVERAGE = 0.95
# What is measured: the kind of run, the name of its number in a record, and whether a larger number is better.
MEASURES = {
    "training": ("steps", "images_per_second", True),
    "inference": ("steps", "inference_images_per_second", True),
    "whole": ("epochs", "process_seconds", False),
}


def median_interval(values: Sequence[float]) -> list[float] | None:
    """The narrowest symmetric pair of order statistics that contains the median with at least 95 % confidence.

    It assumes nothing about the distribution: the median lies between the k-th smallest and the k-th largest of n
    values with probability 1 - 2 P(B < k), where B is binomial (n, 1/2). None for fewer than six values, where no pair
    reaches 95 %.
    """
    ordered, n = sorted(values), len(values)
    for k in range((n + 1) // 2, 0, -1):
        if 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n >= COVERAGE:
            return [ordered[k - 1], ordered[n - k]]
    return None


def estimate(values: Sequence[float]) -> dict:
    return {"median": median(values), "interval": median_interval(values)}


def values_by_round(records: Sequence[Mapping], peer: str, measure: str, variant: str) -> dict[int, float]:
    kind, number, _ = MEASURES[measure]
    return {
        record["round"]: record[number]
        for record in records
        if (record["peer"], record["kind"], record["variant"]) == (peer, kind, variant) and "failed" not in record
    }


def speedup(ours: Mapping[int, float], theirs: Mapping[int, float], *, more_is_better: bool) -> dict | None:
    """How many times as fast as the peer this project is, from the rounds that both finished; above 1 is faster."""
    ratios = [ours[i] / theirs[i] if more_is_better else theirs[i] / ours[i] for i in sorted(ours.keys() & theirs)]
    return {"rounds": ratios, **estimate(ratios)} if ratios else None


def summarize_peer(records: Sequence[Mapping], peer: str, measure: str, variant: str) -> dict | None:
    """One peer's numbers in one measure, or the reason why there are none; None if it was not asked for."""
    kind, _, more_is_better = MEASURES[measure]
    asked = [r for r in records if (r["peer"], r["kind"], r["variant"]) == (peer, kind, variant)]
    values = values_by_round(records, peer, measure, variant)
    if not asked:
        return None
    if not values:
        return {"failed": asked[-1]["failed"]}
    result = {"rounds": [values[i] for i in sorted(values)], **estimate(list(values.values()))}
    ours = values_by_round(records, OURS, measure, variant)
    if peer != OURS and (ratio := speedup(ours, values, more_is_better=more_is_better)):
        result["speedup_of_ours"] = ratio
    failures = [record["failed"] for record in asked if "failed" in record]
    if failures:
        result["failed_later"] = failures[-1]
    if measure == "whole":
        for score in ("test_loss", "test_accuracy"):
            result[score] = [record[score] for record in asked if "failed" not in record]
    return result


def summarize(records: Sequence[Mapping], peers: Sequence[str], variants: Sequence[str]) -> dict:
    """{measure: {variant: {peer: numbers}}}, only with what was asked for."""
    summary: dict = {}
    for measure in MEASURES:
        for variant in variants:
            rows = {peer: summarize_peer(records, peer, measure, variant) for peer in peers}
            rows = {peer: row for peer, row in rows.items() if row is not None}
            if rows:
                summary.setdefault(measure, {})[variant] = rows
    return summary
