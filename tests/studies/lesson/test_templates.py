"""Part 2 of the lesson shows what the templates compute."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.report.page import Row, Section
from cnn_jax.studies.lesson import templates
from tests.studies.lesson.sections import (
    figures,
    html,
    require_described_figures,
    require_documented_arrays,
    tables,
    words,
)


@pytest.fixture(scope="module")
def record(x_and_o: Dataset) -> dict[str, Any]:
    return templates.compute(x_and_o)


@pytest.fixture(scope="module")
def section(record: dict[str, Any]) -> Section:
    return templates.section(record)


def test_windows_that_are_shown_step_by_step_agree_with_the_map(record: dict[str, Any]) -> None:
    for place, window, products, mean in zip(
        *(record[f"step_{name}"] for name in ("places", "windows", "products", "responses")), strict=True
    ):
        row, column = place
        np.testing.assert_array_equal(window, record["x"][row : row + 3, column : column + 3])
        np.testing.assert_array_equal(products, window * record["x_templates"][0])
        assert products.sum() / 9 == pytest.approx(mean)
        assert record["x_maps"][0, row, column] == pytest.approx(mean)


def test_the_steps_are_the_lectures(record: dict[str, Any]) -> None:
    assert record["x_template_names"][0] == "left-to-right diagonal"
    assert dict(
        zip(map(tuple, record["step_places"].tolist()), record["step_responses"], strict=True)
    ) == pytest.approx({(0, 0): 7 / 9, (1, 1): 1, (0, 1): -1 / 9})


def test_accuracy_is_that_of_the_test_images(record: dict[str, Any]) -> None:
    assert record["examples"] == 2_000
    assert record["accuracy"] == record["right"] / 2_000
    assert record["accuracy"] == pytest.approx(np.mean(list(record["accuracy_of"].values())))
    assert 0.75 < record["accuracy"] < 0.9


def test_arrays_are_documented(record: dict[str, Any]) -> None:
    require_documented_arrays(record, templates.ARRAYS)


@pytest.mark.slow
def test_section_shows_every_number_of_the_maps(record: dict[str, Any], section: Section) -> None:
    for letter in "xo":
        for name, values in zip(record[f"{letter}_template_names"], record[f"{letter}_maps"], strict=True):
            [figure] = [f for f in figures(section) if f.caption == f"{name[:1].upper()}{name[1:]}."]
            shown = re.findall(r">(-?\d\.\d\d)</text>", figure.svg)
            assert Counter(shown) == Counter(f"{value:.2f}" for value in values.flat)
            assert len(shown) == 49


def test_section_shows_windows_step_by_step(section: Section) -> None:
    shown = html(section).replace("&#39;", "'")
    assert "Window at row 0, column 0: the mean of the products is 7/9 = 0.78." in shown
    assert "Window at row 0, column 1: the mean of the products is -1/9 = -0.11." in shown
    assert shown.count(">+1</text>") + shown.count(">-1</text>") == 3 * 27
    assert any(isinstance(block, Row) and len(block.figures) == 3 for block in section.blocks)


def test_section_reports_the_answers_of_the_templates(record: dict[str, Any], section: Section) -> None:
    assert f"{record['right']:,} of 2,000 test images correctly: {100 * record['accuracy']:.2f} %" in words(section)
    [table] = tables(section)
    assert [row[0] for row in table.rows] == ["X", "O", "both"]
    assert table.rows[0][1] == f"{100 * record['accuracy_of']['X']:.2f} %"
    is_right = record["test_labels"] == record["test_answers"]
    answers = figures(section)[-1].svg
    assert 0 < is_right.sum() < 12
    assert len(re.findall(r">[XO]: correct<", answers)) == is_right.sum()
    assert len(re.findall(r">(?:X: answer O|O: answer X)<", answers)) == (~is_right).sum()
    assert "cross-correlation" in words(section)
    require_described_figures(section)


@pytest.mark.slow
def test_names_are_escaped(record: dict[str, Any]) -> None:
    names = ["<corner>", *record["o_template_names"][1:]]
    assert "<corner>" not in html(templates.section(record | {"o_template_names": names})).lower()
