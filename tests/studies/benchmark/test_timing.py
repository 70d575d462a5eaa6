"""Timing counts warm calls, waits for their results, takes turns, and keeps to its budget."""

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.timing import Rounds, TimeBudget

WorkFor = Callable[[float], None]


@pytest.fixture
def work_for(monkeypatch: pytest.MonkeyPatch) -> WorkFor:
    """Work that takes so many seconds on a simulated clock: on a busy machine a real clock would be late."""
    now = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    return pass_time


def test_every_call_has_its_turn_in_each_round_with_the_reference_before_it(work_for: WorkFor) -> None:
    order = []

    def call(name: str, seconds: Iterator[float]) -> Callable[[], None]:
        return lambda: (order.append(name), work_for(next(seconds)))[-1]

    def pace() -> float:
        order.append("reference")
        return len(order) / 1000

    calls = [call("step", iter([0.03, 0.01, 0.02])), call("epoch", iter([3.0, 1.0, 2.0]))]
    step, epoch = TimeBudget(repeats=3, seconds=60).time(calls, pace)
    assert order == ["reference", "step", "reference", "epoch"] * 3
    np.testing.assert_allclose(step.seconds, [0.03, 0.01, 0.02])
    np.testing.assert_allclose(epoch.seconds, [3.0, 1.0, 2.0])
    assert step.reference == (0.001, 0.005, 0.009) and epoch.reference == (0.003, 0.007, 0.011)
    assert (step.median, epoch.median) == (pytest.approx(0.02), pytest.approx(2.0))


def test_rounds_beyond_the_budget_are_left_out_except_the_first(work_for: WorkFor) -> None:
    calls = [lambda: work_for(0.02), lambda: work_for(0.001)]
    assert [len(one.seconds) for one in TimeBudget(repeats=9, seconds=0.05).time(calls, lambda: 1.0)] == [2, 9]
    assert [len(one.seconds) for one in TimeBudget(repeats=9, seconds=0.0001).time(calls, lambda: 1.0)] == [1, 1]


def test_calibrated_parts_take_about_the_wanted_time_and_the_first_call_is_not_timed(work_for: WorkFor) -> None:
    calls = []

    def work(parts: int) -> object:
        calls.append(parts)
        work_for(0.2 if len(calls) == 1 else 0.002 * parts)  # as if it were compiled in the first call
        return jnp.zeros(())

    assert timing.calibrate(work, seconds=0.1, at_most=1000) in (49, 50)
    assert timing.calibrate(work, seconds=10, at_most=7) == 7


def test_divided_rounds_are_those_of_one_part() -> None:
    assert Rounds((6.0, 3.0), (1.0, 2.0)).divided(3) == Rounds((2.0, 1.0), (1.0, 2.0))


def test_error_of_a_timed_call_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        TimeBudget(repeats=3, seconds=1).time([lambda: 1 // 0], lambda: 1.0)
