"""Optimizers and schedules by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.typing import ArrayLike

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training.learner import Learner
from cnn_jax.training.optimizers import AVERAGES, OPTIMIZERS
from cnn_jax.training.schedules import SCHEDULES


def learner(**settings: object) -> Learner:
    return build(Experiment().vary(model="logistic", **settings))


def rate_at(schedule: str, learning_rate: ArrayLike, steps: int, step: ArrayLike) -> jax.Array:
    """The rate by which the optimizer of a run changes a parameter after `step` steps."""
    optimizer = learner(optimizer="sgd", schedule=schedule).optimizer_for(learning_rate, steps)
    state = optax.tree.set(optimizer.init(jnp.ones(1)), count=jnp.int32(step))
    updates, _ = optimizer.update(jnp.ones(1), state)
    return -updates[0]


@pytest.mark.parametrize(
    ("field", "table"), [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("average", AVERAGES)]
)
def test_an_experiment_offers_every_name_and_no_other(field: str, table: dict) -> None:
    for name in table:
        assert learner(**{field: name}).create_state
    with pytest.raises(InputError, match=f"--{field}=nothing: no such {field}.* Known: {', '.join(sorted(table))}.$"):
        learner(**{field: "nothing"})


def test_rmsprop_is_keras_formula() -> None:
    """velocity = 0.9 velocity + 0.1 g²; w -= rate g / sqrt(velocity + 1e-7) (keras.optimizers.RMSprop)."""
    rmsprop = OPTIMIZERS["rmsprop"](lambda step: 1e-3)
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


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("sgd", {}, optax.sgd(0.1)),
        ("momentum", {}, optax.sgd(0.1, momentum=0.9)),
        ("momentum", {"momentum": 0.5, "nesterov": True}, optax.sgd(0.1, momentum=0.5, nesterov=True)),
        ("adam", {}, optax.adam(0.1)),
        ("adam", {"b1": 0.5, "b2": 0.6, "eps": 0.7}, optax.adam(0.1, b1=0.5, b2=0.6, eps=0.7)),
        ("adamw", {}, optax.adamw(0.1)),
        ("adamw", {"b1": 0.5, "weight_decay": 0.2}, optax.adamw(0.1, b1=0.5, weight_decay=0.2)),
        (
            "rmsprop",
            {"decay": 0.5, "epsilon": 0.1},
            optax.rmsprop(0.1, decay=0.5, eps=0.1, eps_in_sqrt=True, initial_scale=0.0),
        ),
    ],
)
def test_settings_reach_optax(name: str, settings: dict, theirs: optax.GradientTransformation) -> None:
    ours = learner(optimizer=name, learning_rate=0.1, **settings).optimizer_for(0.1, 3)
    params = jnp.linspace(-1, 1, 5)
    states = [ours.init(params), theirs.init(params)]
    for gradient in (params, params**2, -params):
        found, states[0] = ours.update(gradient, states[0], params)
        expected, states[1] = theirs.update(gradient, states[1], params)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "start", "middle", "end"), [("constant", 1.0, 1.0, 1.0), ("cosine", 1.0, 0.5, 0.0)])
def test_schedule(name: str, start: float, middle: float, end: float) -> None:
    rates = np.array([rate_at(name, 0.25, 100, step) for step in (0, 50, 100)])
    np.testing.assert_allclose(rates / 0.25, [start, middle, end], atol=1e-6)


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle"])
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
