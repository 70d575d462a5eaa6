"""The lecture's numbers on pooling, from the real networks."""

from typing import Any

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.models import receptive_field
from cnn_jax.studies.lesson import pooling
from tests.studies.lesson.sections import require_described_figures, require_documented_arrays, tables, words


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    spec = data.spec("mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receptive_field, "PROBES", 16)  # fields are found by fewer; the page of all parts has as many
        return pooling.compute(spec, np.zeros(spec.image_shape, np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds", "values", "fields"),
    [
        ("with_pooling", 104_202, 3_100_032, 1_152, [3, 4, 8, 10, 18]),
        ("without_pooling", 712_202, 47_115_392, 61_952, [3, 5, 7]),
    ],
)
def test_costs_and_fields_are_the_lecture_s(
    record: dict[str, Any], name: str, parameters: int, multiply_adds: int, values: int, fields: list[int]
) -> None:
    model = record[name]
    assert (model["parameters"], model["multiply_adds"]) == (parameters, multiply_adds)
    assert model["last_map"]["activations"] == values
    maps = [layer for layer in model["layers"] if len(layer["shape"]) == 3]
    assert [layer["field"] for layer in maps] == [(size, size) for size in fields]
    assert [layer["measured_field"] for layer in maps] == [(size, size) for size in fields]
    assert all(layer["agrees"] for layer in model["layers"])


def test_thirteen_unpadded_layers_shrink_28_to_2(record: dict[str, Any]) -> None:
    deep = record["deep"]
    assert (deep["count"], deep["last_map"]["shape"][:2]) == (13, (2, 2))
    for variant in deep["variants"]:
        width, sides = variant["width"], range(26, 0, -2)  # of the maps, from 26 x 26 to 2 x 2
        weights = [9 * width, *[9 * width * width] * 12]
        assert variant["parameters"] == sum(weights) + 13 * width + 10 * (4 * width + 1)
        products = sum(side * side * weight for side, weight in zip(sides, weights, strict=True))
        assert variant["multiply_adds"] == products + 10 * 4 * width


def test_example_is_followed_window_by_window(record: dict[str, Any]) -> None:
    windows = record["example"].reshape(2, 2, 2, 2)
    np.testing.assert_array_equal(record["pooled_example"], windows.max(axis=(1, 3)))
    said = words(pooling.section(record))
    for row, column in np.ndindex(2, 2):
        numbers = ", ".join(f"{value:.1f}" for value in windows[row, :, column].ravel())
        assert f"{numbers} gives {record['pooled_example'][row, column]:.1f}" in said


def test_arrays_are_documented(record: dict[str, Any]) -> None:
    require_documented_arrays(record, pooling.ARRAYS)
    assert all(mask.shape == (28, 28) for mask in record["with_pooling"]["measured"].values())


def test_section_says_how_much_pooling_saves_and_that_fields_agree(record: dict[str, Any]) -> None:
    section = pooling.section(record)
    assert "6.8 times fewer parameters (104,202 instead of 712,202)" in words(section)
    assert "15.2 times fewer multiply-adds (3.10 million instead of 47.1 million)" in words(section)
    assert "Three convolutions therefore see 7 x 7 pixels without pooling and 18 x 18 with pooling" in words(section)
    assert "For 12 of 12 layers" in words(section)
    assert "all units together see only 26 x 26 of the 28 x 28 pixels" in words(section)
    pooled, plain, deep = tables(section)
    assert pooled.rows[-1][:5] == ["total", "", "", "", "104,202"]
    assert plain.rows[-1][:5] == ["total", "", "", "", "712,202"]
    variant = record["deep"]["variants"][1]
    assert deep.rows[2] == [
        "without pooling, 13 convolutions of 64 filters",
        f"{variant['parameters']:,}",
        f"{variant['multiply_adds'] / 1e6:.1f}",
        f"{variant['multiply_adds'] / 3_100_032:.1f}",
        f"{variant['activations']:,}",
    ]
    require_described_figures(section)
