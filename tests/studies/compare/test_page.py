"""A comparison's page and sentences say what the record holds, and stay small."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cnn_jax.config import Config
from cnn_jax.studies.compare import numbers as comparison
from cnn_jax.studies.compare import page as report
from cnn_jax.studies.compare.numbers import Variant

LABELS = np.resize(np.arange(10), 400)
MACHINE = dict.fromkeys(("device", "cores", "system", "python", "xla_flags", "git_commit"), "x") | {
    "versions": {},
    "runs": 1,
}


def variant(name: str, wrong: Sequence[int], *, seconds: float = 10.0, seeds: int = 3) -> Variant:
    """A model whose seeds are all wrong on these images, and seed i on image 100 + i."""
    predicted = np.stack([LABELS] * seeds)
    for seed in range(seeds):
        places = [*wrong, 100 + seed]
        predicted[seed, places] = (LABELS[places] + 1) % 10
    spread = 1 + 0.01 * np.arange(seeds)
    numbers = dict.fromkeys(("test_loss", "train_seconds", "images_per_second"), seconds * spread)
    numbers["test_accuracy"] = np.mean(predicted == LABELS, axis=1)
    rows = [[{"train_loss": 1.0, "train_accuracy": 0.5}, {"train_loss": 0.5, "train_accuracy": 0.75}]] * seeds
    return Variant(name, Config(), 1, 1, tuple(range(seeds)), numbers, predicted, rows)


def record(*variants: Variant) -> dict[str, Any]:
    about = {"date": "2026-12-01", "dataset": "mnist", "classes": [f"class {i}" for i in range(10)]}
    return {**about, "machines": [MACHINE], "machines_differ_in": [], **comparison.compare(variants, LABELS)}


def images(content: dict[str, Any]) -> dict[int, np.ndarray]:
    noise = np.random.default_rng(0)
    return {index: noise.integers(0, 256, (28, 28, 1), np.uint8) for index in report.images_shown(content)}


ONE, OTHER = variant("one", [1, 2]), variant("other", [2, 3, 4], seconds=30.0)


def test_every_image_of_the_record_is_drawn_once_in_each_gallery() -> None:
    content = record(ONE, OTHER)
    assert report.images_shown(content) == [1, 2, 3, 4]
    page = report.page(content, images(content))
    assert page.count("<image") == 4
    for words in ("class 3 taken for class 4", "class 1 taken for class 2", "class 2 taken for class 3"):
        assert words in page
    content["classes"] = [str(digit) for digit in range(10)]
    assert ">3 taken for 4<" in report.page(content, images(content))


def test_every_figure_has_words() -> None:
    content = record(ONE, OTHER)
    page = report.page(content, images(content))
    words = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(words) == page.count("<figure>") == 8
    assert "Means: one 99.25%; other 99.00%" in words[0]


def test_names_are_escaped() -> None:
    content = record(variant("<script>", [1, 2]), OTHER)
    assert "<script" not in report.page(content, images(content))


def test_many_models_make_no_large_page() -> None:
    content = record(*(variant(f"model {i}", range(10 * i, 10 * i + 9)) for i in range(10)))
    page = report.page(content, images(content))
    assert len(content["pairs"]) == 45
    assert "The first 6 pairs are shown" in page
    assert len(page.encode()) < 2_000_000


@pytest.mark.parametrize("order", [(ONE, OTHER), (OTHER, ONE)])
def test_whoever_is_faster_is_named_first(order: tuple[Variant, Variant]) -> None:
    [sentence] = report.sentences(record(*order))
    assert "one trains 3 times as fast as other" in sentence


def test_no_difference_says_how_many_seeds_would_show_one() -> None:
    content = record(ONE, variant("same", [5, 6]))
    content["pairs"][0]["seeds_needed"] = 1234
    [sentence] = report.sentences(content)
    assert sentence.startswith("No difference shown between one and same: +0.00 points")
    assert "1,234 seeds would show one of 0.05 points with 80 % power" in sentence


def test_test_without_power_is_marked() -> None:
    page = report.page(record(ONE, OTHER), None)
    assert "Wilcoxon's test is powerless" in page.replace("&#39;", "'")
    assert "(powerless)" in page
    assert "powerless" not in report.page(record(variant("a", [1], seeds=6), variant("b", [1, 2], seeds=6)), None)


@pytest.mark.parametrize(("p", "said"), [(None, "-"), (0.0412, "0.041"), (1.0, "1"), (3.21e-7, "3e-07"), (0.0, "0")])
def test_p_values_are_short(p: float | None, said: str) -> None:
    assert report.p_value(p) == said
