"""Part 2 of the lesson shows what the templates compute."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.studies.lesson import templates


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return templates.compute(data.load("x_and_o", data_dir=tmp_path_factory.mktemp("x_and_o")))


def test_windows_worked_out_step_by_step_come_to_the_map(record: dict) -> None:
    for place, window, products, mean in zip(
        *(record[f"step_{name}"] for name in ("places", "windows", "products", "responses")), strict=True
    ):
        row, column = place
        np.testing.assert_array_equal(window, record["x"][row : row + 3, column : column + 3])
        np.testing.assert_array_equal(products, window * record["x_templates"][0])
        assert products.sum() / 9 == pytest.approx(mean)
        assert record["x_maps"][0, row, column] == pytest.approx(mean)


def test_the_steps_are_the_lectures(record: dict) -> None:
    assert record["x_template_names"][0] == "left-to-right diagonal"
    assert dict(
        zip(map(tuple, record["step_places"].tolist()), record["step_responses"], strict=True)
    ) == pytest.approx({(0, 0): 7 / 9, (1, 1): 1, (0, 1): -1 / 9})


def test_accuracy_is_that_of_the_test_images(record: dict, tmp_path: Path) -> None:
    assert record["examples"] == 2_000
    assert record["accuracy"] == record["right"] / 2_000
    assert record["accuracy"] == pytest.approx(np.mean(list(record["accuracy_of"].values())))
    assert 0.75 < record["accuracy"] < 0.9


def test_every_array_is_documented(record: dict) -> None:
    assert {name for name, value in record.items() if isinstance(value, np.ndarray)} == set(templates.ARRAYS)
    for name, said in templates.ARRAYS.items():
        assert said.startswith(f"{record[name].dtype} {list(record[name].shape)}: ")
