"""A layer computes what linen's own layer of this kind does, with the same parameters."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import compilation
from cnn_jax.errors import InputError
from cnn_jax.models.layers import Conv, GlobalAveragePool

IMAGES = jax.random.normal(jax.random.key(0), (3, 9, 8, 4))


def value_and_gradients(module: nn.Module, params: Any, images: jax.Array) -> Any:
    """Outputs, and the gradients of a weighted sum of them for parameters and images."""

    def weighted(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = module.apply({"params": params}, images).astype(jnp.float32)
        return jnp.sum(outputs * jax.random.normal(jax.random.key(1), outputs.shape)), outputs

    return compilation.jit(jax.value_and_grad(weighted, (0, 1), has_aux=True), runs_once=True)(params, images)


@pytest.mark.parametrize(
    ("ours", "stock"),
    [
        ({"padding": "SAME", "strides": 2}, {"padding": "SAME", "strides": 2}),
        ({"padding": ((1, 1), (0, 2)), "strides": 2}, {"padding": ((1, 1), (0, 2)), "strides": 2}),
        ({"groups": 4, "use_bias": False}, {"padding": "VALID", "feature_group_count": 4, "use_bias": False}),
        ({"groups": 2, "padding": "SAME"}, {"padding": "SAME", "feature_group_count": 2}),
    ],
    ids=["strides", "padding", "depthwise", "groups"],
)
def test_convolution_is_linens(ours: dict, stock: dict) -> None:
    one, other = Conv(4, **ours), nn.Conv(4, (3, 3), **stock)
    params = one.init(jax.random.key(2), IMAGES)["params"]
    shapes = jax.eval_shape(functools.partial(other.init, jax.random.key(2)), IMAGES)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4),
        value_and_gradients(one, params, IMAGES),
        value_and_gradients(other, params, IMAGES),
    )


def test_strided_convolution_in_groups_computes_in_bfloat16_and_keeps_float32_parameters() -> None:
    layer = Conv(8, groups=4, strides=2, padding="SAME", dtype=jnp.bfloat16)
    outputs, variables = jax.eval_shape(functools.partial(layer.init_with_output, jax.random.key(0)), IMAGES)
    assert outputs.shape == (3, 5, 4, 8)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        (Conv(4, groups=3), "4 channels and 4 features cannot be divided into 3 equal groups"),
        (Conv(6, groups=4), "cannot be divided into 4 equal groups"),
        (Conv(4, 9), "receives images of 9 x 8 pixels, smaller than its filters of 9 x 9"),
        (Conv(4, 11, padding=((1, 1), (1, 1))), "smaller than its filters of 11 x 11"),
    ],
)
def test_convolution_that_does_not_fit_is_refused(layer: Conv, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        jax.eval_shape(functools.partial(layer.init, jax.random.key(0)), IMAGES)


def test_global_average_pool_is_the_mean_over_positions() -> None:
    pooled = GlobalAveragePool().apply({}, IMAGES)
    np.testing.assert_allclose(pooled, np.asarray(IMAGES, np.float64).mean((1, 2)), rtol=1e-5, atol=1e-6)
