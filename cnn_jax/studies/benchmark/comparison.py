"""Two benchmarks case by case: faster, slower or undecided, with intervals, and what else differs between them.

The rounds of a record show how much the machine varied while it was measured. They cannot show what changed until the
other record was measured: other programs, clock speed, temperature. On the same device the reference shows that, which
ran before each call of both records. So the ratio is taken twice there, as measured and in units of the reference, and
its interval holds both intervals: a verdict needs both. On different devices the ratio as measured is the question.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnn_jax.config import Config, config_differences, differences_in_words
from cnn_jax.errors import InputError, ProjectError
from cnn_jax.experiment import Experiment
from cnn_jax.report import statistics
from cnn_jax.report.format import percent
from cnn_jax.studies.benchmark.record import CASE, Case, Measured, Record, Target

FASTER, SLOWER, UNDECIDED = "faster", "slower", "undecided"
# Why a case is undecided.
WITHIN, FEW_ROUNDS, MACHINE, WIDE = "within the tolerance", "few rounds", "machine", "wide interval"
BUSY = 0.1  # the share of the cores that others used from which on a reader is warned

Interval = Sequence[float]

# Records may differ in these fields: a benchmark sets the first three itself, the others do not change the speed.
_MAY_DIFFER = {
    *("batch_size", "dtype", "matmul_precision", "seed", "dataset.seed", "epochs", "experiment"),
    *("keep", "monitor", "patience"),
}
# What the time to an accuracy depends on beside the speed.
_OF_TRAINING = ("batch_size", "dtype", "matmul_precision", "dataset")


def require_tolerance(tolerance: float) -> None:
    """Raises InputError where it is no share."""
    if not 0 <= tolerance < 1:
        raise InputError(f"--tolerance={tolerance:g}: must be at least 0 and below 1, as in 0.1 for 10 %.")


def require_comparable(
    baseline: Record, config: Config, cases: Iterable[Case], experiment: Experiment, flag: str
) -> None:
    """Raises InputError when the baseline is of another model or dataset, or has none of these cases.

    config: what it is compared with. experiment: whose tables know the settings that an earlier version of the program
    did not have. flag: in front of an error.
    """
    differences = _differences(baseline.config, config, experiment)
    changed = {name: pair for name, pair in differences.items() if name not in _MAY_DIFFER}
    if changed:
        raise InputError(f"--{flag}={baseline.source}: has another experiment ({differences_in_words(changed)}).")
    if not baseline.cases.keys() & set(cases):
        raise InputError(f"--{flag}={baseline.source}: has none of these batch sizes and dtypes: nothing to compare.")


def compare(baseline: Record, now: Record, tolerance: float) -> dict[str, Any]:
    """The comparison as in the record. ratio: the speed now divided by that of the baseline. tolerance: a share."""
    is_same_device = baseline.device == now.device
    rows = [
        compare_case(case, baseline.cases[case], measured, tolerance, is_same_device=is_same_device)
        for case, measured in now.cases.items()
        if case in baseline.cases
    ]
    return {
        "baseline": baseline.source,
        "now": now.source,
        "devices": [baseline.device, now.device],
        "tolerance": tolerance,
        "rows": rows + _target_rows(baseline, now, tolerance, is_same_device=is_same_device),
        "differences": _facts_that_differ(baseline, now),
        "warnings": _warnings(baseline, now),
    }


def require_not_slower(comparison: Mapping[str, Any]) -> None:
    """Raises ProjectError if a case is slower."""
    if slower := sum(row["verdict"] == SLOWER for row in comparison["rows"]):
        raise ProjectError(
            f"{slower} of {len(comparison['rows'])} cases are more than {percent(comparison['tolerance'], 0)} slower "
            "than the baseline."
        )


def verdict(interval: Interval | None, tolerance: float) -> str:
    """What an interval of a ratio shows. The same two records in the other order give the opposite."""
    if interval and interval[1] < 1 - tolerance:
        return SLOWER
    return FASTER if interval and interval[0] > 1 / (1 - tolerance) else UNDECIDED


def compare_case(
    case: Case, before: Measured, now: Measured, tolerance: float, *, is_same_device: bool
) -> dict[str, Any]:
    """One case of the comparison."""
    ratio, measured = now.images_per_second / before.images_per_second, None
    corrected = None
    if before.rounds:  # none in records of format 1
        ratio, measured = statistics.ratio_of_samples(before.rounds, now.rounds)
        if is_same_device:
            _, corrected = statistics.ratio_of_samples(_in_references(before), _in_references(now))
    speeds = {"baseline": before.images_per_second, "now": now.images_per_second, "unit": "images/s"}
    rounds = {"rounds": [len(before.rounds), len(now.rounds)]}
    return dict(zip(CASE, case, strict=True)) | speeds | rounds | _judged(ratio, measured, corrected, tolerance)


def _in_references(measured: Measured) -> list[float]:
    """The time of each round, in units of the reference before it."""
    return [seconds / reference for seconds, reference in zip(measured.rounds, measured.reference, strict=True)]


def _judged(ratio: float, measured: Interval | None, corrected: Interval | None, tolerance: float) -> dict[str, Any]:
    """The ratio with its intervals, and the verdict. corrected: in units of the reference, None where there is none."""
    ends = [end for interval in (measured, corrected) if interval for end in interval]
    interval = [min(ends), max(ends)] if ends else None
    found = verdict(interval, tolerance)
    reason = None if found != UNDECIDED else _reason(interval, measured, tolerance)
    intervals = {"interval": interval, "as_measured": measured, "in_references": corrected}
    return {"ratio": ratio, **intervals, "verdict": found, "reason": reason}


def _reason(interval: Interval | None, measured: Interval | None, tolerance: float) -> str:
    """Why a case is undecided."""
    if interval is None:
        return FEW_ROUNDS
    if verdict(measured, tolerance) != UNDECIDED:
        return MACHINE
    return WITHIN if 1 - tolerance <= interval[0] and interval[1] <= 1 / (1 - tolerance) else WIDE


def _target_rows(baseline: Record, now: Record, tolerance: float, *, is_same_device: bool) -> list[dict[str, Any]]:
    """The time to the same accuracy, by the seeds that reached it in both: none where it is no fair comparison."""
    before, after = baseline.target, now.target
    trained_alike = all(getattr(baseline.config, name) == getattr(now.config, name) for name in _OF_TRAINING)
    if before is None or after is None or before.accuracy != after.accuracy or not trained_alike:
        return []
    seeds = sorted(before.seconds.keys() & after.seconds.keys())
    if not seeds:
        return []
    times = [[target.seconds[seed] for seed in seeds] for target in (before, after)]
    as_measured = statistics.ratio(*times)
    in_references = statistics.ratio(*(_of_seeds(target, seeds) for target in (before, after)))
    corrected = in_references.interval if is_same_device else None
    row = {"what": f"training to {100 * after.accuracy:g} %", "dtype": now.config.dtype}
    means = {name: sum(of_record) / len(seeds) for name, of_record in zip(("baseline", "now"), times, strict=True)}
    judged = _judged(as_measured.ratio, as_measured.interval, corrected, tolerance)
    rounds = {"batch_size": now.config.batch_size, "unit": "s", "rounds": [len(seeds), len(seeds)]}
    return [row | means | rounds | judged]


def _of_seeds(target: Target, seeds: Sequence[int]) -> list[float]:
    """The time of each seed, in units of the reference before it."""
    return [target.seconds[seed] / target.reference[seed] for seed in seeds]


def _differences(baseline: Config, now: Config, experiment: Experiment) -> dict[str, tuple[Any, Any]]:
    return config_differences(_resolved(baseline, experiment), _resolved(now, experiment))


def _resolved(config: Config, experiment: Experiment) -> Config:
    """The Config with the settings that it does not name, where the experiment's tables have its parts."""
    with contextlib.suppress(InputError):
        return experiment.with_config(config).config
    return config


