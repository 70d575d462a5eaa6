"""The pages of the lesson's first three parts say and draw what their records hold."""

import re
from typing import Any

import numpy as np
import pytest

from cnn_jax.report.page import Figure, Page, Row, Section, Table, render
from cnn_jax.studies.lesson import images_page as images
from cnn_jax.studies.lesson import learned_page as learned
from cnn_jax.studies.lesson import templates_page as templates


def page(section: Section) -> str:
    return render(Page("lesson", "about it", [section], "made by hand"))


@pytest.fixture
def images_record() -> dict[str, Any]:
    pair = {"inputs": [784, 120_000], "convolution_multiply_adds": [3, 4], "network_head_parameters": [11_530, 541_698]}
    pair |= {"dense_parameters": [401_920, 61_440_512], "convolution_parameters": [320, 896]}
    pair |= {"network_parameters": [104_202, 634_946]}
    scenes = np.zeros((2, 4, 4, 3), np.uint8)
    words = {"shapes": [[28, 28, 1], [200, 200, 3]], "units": 512, "filters": 32, "classes": ["X", "O"]}
    return {**words, "scenes": scenes, "scene_labels": np.array([0, 1]), **{n: np.array(p) for n, p in pair.items()}}


@pytest.fixture
def templates_record() -> dict[str, Any]:
    signs = np.sign(np.arange(9).reshape(3, 3) - 3.5)
    return {
        "classes": ["X", "O"],
        "x": np.ones((9, 9)),
        "o": -np.ones((9, 9)),
        "x_template_names": ["falling stroke"],
        "x_templates": signs[None],
        "x_maps": np.full((1, 7, 7), 7 / 9),
        "o_template_names": ["<corner>"],
        "o_templates": -signs[None],
        "o_maps": np.full((1, 7, 7), -5 / 9),
        "step_places": np.array([[2, 4]]),
        "step_windows": signs[None],
        "step_products": np.where(np.arange(9).reshape(1, 3, 3) == 4, -1.0, 1.0),
        "step_responses": np.array([7 / 9]),
        "told_bitmaps": np.ones((2, 9, 9)),
        "told_labels": np.array([0, 1]),
        "told_answers": np.array([0, 0]),
        "accuracy": 0.8125,
        "right": 13,
        "examples": 16,
        "accuracy_of": {"X": 0.875, "O": 0.75},
    }


@pytest.fixture
def learned_record() -> dict[str, Any]:
    filters = np.linspace(-1, 1, 2 * 8 * 9).reshape(2, 8, 3, 3)
    return {
        "sizes": np.array([50, 1_000]),
        "seeds": 2,
        "steps": 640,
        "batch_size": 32,
        "template_accuracy": 0.8,
        "logistic_means": np.array([0.75, 0.84]),
        "logistic_margins": np.array([0.01, 0.02]),
        "cnn_means": np.array([0.83, 0.95]),
        "cnn_margins": np.array([0.03, 0.04]),
        "filters": filters,
        "similarities": np.full((2, 8), 0.66),
        "first_similarities": np.full((2, 8), 0.55),
        "nearest": np.zeros((2, 8), int),
        "template_names": ["crossing"],
        "templates": np.ones((1, 3, 3)),
    }


def test_images_page_has_the_counts_in_text_table_and_picture(images_record: dict[str, Any]) -> None:
    section = images.section(images_record)
    html = page(section)
    assert html.count("61,440,512") >= 4
    assert "541,698 of 634,946" in html
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert table.rows[0] == ["numbers in an image", "784", "120,000"]
    assert len([block for block in section.blocks if isinstance(block, Figure)]) == 2


def test_templates_page_shows_maps_with_numbers_and_one_window_step_by_step(templates_record: dict[str, Any]) -> None:
    section = templates.section(templates_record)
    html = page(section)
    assert html.count(">0.78</text>") == 49 == html.count(">-0.56</text>")
    assert "Window at row 2, column 4: the products' mean is 7/9 = 0.78" in html.replace("&#39;", "'")
    assert html.count(">+1</text>") + html.count(">-1</text>") == 27
    assert "13 right: 81.25 %" in html
    assert "told as X" in html
    assert "cross-correlation" in html
    assert "<corner>" not in html
    assert any(isinstance(block, Row) and len(block.figures) == 3 for block in section.blocks)


def test_learned_page_compares_and_shows_filters_beside_templates(learned_record: dict[str, Any]) -> None:
    html = page(learned.section(learned_record))
    assert "From 50 images they reach 75.0 % (logistic regression) and 83.0 % (small CNN)" in html
    assert "84.0 ± 2.0 %" in html
    assert "95.0 ± 4.0 %" in html
    assert len(re.findall(r">filter \d<", html)) == 8
    assert "0.55 before training" in html


@pytest.mark.parametrize("part", ["images", "templates", "learned"])
def test_every_figure_has_words(part: str, request: pytest.FixtureRequest) -> None:
    section = {"images": images, "templates": templates, "learned": learned}[part].section(
        request.getfixturevalue(f"{part}_record")
    )
    html = page(section)
    assert html.count("<svg") == len(re.findall(r'<svg role="img" aria-label="[^"]{20,}"', html)) > 0
