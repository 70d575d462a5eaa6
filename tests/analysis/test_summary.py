"""The layer table has the lecture's numbers, for any model."""

import pytest

from cnn_jax import models
from cnn_jax.analysis.summary import Layer, layers
from cnn_jax.config import Config

MNIST = (28, 28, 1)


def table(**settings: object) -> list[Layer]:
    return layers(models.build(Config(**settings), 10), MNIST)


def test_lecture_cnn_layer_by_layer() -> None:
    assert table() == [
        Layer("Conv_0", (26, 26, 32), 320, 26 * 26 * 9 * 32),
        Layer("MaxPool_0", (13, 13, 32), 0, 0),
        Layer("Conv_1", (11, 11, 64), 18_496, 11 * 11 * 9 * 32 * 64),
        Layer("MaxPool_1", (5, 5, 64), 0, 0),
        Layer("Conv_2", (3, 3, 128), 73_856, 3 * 3 * 9 * 64 * 128),
        Layer("Flatten_0", (1152,), 0, 0),
        Layer("Dense_0", (10,), 11_530, 11_520),
    ]


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
