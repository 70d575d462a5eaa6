"""What the parts of the lesson share: the type of their records, and the form of shapes and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.report import estimates
from cnn_jax.report.format import percent_estimate
from cnn_jax.report.statistics import SHARE, summary

Record = Mapping[str, Any]


def percent_with_interval(mean: float, interval: Sequence[float]) -> str:
    """A mean share and its interval, in percent but without the sign: `98.4 ± 0.2`, `98.4 (91.2 to 99.7)`."""
    return percent_estimate({"mean": mean, "interval": tuple(interval)}, 1).removesuffix(" %")


def error_bars(means: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """The error bars of mean shares in percent, as `Axes.errorbar` takes them. means: [S]. intervals: [S, 2]."""
    return 100 * abs(intervals.T - means)


def interval_remarks(accuracies: np.ndarray) -> list[str]:
    """What to know about the intervals of mean accuracies. accuracies: float [..., seeds]."""
    return estimates.remarks(summary(of_seeds, SHARE) for of_seeds in accuracies.reshape(-1, accuracies.shape[-1]))


def by(shape: Sequence[int]) -> str:
    """A shape, as in `26 x 26 x 32`."""
    return " x ".join(f"{size:,}" for size in shape)
