"""The lecture's numbers on pooling, from the real networks."""

import functools
from typing import Any

import numpy as np
import pytest

from cnn_jax.data.dataset import Spec
from cnn_jax.studies.lesson import pooling


@functools.cache
def record(spec: Spec) -> dict[str, Any]:
    return pooling.compute(spec, np.zeros(spec.image_shape, np.uint8))


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds", "values", "fields"),
    [
        ("with_pooling", 104_202, 3_100_032, 1_152, [3, 4, 8, 10, 18]),
        ("without_pooling", 712_202, 47_115_392, 61_952, [3, 5, 7]),
    ],
)
def test_costs_and_fields_are_the_lecture_s(
    drawn_spec: Spec, name: str, parameters: int, multiply_adds: int, values: int, fields: list[int]
) -> None:
    model = record(drawn_spec)[name]
    assert (model["parameters"], model["multiply_adds"]) == (parameters, multiply_adds)
    assert model["last_map"]["activations"] == values
    maps = [layer for layer in model["layers"] if len(layer["shape"]) == 3]
    assert [layer["field"] for layer in maps] == [(size, size) for size in fields]
    assert [layer["measured_field"] for layer in maps] == [(size, size) for size in fields]
    assert all(layer["agrees"] for layer in model["layers"])


def test_thirteen_unpadded_layers_shrink_28_to_2(drawn_spec: Spec) -> None:
    deep = record(drawn_spec)["deep"]
    assert (deep["count"], deep["last_map"]["shape"][:2]) == (13, (2, 2))
    for variant in deep["variants"]:
        width, sides = variant["width"], range(26, 0, -2)  # of the maps, from 26 x 26 to 2 x 2
        weights = [9 * width, *[9 * width * width] * 12]
        assert variant["parameters"] == sum(weights) + 13 * width + 10 * (4 * width + 1)
        products = sum(side * side * weight for side, weight in zip(sides, weights, strict=True))
        assert variant["multiply_adds"] == products + 10 * 4 * width


def test_arrays_are_documented(drawn_spec: Spec) -> None:
    content = record(drawn_spec)
    names = {"image", *(f"{model}/measured/LAYER" for model in ("with_pooling", "without_pooling"))}
    assert pooling.ARRAYS.keys() == names
    assert all(mask.shape == (28, 28) for mask in content["with_pooling"]["measured"].values())
