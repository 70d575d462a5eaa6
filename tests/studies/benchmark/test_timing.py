"""Timing: warm, waited for, bounded."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.timing import Timing


@pytest.fixture
def work_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Work that takes so many seconds on a clock of its own: a busy machine makes every real one run late."""
    now = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    return pass_time


def test_median_and_middle_half_are_of_so_many_repeats(work_for: Callable[[float], None]) -> None:
    calls = iter([0.03, 0.01, 0.02, 0.05, 0.04])
    measured = timing.repeated(lambda: work_for(next(calls)), repeats=5, seconds=60)
    assert measured.repeats == 5
    np.testing.assert_allclose([measured.low, measured.median, measured.high], [0.02, 0.03, 0.04])


def test_repeats_that_would_take_too_long_are_left_out_but_one(work_for: Callable[[float], None]) -> None:
    assert timing.repeated(lambda: work_for(0.02), repeats=100, seconds=0.05).repeats == 2
    assert timing.repeated(lambda: work_for(0.02), repeats=100, seconds=0.001).repeats == 1


def test_parts_are_chosen_to_last_about_so_long_and_the_first_call_is_not_counted(
    work_for: Callable[[float], None],
) -> None:
    calls = []

    def work(parts: int) -> object:
        calls.append(parts)
        work_for(0.2 if len(calls) == 1 else 0.002 * parts)  # as if it were compiled in the first call
        return jnp.zeros(())

    assert timing.fitting(work, seconds=0.1, at_most=1000) in (49, 50)
    assert timing.fitting(work, seconds=10, at_most=7) == 7


def test_a_part_is_its_share_of_the_whole() -> None:
    assert Timing(6.0, 3.0, 9.0, 4).divided(3) == Timing(2.0, 1.0, 3.0, 4)


def test_nothing_is_timed_that_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        timing.repeated(lambda: 1 // 0, repeats=3, seconds=1)
