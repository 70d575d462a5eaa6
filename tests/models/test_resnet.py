"""The residual network is the paper's: written down once more in plain operations, it gives the same numbers."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnn_jax import compilation
from cnn_jax.models.resnet import ResNet
from tests.conftest import first_quick

IMAGES = jax.random.normal(jax.random.key(0), (4, 10, 12, 3))


def channels(numbers: jax.Array) -> jax.Array:
    return jnp.reshape(numbers, (1, 1, 1, -1))


def batch_norm(x: jax.Array, of: dict) -> jax.Array:
    """Ioffe and Szegedy (2015), algorithm 1, in training."""
    mean = jnp.mean(x, (0, 1, 2), keepdims=True)
    variance = jnp.mean(jnp.square(x - mean), (0, 1, 2), keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * channels(of["scale"]) + channels(of["bias"])


def group_norm(x: jax.Array, of: dict) -> jax.Array:
    """Wu and He (2018), eq. 7, with 8 groups of neighbouring channels."""
    groups = jnp.reshape(x, (*x.shape[:3], 8, -1))
    mean = jnp.mean(groups, (1, 2, 4), keepdims=True)
    variance = jnp.mean(jnp.square(groups - mean), (1, 2, 4), keepdims=True)
    x = jnp.reshape((groups - mean) / jnp.sqrt(variance + 1e-6), x.shape)
    return x * channels(of["scale"]) + channels(of["bias"])


def paper(params: dict, norm: Callable[[jax.Array, dict], jax.Array], kind: str) -> jax.Array:
    """He et al. (2016), section 4.2, of depth 8: one block in each stage."""

    def convolve(x: jax.Array, of: dict, stride: int = 1) -> jax.Array:
        around, layout = ((1, 1), (1, 1)), ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, of["kernel"], (stride, stride), around, dimension_numbers=layout)

    x = jnp.maximum(norm(convolve(IMAGES, params["Conv_0"]), params[f"{kind}_0"]), 0)
    for stage, stride in enumerate((1, 2, 2)):
        block = params[f"ResidualBlock_{stage}"]
        branch = jnp.maximum(norm(convolve(x, block["Conv_0"], stride), block[f"{kind}_0"]), 0)
        branch = norm(convolve(branch, block["Conv_1"]), block[f"{kind}_1"])
        shortcut = x[:, ::stride, ::stride]
        zeros = jnp.zeros((*shortcut.shape[:3], branch.shape[3] - shortcut.shape[3]))
        x = jnp.maximum(branch + jnp.concatenate([shortcut, zeros], -1), 0)
    return jnp.mean(x, (1, 2)) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]


@pytest.mark.parametrize(("name", "norm"), first_quick([("batch", batch_norm), ("group", group_norm)]))
def test_logits_and_gradients_are_those_of_the_papers_layers(name: str, norm: Callable) -> None:
    module = ResNet(10, depth=8, norm=name)
    variables = compilation.jit(module.init, runs_once=True)(jax.random.key(1), IMAGES)
    # Other scales than one, so that each is seen.
    params = jax.tree.map(
        lambda leaf: leaf + 0.01 * jnp.arange(leaf.shape[-1]) if leaf.ndim == 1 else leaf, variables["params"]
    )
    weights = jax.random.normal(jax.random.key(2), (4, 10))
    state = {name: variables[name] for name in variables if name != "params"}

    def ours(params: Any) -> jax.Array:
        logits, _ = module.apply({"params": params, **state}, IMAGES, train=True, mutable=list(state))
        return jnp.sum(weights * logits)

    def theirs(params: Any) -> jax.Array:
        return jnp.sum(weights * paper(params, norm, f"{name.capitalize()}Norm"))

    both = [compilation.jit(jax.value_and_grad(loss), runs_once=True)(params) for loss in (ours, theirs)]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), *both)


@pytest.mark.slow
def test_weights_start_normal_with_the_variance_of_he() -> None:
    params = compilation.jit(ResNet(10, depth=8).init, runs_once=True)(jax.random.key(0), IMAGES)["params"]
    for kernel, inputs in (
        (params["ResidualBlock_2"]["Conv_1"]["kernel"], 9 * 64),
        (params["ResidualBlock_1"]["Conv_0"]["kernel"], 9 * 16),
    ):
        np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / inputs), rtol=0.05)  # eq. 10
