"""What a few runs can show: means with intervals, paired tests, and how many runs a difference would need.

All intervals are 95 % intervals and all tests are two-sided. Where there are too few numbers for an interval or a
test, it is None, never NaN.
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: its import takes longer than all others of a run

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no difference shown"
Limits = tuple[float, float]  # the lowest and the highest value that a quantity can have
SHARE: Limits = (0.0, 1.0)
POSITIVE: Limits = (0.0, math.inf)
NO_LIMITS: Limits = (-math.inf, math.inf)
POWER = 0.8
_MANY_PAIRS = 1600  # from there on the normal distribution gives the same ratio or the one beside it
MOST_SEEDS = 100_000  # where the search of `seeds_needed` gives up


@dataclass(frozen=True)
class Estimate:
    """Mean, standard deviation of the sample (n - 1) and the confidence interval of the mean, as `intervals` gives it.

    std is None for a single value. interval is None for a single value and for equal values, which do not show how much
    values can differ.
    """

    n: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Wilcoxon:
    """The signed-rank test.

    p: None where all differences are 0. smallest_p: the p-value when all differences are in the same direction, which
    is the smallest that this number of pairs can give.
    """

    p: float | None
    smallest_p: float

    @property
    def is_powerless(self) -> bool:
        """Whether there are too few pairs to show a difference, whatever the values are."""
        return self.smallest_p > SIGNIFICANCE


@dataclass(frozen=True)
class PairedDifference:
    """Differences of pairs, first minus second. p: of the paired t-test, None where the estimate has no interval."""

    estimate: Estimate
    p: float | None
    wilcoxon: Wilcoxon


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of ratios, first over second, with its interval. p: of the paired t-test of the logarithms."""

    ratio: float
    interval: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True)
class McNemarResult:
    """McNemar's exact test. only_first, only_second: the number of images that only this classifier gets right."""

    only_first: int
    only_second: int
    p: float


def estimate(values: Sequence[float] | np.ndarray, limits: Limits = NO_LIMITS) -> Estimate:
    """Mean, standard deviation and interval of one or more finite values. limits: of what is measured."""
    sample = np.asarray(values, np.float64)
    n, mean = len(sample), float(np.mean(sample))
    if n == 1:
        return Estimate(n, mean, None, None)
    std = float(np.std(sample, ddof=1)) if np.ptp(sample) else 0.0
    if std == 0:
        return Estimate(n, mean, 0.0, None)
    low, high = intervals(sample, limits).tolist()
    return Estimate(n, mean, std, (low, high))


def intervals(values: np.ndarray, limits: Limits = NO_LIMITS) -> np.ndarray:
    """The confidence interval of each mean over the last axis: Student's, where that lies within the limits.

    Where it would leave them, that of a share is cut, which leaves its coverage as it is. That of positive values is
    computed on their logarithm and around the same mean m, by the delta method: log(m) ± margin / m. In 200,000
    simulated pairs of losses (lognormal, sigma 0.5), 94.1 % of these intervals contain the true mean, and 93.8 % of
    Student's. Limits that a value crosses are none: a user's own loss may be negative.

    values: float [..., n] with n of 2 or more. limits: `SHARE`, `POSITIVE` or `NO_LIMITS`. Returns float64 [..., 2].
    Student, "The probable error of a mean" (1908).
    """
    values, (low, high) = np.asarray(values, np.float64), limits
    n, means = values.shape[-1], np.mean(values, axis=-1)
    margins = margin_in_standard_errors(n) * np.std(values, axis=-1, ddof=1) / math.sqrt(n)
    found = np.stack([means - margins, means + margins], axis=-1)
    leaves = ((found[..., 0] < low) | (found[..., 1] > high)) & ((low <= values) & (values <= high)).all(axis=-1)
    if math.isinf(high):  # means[leaves] are above 0: not all values are 0, and none is below
        shift = margins[leaves] / means[leaves]
        found[leaves] = means[leaves, None] * np.exp(np.stack([-shift, shift], axis=-1))
    else:
        found[leaves] = np.clip(found[leaves], low, high)
    return found


def margin_in_standard_errors(n: int) -> float:
    """How many standard errors Student's interval of n values reaches to each side of the mean."""
    return float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))


def summary(values: Sequence[float] | np.ndarray, limits: Limits = NO_LIMITS) -> dict[str, Any]:
    """The estimate and the values themselves as plain numbers, for JSON."""
    return dataclasses.asdict(estimate(values, limits)) | {"values": np.asarray(values, np.float64).tolist()}


