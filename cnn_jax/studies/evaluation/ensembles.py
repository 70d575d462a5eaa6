"""Ensembles: several models predict the mean of their probabilities.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
(2017). Probabilities are averaged, not logits or accuracies.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from cnn_jax.studies.evaluation import calibration
from cnn_jax.studies.evaluation.calibration import Quality

MOST_SUBSETS = 50
SEED = 0  # for drawing subsets, where there are more


@dataclass(frozen=True)
class Ensemble:
    """Ensembles of one size. quality: the mean over subsets. lowest, highest: their lowest and highest accuracy.

    Subsets share members, so lowest and highest are not a confidence interval.
    """

    members: int
    subsets: int
    quality: Quality
    lowest: float
    highest: float


def by_size(log_probabilities: np.ndarray, labels: np.ndarray) -> list[Ensemble]:
    """Ensembles of 1, 2, 4, 8, ... and of all members. log_probabilities: float64 [members, N, classes].

    Each size is scored by the mean over subsets of the members: all subsets, or `MOST_SUBSETS` random ones. This mean
    estimates without bias what an ensemble of newly trained models would reach; a single subset may be a lucky one.
    """
    return [_of_size(log_probabilities, labels, size) for size in sizes(len(log_probabilities))]


def sizes(members: int) -> list[int]:
    """1, 2, 4, ... up to the number of members, and that number itself."""
    powers = [2**power for power in range(members.bit_length())]
    return sorted({*powers, members})


def subsets(members: int, size: int, most: int = MOST_SUBSETS) -> list[tuple[int, ...]]:
    """All subsets of a size or, where there are more, `most` different ones drawn with a fixed seed; sorted."""
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
    of_size = subsets(len(log_probabilities), size)
    scores = [calibration.quality(averaged(log_probabilities[list(members)]), labels) for members in of_size]
    accuracies = [quality.accuracy for quality in scores]
    mean = Quality(*(float(np.mean([getattr(q, name) for q in scores])) for name in Quality.__dataclass_fields__))
    return Ensemble(size, len(of_size), mean, min(accuracies), max(accuracies))
