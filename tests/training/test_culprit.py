"""What diverged first is named."""

import math

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.errors import DivergedError
from cnn_jax.training import culprit, programs
from cnn_jax.training import mesh as meshes
from cnn_jax.training.fit import begin, fit
from tests.conftest import drawn_split

SPEC = data.spec("mnist")


def test_operation_and_its_place_are_named() -> None:
    def function(x: jax.Array) -> jax.Array:
        with jax.named_scope("here"):
            y = jnp.log(x - 1)
        return y * 2

    assert culprit.first_not_finite(function, jnp.ones(3)) == "log in here"
    assert culprit.first_not_finite(function, jnp.full(3, 2.0)).startswith("no operation")
    assert culprit.first_not_finite(function, jnp.full(3, math.nan)) == "what it started from was not finite already"


def test_step_that_diverged_is_taken_again_to_find_the_operation() -> None:
    config = Config(widths=(4, 8), batch_size=20, optimizer="sgd", learning_rate=1e30)
    training = programs.compile_training(config, SPEC, drawn_split(SPEC, 90, seed=2), meshes.over_all_devices())
    with pytest.raises(DivergedError) as end:
        list(fit(training, begin(training, 0), epochs=1, learning_rate=lambda step: 1e30))
    assert end.value.step == 2
    name = culprit.of_step(config, SPEC, training, training.start(0), end.value.step)
    assert " in " in name and "CNN" in name, name


def test_gradient_that_is_not_finite_is_noticed_at_its_step() -> None:
    config = Config(model="logistic", batch_size=20)
    split = drawn_split(SPEC, 90, seed=2)
    training = programs.compile_training(config, SPEC, split, meshes.over_all_devices())
    one_step = programs.step_function(config, SPEC, training.epoch_steps)
    state = training.start(0)
    huge = jax.tree.map(lambda leaf: jnp.full_like(leaf, 3e38), state.params)
    _, sums = one_step(state.replace(params=huge), training.images[:20], training.targets[:20], jnp.ones(20, bool))
    assert int(sums.diverged_at) == 1
