"""Ensembles average probabilities, and are judged by more than one choice of members."""

import math

import numpy as np
import pytest

from cnn_jax.studies.evaluation import calibration, ensembles
from cnn_jax.training.metrics import log_softmax

LABELS = np.random.default_rng(0).integers(0, 4, 500)


def members(count: int) -> np.ndarray:
    """Log-probabilities of models that see the label through noise of their own: float64 [count, 500, 4]."""
    noise = np.random.default_rng(1).normal(size=(count, 500, 4))
    return log_softmax(2 * np.eye(4)[LABELS] + 2 * noise)


def test_probabilities_are_averaged_by_hand() -> None:
    logs = np.log(np.array([[[0.9, 0.1]], [[0.3, 0.7]]]))
    np.testing.assert_allclose(np.exp(ensembles.averaged(logs)), [[0.6, 0.4]])


def test_vanishing_probabilities_are_averaged_too() -> None:
    logs = np.array([[[-2000.0, 0.0]], [[-1000.0, 0.0]]])
    assert ensembles.averaged(logs)[0, 0] == pytest.approx(-1000 - math.log(2))


def test_ensemble_of_identical_members_equals_the_member() -> None:
    one = members(1)
    for ensemble in ensembles.by_size(np.repeat(one, 4, axis=0), LABELS):
        assert ensemble.quality.accuracy == ensemble.lowest == ensemble.highest
        alone = calibration.quality(one[0], LABELS)
        assert vars(ensemble.quality) == pytest.approx(vars(alone))


def test_sizes_double_and_end_with_all() -> None:
    assert [ensembles.sizes(count) for count in (2, 4, 10)] == [[1, 2], [1, 2, 4], [1, 2, 4, 8, 10]]


def test_every_subset_counts_where_there_are_few() -> None:
    assert ensembles.subsets(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_drawn_subsets_are_different_and_always_the_same() -> None:
    drawn = ensembles.subsets(20, 8)
    assert len(set(drawn)) == len(drawn) == ensembles.MOST_SUBSETS
    assert all(len(set(subset)) == 8 and set(subset) <= set(range(20)) for subset in drawn)
    assert ensembles.subsets(20, 8) == drawn


def test_order_of_members_does_not_matter() -> None:
    logs = members(4)
    for one, other in zip(ensembles.by_size(logs, LABELS), ensembles.by_size(logs[::-1], LABELS), strict=True):
        assert vars(one.quality) == pytest.approx(vars(other.quality))


def test_first_size_is_the_members_themselves_and_more_members_do_better() -> None:
    logs = members(8)
    found = ensembles.by_size(logs, LABELS)
    assert found[0].quality.accuracy == pytest.approx(np.mean([(one.argmax(-1) == LABELS).mean() for one in logs]))
    assert found[0].quality.accuracy < found[1].quality.accuracy < found[-1].quality.accuracy
    assert found[0].quality.loss > found[1].quality.loss > found[-1].quality.loss
