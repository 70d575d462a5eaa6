"""Models that vote: the mean of their probabilities, which is what deep ensembles predict.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
(2017). Probabilities are averaged, not logits and not accuracies.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from cnn_jax.studies.evaluation import calibration
from cnn_jax.studies.evaluation.calibration import Quality

MOST_SUBSETS = 50
SEED = 0  # of which subsets are drawn, where there are more


@dataclass(frozen=True)
class Ensemble:
    """Ensembles of one size. quality: the mean over subsets; lowest, highest: the extremes of their accuracy.

    Subsets share members, so the extremes are no confidence interval.
    """

    members: int
    subsets: int
    quality: Quality
    lowest: float
    highest: float


def by_size(log_probabilities: np.ndarray, labels: np.ndarray) -> list[Ensemble]:
    """Ensembles of 1, 2, 4, 8, ... and of all members. log_probabilities: float64 [members, N, classes].

    A size is judged by the mean over subsets of the members: all of them, or `MOST_SUBSETS` different ones by chance.
    The first two or the best two of ten would be one draw, and a lucky or chosen one; the mean over subsets estimates
    without bias what two trained models come to.
    """
    return [_of_size(log_probabilities, labels, size) for size in sizes(len(log_probabilities))]


def sizes(members: int) -> list[int]:
    """1, 2, 4, ... as far as there are members, and all of them."""
    powers = [2**power for power in range(members.bit_length())]
    return sorted({*powers, members})


def subsets(members: int, size: int, most: int = MOST_SUBSETS) -> list[tuple[int, ...]]:
    """All subsets of a size, or `most` different ones drawn from a fixed seed; in order."""
    if math.comb(members, size) <= most:
        return list(itertools.combinations(range(members), size))
    rng = np.random.default_rng([SEED, members, size])
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < most:
        drawn.add(tuple(sorted(map(int, rng.choice(members, size, replace=False)))))
    return sorted(drawn)


def averaged(log_probabilities: np.ndarray) -> np.ndarray:
    """The logarithm of the members' mean probabilities: [members, N, classes] -> [N, classes]."""
    return np.logaddexp.reduce(log_probabilities, axis=0) - math.log(len(log_probabilities))


def _of_size(log_probabilities: np.ndarray, labels: np.ndarray, size: int) -> Ensemble:
    chosen = subsets(len(log_probabilities), size)
    found = [calibration.quality(averaged(log_probabilities[list(members)]), labels) for members in chosen]
    accuracies = [quality.accuracy for quality in found]
    mean = Quality(*(float(np.mean([getattr(q, name) for q in found])) for name in Quality.__dataclass_fields__))
    return Ensemble(size, len(chosen), mean, min(accuracies), max(accuracies))
