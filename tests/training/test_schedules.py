"""Schedules by name, and the warm-up before any of them."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.typing import ArrayLike

from cnn_jax.experiment import Experiment, build
from cnn_jax.training.learner import Learner
from cnn_jax.training.schedules import SCHEDULES, warmed_up

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "training_reference.json").read_text())


def learner(**settings: object) -> Learner:
    return build(Experiment().vary(model="logistic", **settings))


def rate_at(schedule: str, learning_rate: ArrayLike, steps: int, step: ArrayLike) -> jax.Array:
    """The rate by which the optimizer of a run changes a parameter after `step` steps."""
    optimizer = learner(optimizer="sgd", schedule=schedule).optimizer_for(learning_rate, steps)
    state = optax.tree.set(optimizer.init(jnp.ones(1)), count=jnp.int32(step))
    updates, _ = optimizer.update(jnp.ones(1), state)
    return -updates[0]


@pytest.mark.parametrize(("name", "start", "middle", "end"), [("constant", 1.0, 1.0, 1.0), ("cosine", 1.0, 0.5, 0.0)])
def test_schedule(name: str, start: float, middle: float, end: float) -> None:
    rates = np.array([rate_at(name, 0.25, 100, step) for step in (0, 50, 100)])
    np.testing.assert_allclose(rates / 0.25, [start, middle, end], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 100])
def test_schedule_of_a_traced_learning_rate_is_that_of_a_known_one(name: str, steps: int) -> None:
    traced = jax.jit(lambda rate, step: rate_at(name, rate, steps, step))
    # A compiled cosine may be rounded differently from one that is computed operation by operation. Where it is near
    # -1, 1 + cosine keeps this error: two float32 roundings of the peak, not of the rate.
    roundings = 2 * np.finfo(np.float32).eps
    for step in range(0, steps + 1, max(1, steps // 10)):
        for peak in (3e-3, 6e-3):
            expected = rate_at(name, 3e-3, steps, step) * (peak / 3e-3)
            np.testing.assert_allclose(traced(np.float32(peak), step), expected, rtol=1e-6, atol=roundings * peak)


def test_onecycle_peaks_at_the_learning_rate() -> None:
    factor = learner(schedule="onecycle").schedule(100)
    rates = 0.25 * np.array([factor(step) for step in range(101)])
    assert rates.argmax() == 30
    np.testing.assert_allclose(rates.max(), 0.25, rtol=1e-6)
    assert rates[-1] < 1e-4
    for step in (0, 30, 77):
        np.testing.assert_allclose(rate_at("onecycle", 0.25, 100, step), rates[step], rtol=1e-6)


@pytest.mark.parametrize("case", REFERENCE["schedules"], ids=lambda case: case["by"])
def test_schedule_is_that_of_other_frameworks(case: dict) -> None:
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in case["settings"].items()}
    of = learner(schedule=case["schedule"], warmup_steps=case.get("warmup_steps", 0), **settings)
    factor = of.factor(len(case["factors"]) - 1)
    found = [factor(step) for step in range(len(case["factors"]))]
    np.testing.assert_allclose(found, case["factors"], rtol=1e-5, atol=1e-6)


def test_boundaries_on_the_same_step_are_both_taken() -> None:
    factor = SCHEDULES["multistep"](3, boundaries=(0.5, 0.6), factor=0.1)
    np.testing.assert_allclose([factor(step) for step in range(4)], [1, 1, 0.01, 0.01], rtol=1e-6)


def test_warm_up_comes_before_any_schedule_which_has_the_steps_that_are_left() -> None:
    """The warm-up of optax, where optax has one; of a schedule that begins lower, up to there."""
    theirs = optax.warmup_cosine_decay_schedule(0.0, 1.0, 30, 100)
    factor = warmed_up(SCHEDULES["cosine"], 30, 100)
    np.testing.assert_allclose([factor(s) for s in range(101)], [theirs(s) for s in range(101)], atol=1e-6)
    lower, plain = warmed_up(SCHEDULES["onecycle"], 10, 110), SCHEDULES["onecycle"](100)
    assert lower(0) == 0
    np.testing.assert_allclose([lower(5), lower(10), lower(110)], [plain(0) / 2, plain(0), plain(100)], rtol=1e-5)


def test_warm_up_reaches_the_optimizer_and_the_rows() -> None:
    of = learner(optimizer="sgd", warmup_steps=4, learning_rate=0.5)
    optimizer = of.optimizer_for(0.5, 10)
    state, rates = optimizer.init(jnp.ones(1)), []
    for _ in range(6):
        updates, state = optimizer.update(jnp.ones(1), state)
        rates.append(-float(updates[0]))
    np.testing.assert_allclose(rates, [0, 0.125, 0.25, 0.375, 0.5, 0.5], rtol=1e-6)


def test_no_warm_up_leaves_the_schedule_as_it_is() -> None:
    schedule = SCHEDULES["constant"]()
    assert warmed_up(lambda steps: schedule, 0, 10) is schedule
