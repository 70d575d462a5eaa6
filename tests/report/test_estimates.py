"""Intervals that are not Student's, or that are of two values, are explained once."""

from typing import Any

import pytest

from cnn_jax.report import estimates
from cnn_jax.report.statistics import NO_LIMITS, POSITIVE, SHARE, Limits, summary

TWO = (
    "An interval of two values says little: by Student's t, it reaches 12.7 standard errors to each side of the mean. "
    "An interval of five values reaches 2.8."
)


def said(*shown: tuple[list[float], Limits]) -> list[str]:
    return estimates.remarks(summary(values, limits) for values, limits in shown)


def test_students_intervals_of_three_values_need_no_words() -> None:
    assert said(([0.5, 0.6, 0.7], SHARE), ([1.0, 1.1, 1.2], POSITIVE), ([0.3], SHARE), ([0.3, 0.3], SHARE)) == []


def test_impossible_values_are_explained_once() -> None:
    [remark] = said(([0.9, 0.99, 1.0], SHARE), ([0.1, 0.8, 0.2], POSITIVE))
    assert (
        "not even around the mean" in remark
        and "of a share is cut there, and that of a loss or a time is computed on its logarithm" in remark
    )


def test_two_values_are_said_to_be_worth_little() -> None:
    assert said(([0.5, 0.51], SHARE), ([0.5, 0.6], NO_LIMITS)) == [TWO]
    assert len(said(([0.9, 1.0], SHARE))) == 2


@pytest.mark.parametrize("values", [[0.5, 0.9, 0.1], [0.25, 0.75]])
def test_an_interval_that_is_even_by_symmetry_is_not_taken_for_students(values: list[float]) -> None:
    assert "not even" in said((values, SHARE))[0]


def test_estimate_of_seeds_is_that_of_their_result() -> None:
    result: dict[str, Any] = {"n": 2, "mean": {"loss": 0.5}, "std": {"loss": 0.1}, "ci95": {"loss": [0.1, 0.9]}}
    assert estimates.of_seeds(result, "loss") == {"n": 2, "mean": 0.5, "std": 0.1, "interval": [0.1, 0.9]}
