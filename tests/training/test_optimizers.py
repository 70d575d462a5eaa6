"""Optimizers and schedules by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.config import FIELDS
from cnn_jax.training.optimizers import OPTIMIZERS, SCHEDULES


def test_every_name_that_config_allows_is_an_optimizer() -> None:
    assert set(OPTIMIZERS) == set(FIELDS["optimizer"].metadata["choices"])
    assert set(SCHEDULES) == set(FIELDS["schedule"].metadata["choices"])


def test_rmsprop_is_keras_formula() -> None:
    """velocity = 0.9 velocity + 0.1 g²; w -= rate g / sqrt(velocity + 1e-7) (keras.optimizers.RMSprop)."""
    rmsprop = OPTIMIZERS["rmsprop"](1e-3)
    gradients = np.random.default_rng(0).normal(0, 1e-3, (5, 20)).astype(np.float32)
    weights, velocity = np.ones(20), np.zeros(20)
    params = jnp.ones(20)
    state = rmsprop.init(params)
    for gradient in gradients:
        velocity = 0.9 * velocity + 0.1 * gradient.astype(float) ** 2
        weights -= 1e-3 * gradient / np.sqrt(velocity + 1e-7)
        updates, state = rmsprop.update(jnp.asarray(gradient), state, params)
        params = params + updates
    np.testing.assert_allclose(params, weights, rtol=2e-6)


@pytest.mark.parametrize(("name", "start", "middle", "end"), [("constant", 1.0, 1.0, 1.0), ("cosine", 1.0, 0.5, 0.0)])
def test_schedule(name: str, start: float, middle: float, end: float) -> None:
    rate = SCHEDULES[name](0.25, 100)
    np.testing.assert_allclose([rate(0) / 0.25, rate(50) / 0.25, rate(100) / 0.25], [start, middle, end], atol=1e-6)


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle"])
@pytest.mark.parametrize("steps", [1, 100])
def test_schedule_of_a_traced_learning_rate_is_that_of_a_known_one(name: str, steps: int) -> None:
    known = SCHEDULES[name](3e-3, steps)
    traced = jax.jit(lambda rate, step: SCHEDULES[name](rate, steps)(step))
    # A compiled cosine may be rounded differently from one that is computed operation by operation. Where it is near
    # -1, 1 + cosine keeps this error: two float32 roundings of the peak, not of the rate.
    roundings = 2 * np.finfo(np.float32).eps
    for step in range(0, steps + 1, max(1, steps // 10)):
        for peak in (3e-3, 6e-3):
            expected = known(step) * (peak / 3e-3)
            np.testing.assert_allclose(traced(np.float32(peak), step), expected, rtol=1e-6, atol=roundings * peak)


def test_onecycle_peaks_at_the_learning_rate() -> None:
    rate = SCHEDULES["onecycle"](0.25, 100)
    rates = np.array([rate(step) for step in range(101)])
    assert rates.argmax() == 30
    np.testing.assert_allclose(rates.max(), 0.25, rtol=1e-6)
    assert rates[-1] < 1e-4
