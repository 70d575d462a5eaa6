"""Likelihood, calibration error and the bins of a reliability diagram: is a model as often right as it claims?"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cnn_jax.errors import InputError

BINS = 15  # as in Guo et al. (2017)


@dataclass(frozen=True)
class Quality:
    """Scores of predicted probabilities. loss: the mean negative log-likelihood, in nats."""

    loss: float
    accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence, the largest probability, is above `low` and at most `high`.

    confidence, accuracy: their means; None for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None

    @property
    def gap(self) -> float:
        """The distance between accuracy and confidence; 0 for an empty bin."""
        return 0.0 if self.accuracy is None or self.confidence is None else abs(self.accuracy - self.confidence)


def quality(log_probabilities: np.ndarray, labels: np.ndarray) -> Quality:
    """Loss, accuracy and calibration error. log_probabilities: float64 [N, classes]. labels: int [N].

    For a single model, the loss is the test loss.
    """
    return Quality(
        loss=float((-log_probabilities[np.arange(len(labels)), labels]).mean()),
        accuracy=float((log_probabilities.argmax(axis=-1) == labels).mean()),
        calibration_error=expected_calibration_error(np.exp(log_probabilities), labels),
    )


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over equal-width confidence bins, weighted by count.

    probabilities: float [N, classes], rows sum to 1. labels: int [N]. Returns a float in [0, 1].
    Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3. Raises InputError when N is 0.
    """
    return sum(bin.count * bin.gap for bin in reliability(probabilities, labels, bins)) / len(labels)


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The bins of a reliability diagram: equal widths from 0 to 1.

    probabilities: float [N, classes], rows sum to 1. labels: int [N]. Raises InputError when N is 0.
    """
    if len(labels) == 0:
        raise InputError("There are no predictions.")
    confidences, hits = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.searchsorted(edges[1:-1], confidences, side="left")  # 1 + 1e-16, from rounding, is in the last
    return [_bin(low, high, confidences[which == i], hits[which == i]) for i, (low, high) in enumerate(pairwise(edges))]


def _bin(low: float, high: float, confidences: np.ndarray, hits: np.ndarray) -> Bin:
    means = (float(confidences.mean()), float(hits.mean())) if len(hits) else (None, None)
    return Bin(float(low), float(high), len(hits), *means)