def paired_difference(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> PairedDifference:
    """The paired t-test and Wilcoxon's test of values in pairs, such as the accuracies of two models by seed."""
    differences = _differences(np.asarray(first, np.float64), np.asarray(second, np.float64))
    found = estimate(differences)
    p = float(scipy.stats.ttest_1samp(differences, 0.0).pvalue) if found.interval else None
    return PairedDifference(found, p, _wilcoxon(differences))


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """First minus second, rounded: float errors would make equal differences unequal, and zeros different from 0."""
    largest = max(float(np.max(np.abs(first))), float(np.max(np.abs(second))))
    digits = min(12 - math.ceil(math.log10(largest)), 300) if largest else 0
    return np.round(first - second, digits)


def _wilcoxon(differences: np.ndarray) -> Wilcoxon:
    """The test as scipy chooses it: exact for up to 50 pairs, by permutations where some are tied, else approximate."""
    smallest = float(scipy.stats.wilcoxon(np.arange(1.0, len(differences) + 1), method="exact").pvalue)
    nonzero = differences[differences != 0]
    return Wilcoxon(float(scipy.stats.wilcoxon(nonzero).pvalue) if len(nonzero) else None, smallest)


def ratio(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Ratio:
    """How many times as large the first values are as the second ones, pair by pair. All values are above 0."""
    found = paired_difference(np.log(first), np.log(second))
    interval = found.estimate.interval
    bounds = (math.exp(interval[0]), math.exp(interval[1])) if interval else None
    return Ratio(math.exp(found.estimate.mean), bounds, found.p)


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
    """The confidence interval of the median: the narrowest pair of the k-th smallest and the k-th largest value.

    It assumes nothing about the distribution: a value lies below its median in half of all cases, so that the number of
    those that do is binomial. None for fewer than six values, where not even the smallest and the largest are far
    enough apart.
    """
    ordered, n = sorted(values), len(values)
    tail = scipy.stats.binom.cdf(np.arange(n), n, 0.5)
    below = int(np.searchsorted(tail, (1 - CONFIDENCE) / 2, side="right")) - 1
    return None if below < 0 else (float(ordered[below]), float(ordered[-1 - below]))


def ratio_of_samples(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> tuple[float, tuple[float, float] | None]:
    """How many times as large the values of one sample are as those of another, and the confidence interval of that.

    The values are above 0 and in no pairs. The ratio is the median of the ratios of each value to each, and the ends of
    its interval are two of these. That assumes no distribution, only that both have the same one but for a factor. None
    for too few values: 4 and 4, or 3 and 5, are enough.

    Hodges and Lehmann, "Estimates of location based on rank tests" (1963), for logarithms.
    """
    ratios = np.sort(np.divide.outer(np.asarray(first, np.float64), np.asarray(second, np.float64)), axis=None)
    left_out = _left_out(len(first), len(second))
    interval = (float(ratios[left_out]), float(ratios[-1 - left_out])) if left_out is not None else None
    return float(np.sqrt(ratios[(len(ratios) - 1) // 2] * ratios[len(ratios) // 2])), interval


def _left_out(n: int, m: int) -> int | None:
    """How many of the n * m ratios lie outside their interval at each end; None where no interval has the confidence.

    It follows from the number of orders of n and m values in which Mann and Whitney's U has each value: the
    coefficients of the polynomial prod (1 - q^(n + i)) / (1 - q^i) over i from 1 to m. For many values U is normal;
    half a step of it is its correction for continuity.
    """
    if n * m > _MANY_PAIRS:
        deviation = math.sqrt(n * m * (n + m + 1) / 12)
        return math.floor((n * m - 1) / 2 - float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2)) * deviation)
    counts = np.zeros(n * m + 1)
    counts[0] = 1
    for i in range(1, m + 1):
        counts[n + i :] -= counts[: max(0, len(counts) - n - i)].copy()
        for start in range(i):
            counts[start::i] = np.cumsum(counts[start::i])
    tail = np.cumsum(counts) / math.comb(n + m, n)
    found = int(np.searchsorted(tail, (1 - CONFIDENCE) / 2, side="right"))
    return found - 1 if found else None


def mcnemar(first_hits: np.ndarray, second_hits: np.ndarray) -> McNemarResult:
    """Whether two classifiers differ on the same images. first_hits, second_hits: bool [N], True where it is right.

    McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), in its exact form:
    when the two are equally good, each image that only one of them gets right is a fair coin toss between them.
    """
    only_first, only_second = int(np.sum(first_hits & ~second_hits)), int(np.sum(second_hits & ~first_hits))
    discordant = only_first + only_second
    p = float(scipy.stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemarResult(only_first, only_second, p)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values of several tests, corrected so that the chance of any false positive stays at the significance level.

    Tests that were not made are None and stay None. Holm, "A simple sequentially rejective multiple test procedure"
    (1979).
    """
    ordered = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    factors = np.arange(len(ordered), 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(factors * np.array([p for p, _ in ordered])))
    found: list[float | None] = [None] * len(p_values)
    for (_, index), p in zip(ordered, corrected, strict=True):
        found[index] = float(p)
    return found


def verdict(difference: float, p: float | None, *, below: str, above: str) -> str:
    """`below` or `above`, where a test shows that the difference is below or above 0; else `NO_DIFFERENCE`.

    p: of the test, after any correction; None where no test was made.
    """
    if p is None or p >= SIGNIFICANCE or difference == 0:
        return NO_DIFFERENCE
    return below if difference < 0 else above


def seeds_needed(difference: float, std: float | None) -> int | None:
    """How many pairs of runs show a true difference with 80 % power in a paired t-test at 5 %.

    std: standard deviation of the differences. Returns None where std is None, or where `MOST_SEEDS` are too few.
    """
    if std is None:
        return None
    if std == 0:
        return 2
    numbers = range(2, MOST_SEEDS + 1)
    index = bisect.bisect_left(numbers, POWER, key=lambda n: power(n, difference / std))
    return numbers[index] if index < len(numbers) else None


def power(n: int, effect: float) -> float:
    """The chance that a paired t-test of n pairs at 5 % shows a true difference of `effect` standard deviations."""
    critical = scipy.stats.t.ppf(1 - SIGNIFICANCE / 2, n - 1)
    shift = min(abs(effect) * math.sqrt(n), 1e3)  # beyond that the chance is 1, and scipy's far tails are undefined
    # scipy gives NaN for the opposite tail where it is too small to matter.
    opposite_tail = np.nan_to_num(scipy.stats.nct.cdf(-critical, n - 1, shift))
    return float(scipy.stats.nct.sf(critical, n - 1, shift) + opposite_tail)
