"""Part 1 of the lesson has the lecture's numbers."""

import numpy as np
import pytest

from cnn_jax.studies.lesson import images


@pytest.fixture(scope="module")
def record() -> dict:
    return images.compute()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("inputs", [784, 120_000]),  # the lecture
        ("dense_parameters", [784 * 512 + 512, 120_000 * 512 + 512]),
        ("convolution_parameters", [9 * 32 + 32, 3 * 9 * 32 + 32]),
        ("convolution_multiply_adds", [26 * 26 * 9 * 32, 198 * 198 * 3 * 9 * 32]),
        ("network_parameters", [104_202, 896 + 18_496 + 73_856 + 46 * 46 * 128 * 2 + 2]),
        ("network_head_parameters", [11_530, 46 * 46 * 128 * 2 + 2]),
    ],
)
def test_what_an_image_costs(record: dict, name: str, numbers: list[int]) -> None:
    assert record[name].tolist() == numbers


def test_every_array_is_documented(record: dict) -> None:
    assert {name for name, value in record.items() if isinstance(value, np.ndarray)} == set(images.ARRAYS)
    for name, said in images.ARRAYS.items():
        assert said.startswith(f"{record[name].dtype} {list(record[name].shape)}: ")


def test_layers_that_are_compared_are_the_lectures(record: dict) -> None:
    assert record["shapes"] == [[28, 28, 1], [200, 200, 3]]
    assert (record["units"], record["filters"]) == (512, 32)
