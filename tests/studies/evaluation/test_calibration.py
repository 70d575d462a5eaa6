"""Likelihood and calibration error follow their definitions."""

import math

import numpy as np
import pytest

from cnn_jax.errors import InputError
from cnn_jax.studies.evaluation import calibration
from cnn_jax.training import metrics
from cnn_jax.training.metrics import log_softmax


def two_classes(confidences: list[float]) -> np.ndarray:
    """Probabilities of two classes, the first the likelier one."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


def test_calibration_error_by_hand() -> None:
    # Bins of a fifth: 0.65 and 0.75 lie in (0.6, 0.8], one of them right; 0.9 and 0.95 in (0.8, 1], both right.
    probabilities, labels = two_classes([0.65, 0.75, 0.9, 0.95]), np.array([0, 1, 0, 0])
    by_hand = 2 / 4 * abs(0.5 - 0.7) + 2 / 4 * abs(1.0 - 0.925)
    assert calibration.expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(by_hand)


def test_bin_has_its_upper_edge_and_not_its_lower_one() -> None:
    bins = calibration.reliability(two_classes([0.75, 0.5, 1.0]), np.array([0, 0, 0]), bins=4)
    assert [bin.count for bin in bins] == [0, 1, 1, 1]
    assert [(bin.low, bin.high) for bin in bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]


def test_empty_bin_has_no_means_and_costs_nothing() -> None:
    [empty, *_, full] = calibration.reliability(two_classes([1.0, 1.0]), np.array([0, 1]))
    assert (empty.confidence, empty.accuracy, empty.gap) == (None, None, 0.0)
    assert (full.count, full.confidence, full.accuracy, full.gap) == (2, 1.0, 0.5, 0.5)


def test_bins_hold_every_prediction() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 1000)
    bins = calibration.reliability(probabilities, np.zeros(1000, int))
    assert (len(bins), sum(bin.count for bin in bins)) == (calibration.BINS, 1000)


@pytest.mark.parametrize(("sharpness", "low", "high"), [(1.0, 0.0, 0.01), (3.0, 0.1, 1.0)])
def test_only_probabilities_that_match_the_labels_are_calibrated(sharpness: float, low: float, high: float) -> None:
    """Labels drawn from the probabilities are calibrated by construction; three times the logits are too sure."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(100_000, 5))
    truth = np.exp(log_softmax(logits))
    labels = (rng.random((100_000, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    claimed = np.exp(log_softmax(sharpness * logits))
    assert low <= calibration.expected_calibration_error(claimed, labels) <= high


def test_likelihood_by_hand_and_equal_to_the_test_loss() -> None:
    logits, labels = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32), np.arange(50) % 10
    logs = log_softmax(logits)
    by_hand = -sum(math.log(np.exp(logs[i, labels[i]])) for i in range(50)) / 50
    found = calibration.quality(logs, labels)
    assert found.loss == pytest.approx(by_hand)
    assert (found.loss, found.accuracy) == metrics.score(logits, labels)[:2]


def test_impossible_label_has_a_finite_loss() -> None:
    logs = log_softmax(np.array([[0.0, 2000.0]], np.float32))
    assert calibration.quality(logs, np.array([0])).loss == 2000.0


def test_no_predictions_are_refused() -> None:
    with pytest.raises(InputError, match="no predictions"):
        calibration.expected_calibration_error(np.zeros((0, 10)), np.zeros(0, int))
