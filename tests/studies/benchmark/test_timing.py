"""Timing counts warm calls, waits for their results, and keeps to its budget."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.timing import TimeBudget, Timing


@pytest.fixture
def work_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Work that takes so many seconds on a simulated clock: on a busy machine a real clock would be late."""
    now = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    return pass_time


def test_median_and_percentiles_are_those_of_the_repeats(work_for: Callable[[float], None]) -> None:
    calls = iter([0.03, 0.01, 0.02, 0.05, 0.04])
    measured = TimeBudget(repeats=5, seconds=60).time(lambda: work_for(next(calls)))
    assert measured.repeats == 5
    np.testing.assert_allclose([measured.low, measured.median, measured.high], [0.02, 0.03, 0.04])


def test_repeats_beyond_the_budget_are_left_out_except_the_first(work_for: Callable[[float], None]) -> None:
    assert TimeBudget(repeats=100, seconds=0.05).time(lambda: work_for(0.02)).repeats == 2
    assert TimeBudget(repeats=100, seconds=0.001).time(lambda: work_for(0.02)).repeats == 1


def test_calibrated_parts_take_about_the_wanted_time_and_the_first_call_is_not_timed(
    work_for: Callable[[float], None],
) -> None:
    calls = []

    def work(parts: int) -> object:
        calls.append(parts)
        work_for(0.2 if len(calls) == 1 else 0.002 * parts)  # as if it were compiled in the first call
        return jnp.zeros(())

    assert timing.calibrate(work, seconds=0.1, at_most=1000) in (49, 50)
    assert timing.calibrate(work, seconds=10, at_most=7) == 7


def test_divided_timing_is_that_of_one_part() -> None:
    assert Timing(6.0, 3.0, 9.0, 4).divided(3) == Timing(2.0, 1.0, 3.0, 4)


def test_error_of_a_timed_call_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        TimeBudget(repeats=3, seconds=1).time(lambda: 1 // 0)
