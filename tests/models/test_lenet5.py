"""LeNet-5 is the paper's: written down once more from its text, it gives the same logits and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax import compilation
from cnn_jax.models.lenet5 import LeNet5

# LeCun et al. (1998), table I: row i, column j is X where map j of C3 reads map i of S2.
TABLE = """
X . . . X X X . . X X X X . X X
X X . . . X X X . . X X X X . X
X X X . . . X X X . . X . X X X
. X X X . . X X X X . . X . X X
. . X X X . . X X X X . X X . X
. . . X X X . . X X X X . X X X
"""
CONNECTED = np.array([[mark == "X" for mark in line.split()] for line in TABLE.strip().splitlines()])


def paper(params: dict, images: jax.Array) -> jax.Array:
    """Section II.B on images [N, 28, 28, 1]."""

    def squash(a: jax.Array) -> jax.Array:
        return 1.7159 * jnp.tanh(a * 2 / 3)

    def convolve(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        maps = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)
        return squash(maps + bias[None, None, None])

    def subsample(x: jax.Array, of: dict) -> jax.Array:
        four = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
        return squash(four * of["scale"][None, None, None] + of["bias"][None, None, None])

    x = jnp.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    x = convolve(x, params["C1"]["kernel"], params["C1"]["bias"])
    x = subsample(x, params["S2"])
    maps, first = [], 0
    for number in range(16):
        read = np.flatnonzero(CONNECTED[:, number])
        filters = params["C3"]["kernel"][..., first : first + len(read), None]
        maps.append(convolve(x[..., read], filters, params["C3"]["bias"][number : number + 1]))
        first += len(read)
    x = subsample(jnp.concatenate(maps, -1), params["S4"])
    x = convolve(x, params["C5"]["kernel"], params["C5"]["bias"])[:, 0, 0]
    x = squash(x @ params["F6"]["kernel"] + params["F6"]["bias"][None])
    return x @ params["output"]["kernel"] + params["output"]["bias"][None]


def test_logits_and_gradients_are_those_of_the_papers_layers() -> None:
    module, images = LeNet5(10), jax.random.uniform(jax.random.key(0), (4, 28, 28, 1))
    params = compilation.jit(module.init, runs_once=True)(jax.random.key(1), images)["params"]
    # Other biases than zero, so that each is seen.
    params = jax.tree.map(lambda leaf: leaf + 0.01 * jnp.arange(leaf.shape[-1]) if leaf.ndim == 1 else leaf, params)
    weights = jax.random.normal(jax.random.key(2), (4, 10))

    def loss(logits: object, params: dict) -> jax.Array:
        return jnp.sum(weights * logits(params, images))  # type: ignore[operator]

    both = [
        compilation.jit(jax.value_and_grad(functools.partial(loss, logits)), runs_once=True)(params)
        for logits in (lambda params, images: module.apply({"params": params}, images), paper)
    ]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *both)


def test_weights_start_uniform_within_the_papers_bound() -> None:
    """Plus or minus 2.4 over the number of inputs of a unit; a map of C3 has 75, 100 or 150 of them."""
    params = compilation.jit(LeNet5(10).init, runs_once=True)(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    assert not any(np.asarray(layer["bias"]).any() for layer in params.values())
    for name, inputs in (("C1", 25), ("C5", 400), ("F6", 120), ("output", 84)):
        largest = np.abs(params[name]["kernel"]).max()
        assert 0.95 * 2.4 / inputs < largest <= 2.4 / inputs
    assert np.abs(params["S2"]["scale"]).max() <= 0.6
    inputs = 25 * CONNECTED.sum(0)
    of_map = np.repeat(np.arange(16), CONNECTED.sum(0))
    for number, kernel in enumerate(np.moveaxis(np.asarray(params["C3"]["kernel"]), -1, 0)):
        bound = 2.4 / inputs[of_map[number]]
        assert 0.6 * bound < np.abs(kernel).max() <= bound


def test_images_of_32_pixels_are_not_padded_and_larger_ones_give_more_units() -> None:
    for side, units in ((20, 120), (28, 120), (32, 120), (36, 480)):
        shapes = jax.eval_shape(LeNet5(10).init, jax.random.key(0), jnp.zeros((1, side, side, 3)))["params"]
        assert shapes["F6"]["kernel"].shape == (units, 84)
        assert shapes["C1"]["kernel"].shape == (5, 5, 3, 6)
