"""The layer table has the lecture's numbers, for any model."""

import jax
import jax.numpy as jnp
import pytest

from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models.summary import Layer, layers

MNIST = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)


def table(**settings: object) -> list[Layer]:
    return layers(build_module(Experiment().vary(**settings), 10), MNIST)


def test_lecture_cnn_layer_by_layer() -> None:
    rows = [(row.name, row.input_shape, row.output_shape, row.parameters, row.multiply_adds) for row in table()]
    assert rows == [
        ("Conv_0", (28, 28, 1), (26, 26, 32), 320, 26 * 26 * 9 * 32),
        ("MaxPool_0", (26, 26, 32), (13, 13, 32), 0, 0),
        ("Conv_1", (13, 13, 32), (11, 11, 64), 18_496, 11 * 11 * 9 * 32 * 64),
        ("MaxPool_1", (11, 11, 64), (5, 5, 64), 0, 0),
        ("Conv_2", (5, 5, 64), (3, 3, 128), 73_856, 3 * 3 * 9 * 64 * 128),
        ("Flatten_0", (3, 3, 128), (1152,), 0, 0),
        ("Dense_0", (1152,), (10,), 11_530, 11_520),
    ]


def test_a_layer_runs_by_itself() -> None:
    for layer in table():
        images = jax.ShapeDtypeStruct((3, *layer.input_shape), jnp.float32)
        assert jax.eval_shape(layer.module.apply, {"params": layer.params}, images).shape == (3, *layer.output_shape)


@pytest.mark.parametrize(
    ("settings", "parameters", "multiply_adds"),
    [
        ({}, 104_202, 3_100_032),
        ({"pooling": False}, 712_202, 47_115_392),
        ({"model": "logistic"}, 7_850, 7_840),
        ({"model": "dense"}, 407_050, 784 * 512 + 5120),
    ],
)
def test_totals(settings: dict, parameters: int, multiply_adds: int) -> None:
    rows = table(**settings)
    assert sum(row.parameters for row in rows) == parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds
