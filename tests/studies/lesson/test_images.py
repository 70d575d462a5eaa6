"""Part 1 of the lesson has the lecture's numbers, in its record and on the page."""

from typing import Any

import pytest

from cnn_jax.report.page import Section
from cnn_jax.studies.lesson import images
from tests.studies.lesson.sections import (
    figures,
    html,
    require_described_figures,
    require_documented_arrays,
    tables,
)


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return images.compute()


@pytest.fixture(scope="module")
def section(record: dict[str, Any]) -> Section:
    return images.section(record)


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
def test_parameters_and_multiply_adds(record: dict[str, Any], name: str, numbers: list[int]) -> None:
    assert record[name].tolist() == numbers


def test_layers_that_are_compared_are_the_lectures(record: dict[str, Any]) -> None:
    assert record["shapes"] == [[28, 28, 1], [200, 200, 3]]
    assert (record["units"], record["filters"]) == (512, 32)


def test_arrays_are_documented(record: dict[str, Any]) -> None:
    require_documented_arrays(record, images.ARRAYS)


def test_section_has_the_counts_in_text_table_and_picture(section: Section) -> None:
    assert html(section).count("61,440,512") >= 4
    assert "541,698 of 634,946" in html(section)
    [table] = tables(section)
    assert table.rows[0] == ["numbers in the image", "784", "120,000"]
    assert len(figures(section)) == 2
    require_described_figures(section)
