"""Feature maps are what the layers give, in the order in which they run, for any module."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.compilation import jit
from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models.summary import feature_maps
from tests.models.branching import INPUTS, Branching


def test_lecture_cnn_has_the_lecture_s_maps_in_order() -> None:
    module, images = build_module(Experiment(), 10), jax.random.uniform(jax.random.key(1), (2, 28, 28, 1))
    params = jit(module.init, runs_once=True)(jax.random.key(0), images)["params"]
    maps = feature_maps(module, {"params": params}, images)
    assert [(name, output.shape[1:]) for name, output in maps.items()] == [
        ("Conv_0", (26, 26, 32)),
        ("MaxPool_0", (13, 13, 32)),
        ("Conv_1", (11, 11, 64)),
        ("MaxPool_1", (5, 5, 64)),
        ("Conv_2", (3, 3, 128)),
        ("Flatten_0", (1152,)),
        ("Dense_0", (10,)),
    ]
    kernel, bias = params["Conv_0"]["kernel"], params["Conv_0"]["bias"]
    window = np.einsum("ijc,ijcf->f", images[0, 5:8, 7:10], kernel) + bias  # the definition, at one place
    np.testing.assert_allclose(maps["Conv_0"][0, 5, 7], window, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        maps["Dense_0"], jit(module.apply, runs_once=True)({"params": params}, images), rtol=1e-5, atol=1e-5
    )


def test_layer_called_twice_gives_two_maps_of_a_module_with_two_inputs() -> None:
    inputs = jax.tree.map(lambda leaf: jnp.ones((1, *leaf.shape[1:])), INPUTS)
    variables = jit(Branching().init, runs_once=True)(jax.random.key(0), inputs)
    maps = feature_maps(Branching(), variables, inputs)
    assert [name for name in maps if "same" in name] == ["Residual_0/same", "Residual_0/same (call 2)"]
    assert list(maps)[-2:] == ["digit", "is_large"]
    assert maps["Dense_0"].shape == (1, 5)
