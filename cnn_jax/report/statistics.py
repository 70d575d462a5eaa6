"""What a few runs can say: means with intervals, paired tests, and how many runs a difference would need.

All intervals are of 95 %, all tests two-sided. Where numbers do not suffice for one, it is None: never a NaN.
"""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
POWER = 0.8
MOST_SEEDS = 100_000  # nobody trains more, and the search for a number has to end


@dataclass(frozen=True)
class Estimate:
    """Mean, standard deviation of the sample (n - 1) and Student's interval of the mean.

    std is None for a single value; interval is None for that, and for values without any spread, which do not say
    how far they could have been apart.
    """

    n: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Wilcoxon:
    """The signed-rank test. smallest_p: what it gives at the least for so many pairs, all in one direction."""

    p: float | None
    smallest_p: float

    @property
    def is_powerless(self) -> bool:
        """Whether it could not show a difference whatever the values are."""
        return self.smallest_p > SIGNIFICANCE


@dataclass(frozen=True)
class PairedDifference:
    """Differences of pairs, first minus second. p: of the paired t-test; None where `estimate` has no interval."""

    estimate: Estimate
    p: float | None
    wilcoxon: Wilcoxon


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of ratios, first over second, with its interval and the p of the paired t-test of logarithms."""

    ratio: float
    interval: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True)
class Discordance:
    """McNemar's exact test. only_first, only_second: the images that one alone gets right."""

    only_first: int
    only_second: int
    p: float


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean, deviation and interval of at least one finite value."""
    sample = np.asarray(values, np.float64)
    n, mean = len(sample), float(np.mean(sample))
    if n == 1:
        return Estimate(n, mean, None, None)
    std = float(np.std(sample, ddof=1)) if np.ptp(sample) else 0.0
    if std == 0:
        return Estimate(n, mean, 0.0, None)
    low, high = stats.t.interval(CONFIDENCE, n - 1, mean, stats.sem(sample))
    return Estimate(n, mean, std, (float(low), float(high)))


def summary(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The estimate and the values themselves as plain numbers, for JSON."""
    return dataclasses.asdict(estimate(values)) | {"values": np.asarray(values, np.float64).tolist()}


def margins(values: np.ndarray) -> np.ndarray:
    """Half the width of Student's interval of each mean over the last axis; 0 where there is no spread."""
    factor = stats.t.ppf((1 + CONFIDENCE) / 2, values.shape[-1] - 1)
    return np.asarray(factor * stats.sem(values, axis=-1))


def paired_difference(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> PairedDifference:
    """The paired t-test and Wilcoxon's of values that belong together, as two models' with the same seed."""
    differences = _differences(np.asarray(first, np.float64), np.asarray(second, np.float64))
    found = estimate(differences)
    p = float(stats.ttest_1samp(differences, 0.0).pvalue) if found.interval else None
    return PairedDifference(found, p, _wilcoxon(differences))


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The differences without the noise of rounding, which would make equal ones unequal and zeros none."""
    largest = max(float(np.max(np.abs(first))), float(np.max(np.abs(second))))
    digits = min(12 - math.ceil(math.log10(largest)), 300) if largest else 0
    return np.round(first - second, digits)


def _wilcoxon(differences: np.ndarray) -> Wilcoxon:
    """scipy's own choice: exact for up to 50 pairs, by all permutations where few are tied, else approximately."""
    smallest = float(stats.wilcoxon(np.arange(1.0, len(differences) + 1), method="exact").pvalue)
    apart = differences[differences != 0]
    return Wilcoxon(float(stats.wilcoxon(apart).pvalue) if len(apart) else None, smallest)


def ratio(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Ratio:
    """How many times larger the first values are than the second ones that they belong to; all above 0."""
    found = paired_difference(np.log(first), np.log(second))
    interval = found.estimate.interval
    bounds = (math.exp(interval[0]), math.exp(interval[1])) if interval else None
    return Ratio(math.exp(found.estimate.mean), bounds, found.p)


def mcnemar(first_hits: np.ndarray, second_hits: np.ndarray) -> Discordance:
    """Whether two classifiers differ on the same images; hits: bool [N] each, right or wrong.

    McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), in its exact form:
    of the images that one alone gets right, each is a fair coin where the two are equally good.
    """
    only_first, only_second = int(np.sum(first_hits & ~second_hits)), int(np.sum(second_hits & ~first_hits))
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return Discordance(only_first, only_second, p)


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """p-values of several tests, corrected so that the chance of any false one stays at the level.

    Holm, "A simple sequentially rejective multiple test procedure" (1979). Tests that were not made stay None.
    """
    made = sorted((p, name) for name, p in p_values.items() if p is not None)
    factors = np.arange(len(made), 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(factors * np.array([p for p, _ in made])))
    return dict.fromkeys(p_values, None) | {name: float(p) for (_, name), p in zip(made, corrected, strict=True)}


def seeds_needed(difference: float, std: float | None) -> int | None:
    """The pairs of runs that show a true difference with 80 % power in a paired t-test at 5 %.

    std: of the differences. None where it is not known, or where `MOST_SEEDS` do not suffice.
    """
    if std is None:
        return None
    if std == 0:
        return 2
    numbers = range(2, MOST_SEEDS + 1)
    index = bisect.bisect_left(numbers, POWER, key=lambda n: power(n, difference / std))
    return numbers[index] if index < len(numbers) else None


def power(n: int, effect: float) -> float:
    """The chance that a two-sided paired t-test at 5 % shows a difference of so many standard deviations."""
    critical = stats.t.ppf(1 - SIGNIFICANCE / 2, n - 1)
    shift = min(abs(effect) * math.sqrt(n), 1e3)  # beyond that the chance is 1, and scipy's far tails are undefined
    # The opposite tail is lost in rounding where scipy has no number for it.
    return float(stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift)))
