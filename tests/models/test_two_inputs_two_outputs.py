"""The model of two inputs and two outputs, and what it says to wrong ones."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import compilation
from cnn_jax.config import Config, Part
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, build_module

EXPERIMENT = Experiment().vary(model="two_inputs_two_outputs", task="with_metadata", widths=(8, 16))
INPUTS = {"image": jnp.ones((2, 28, 28, 1)), "metadata": jnp.ones((2, 3))}


@pytest.fixture(scope="module")
def params() -> dict:
    return compilation.jit(build_module(EXPERIMENT, 10).init, runs_once=True)(jax.random.key(0), INPUTS)["params"]


@pytest.mark.slow
def test_both_inputs_reach_both_outputs(params: dict) -> None:
    module = build_module(EXPERIMENT, 10)

    def first_logits(inputs: dict) -> dict:
        return {name: logits[:, 0].sum() for name, logits in module.apply({"params": params}, inputs).items()}

    gradients = compilation.jit(jax.jacrev(first_logits), runs_once=True)(INPUTS)
    assert sorted(gradients) == ["digit", "five_or_more"]
    for by_input in gradients.values():
        assert all(np.asarray(by_input[name]).any() for name in ("image", "metadata"))


def test_branch_adds_to_the_trunk(params: dict) -> None:
    silent = params | {"Conv_2": jax.tree.map(jnp.zeros_like, params["Conv_2"])}
    apply = compilation.jit(build_module(EXPERIMENT, 10).apply, runs_once=True)
    logits = apply({"params": silent}, INPUTS)
    changed = silent | {"Conv_1": jax.tree.map(lambda leaf: leaf + 1, silent["Conv_1"])}
    without_branch = apply({"params": changed}, INPUTS)
    np.testing.assert_array_equal(logits["digit"], without_branch["digit"])
    assert np.asarray(logits["digit"]).any()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (INPUTS | {"metadata": jnp.ones((2, 4))}, "input metadata has shape (2, 4), expected (2, 3)"),
        (INPUTS | {"metadata": jnp.ones((5, 3))}, "input metadata has shape (5, 3), expected (2, 3)"),
        (INPUTS | {"image": jnp.ones((2, 28, 28))}, "input image has shape (2, 28, 28), expected (N, H, W, C)"),
        ({"image": jnp.ones((2, 28, 28, 1))}, "needs the inputs image and metadata, but received ['image']"),
        (jnp.ones((2, 28, 28, 1)), "received one array of shape (2, 28, 28, 1)"),
    ],
)
def test_wrong_input_is_named_with_both_shapes(params: dict, inputs: Any, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        build_module(EXPERIMENT, 10).apply({"params": params}, inputs)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"model": "two_inputs_two_outputs"},
            "--task=plain: the model two_inputs_two_outputs needs --task=with_metadata",
        ),
        (
            {"task": "with_metadata"},
            "--task=with_metadata: the model cnn takes one array of images, but this task gives image, metadata",
        ),
    ],
)
def test_model_and_task_that_do_not_go_together_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(Experiment().vary(settings))


def test_other_than_two_widths_are_refused() -> None:
    for widths in ((8,), (8, 16, 32)):
        with pytest.raises(InputError, match=r"--widths=.*: must have 2 members"):
            EXPERIMENT.vary(widths=widths)
        with pytest.raises(InputError, match=r"--model.widths=.*: must have 2 members"):
            Experiment(Config(model=Part("two_inputs_two_outputs", widths=widths), task="with_metadata"))