def _facts_that_differ(baseline: Record, now: Record) -> list[dict[str, Any]]:
    """Machine, versions, settings and state: what is not the same in both. A fact that one lacks is None there."""
    config = _differences(baseline.config, now.config, Experiment())
    facts = {name: (baseline.facts.get(name), now.facts.get(name)) for name in {**baseline.facts, **now.facts}} | config
    return [
        {"name": name, "baseline": _plain(before), "now": _plain(after)}
        for name, (before, after) in facts.items()
        if before != after
    ]


def _plain(value: Any) -> Any:
    """A value as JSON has it; a part of a Config as text."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _warnings(baseline: Record, now: Record) -> list[str]:
    """What a reader should know before the ratios."""
    found = []
    if baseline.devices != now.devices:
        found.append(
            f"The number of devices differs: {baseline.device} in {baseline.source}, {now.device} in {now.source}. The "
            "ratios are of all devices together."
        )
    elif baseline.device != now.device:
        found.append(
            "The devices differ, so the ratios are as measured: nothing shows whether other programs slowed one down."
        )
    for record in (baseline, now):
        share = record.facts.get("conditions.used_by_others")
        if isinstance(share, int | float) and share > BUSY:
            found.append(
                f"Other programs used {100 * share:.0f} % of the cores while {record.source} was measured. Measure it "
                "again when they have ended."
            )
        if not all(measured.rounds for measured in record.cases.values()):
            found.append(
                f"{record.source} was written by an earlier version, without the time of each round, so that there are "
                "no intervals and no verdicts. Measure it again with this version."
            )
    return found
