"""What a few runs can say: means with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


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


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean, deviation and interval of at least one finite value."""
    sample = np.asarray(values, np.float64)
    n, mean = len(sample), float(np.mean(sample))
    if n == 1:
        return Estimate(n, mean, None, None)
    if np.ptp(sample) == 0:
        return Estimate(n, float(sample[0]), 0.0, None)
    std = float(np.std(sample, ddof=1))
    low, high = stats.t.interval(CONFIDENCE, n - 1, mean, stats.sem(sample))
    return Estimate(n, mean, std, (float(low), float(high)))
