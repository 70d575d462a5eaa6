"""A comparison's page and sentences report the record of its runs, and the page stays small."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.experiment import Experiment
from cnn_jax.runs.finished import finished_seeds
from cnn_jax.studies.compare.numbers import comparison_record
from cnn_jax.studies.compare.page import console_tables, images_shown, remarks, render_page, sentences
from cnn_jax.studies.compare.run import Model as Found
from cnn_jax.studies.compare.run import read_variants
from cnn_jax.training.losses import accuracy
from tests import fabricated

Model = tuple[str, Sequence[int], dict[str, Any]]
Compared = Callable[..., dict[str, Any]]


def model(name: str, wrong: Sequence[int], *, seeds: int = 3, **changes: Any) -> Model:
    """A model whose seeds are all wrong on these images, and seed i also on image 100 + i."""
    return name, [[*wrong, 100 + seed] for seed in range(seeds)], changes


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    """The record of fabricated runs of these models."""

    def record(*models: Model) -> dict[str, Any]:
        found = []
        for number, (name, wrong, changes) in enumerate(models):
            experiment = Experiment(metrics=dict.fromkeys(changes.get("metrics", {}), accuracy))
            experiment = experiment.vary(experiment=name, model="logistic", dataset="fashion_mnist")
            runs = finished_seeds(fabricated.seeds(tmp_path / str(number), experiment, wrong, **changes))
            found.append(Found(experiment, runs))
        return comparison_record(*read_variants(found))

    return record


def images(record: dict[str, Any]) -> dict[int, np.ndarray]:
    noise = np.random.default_rng(0)
    return {index: noise.integers(0, 256, (28, 28, 1), np.uint8) for index in images_shown(record)}


ONE, OTHER = model("one", [1, 2]), model("other", [2, 3, 4], train_seconds=30.0)


@pytest.mark.slow
def test_every_image_of_the_record_is_drawn_once_in_each_gallery(compared: Compared) -> None:
    record = compared(ONE, OTHER)
    assert images_shown(record) == [1, 2, 3, 4]
    page = render_page(record, images(record))
    assert page.count("<image") == 4
    for words in ("Dress predicted as Coat", "Trouser predicted as Pullover", "Pullover predicted as Dress"):
        assert words in page
    record["classes"] = data.spec("mnist").classes
    assert ">3 predicted 4<" in render_page(record, images(record))


def test_every_figure_has_words(compared: Compared) -> None:
    record = compared(ONE, OTHER)
    page = render_page(record, images(record))
    words = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(words) == page.count("<figure>") == 8
    assert "Means: one 99.70 %; other 99.60 %" in words[0]


@pytest.mark.slow
def test_names_are_escaped(compared: Compared) -> None:
    nasty = fabricated.MACHINE | {"device": "<script>alert(1)</script>"}
    record = compared(model("one", [1, 2], machine=nasty), OTHER)
    assert "<script" not in render_page(record, images(record))
    assert "&lt;script&gt;" in render_page(record, None)


@pytest.mark.slow
def test_many_models_make_no_large_page(compared: Compared) -> None:
    record = compared(*(model(f"model{i}", range(10 * i, 10 * i + 9)) for i in range(10)))
    page = render_page(record, images(record))
    assert len(record["pairs"]) == 45
    assert "Only the first 6 pairs are shown" in page
    assert len(page.encode()) < 2_000_000


@pytest.mark.parametrize("order", [(ONE, OTHER), (OTHER, ONE)])
def test_the_faster_model_is_named_first(compared: Compared, order: tuple[Model, Model]) -> None:
    [sentence] = sentences(compared(*order))
    assert sentence.endswith("one trains 3 times as fast as other.")


def test_no_difference_says_how_many_seeds_would_show_one(compared: Compared) -> None:
    wrong = [[0, 1, 2], [0], [0, 1]]
    record = compared(("one", wrong, {}), ("same", wrong[::-1], {}))
    [sentence] = sentences(record)
    assert sentence.startswith("No difference shown between one and same: +0.00 percentage points")
    needed = record["pairs"][0]["seeds_needed"]
    assert needed > 10 and f" {needed:,} seeds would show a difference of 0.05 points with 80 % power" in sentence


@pytest.mark.slow
def test_wilcoxon_s_test_of_few_seeds_is_marked(compared: Compared) -> None:
    record = compared(ONE, OTHER)
    page = render_page(record, None)
    assert "Wilcoxon's test needs six seeds or more: with fewer, its p is at least 0.25" in page.replace("&#39;", "'")
    assert "(too few seeds)" in page
    many = compared(model("a", [1], seeds=6), model("b", [1, 2], seeds=6))
    assert "few seeds" not in render_page(many, None) and "six seeds" not in render_page(many, None)


def test_intervals_of_few_seeds_are_possible_and_explained_once(compared: Compared) -> None:
    few = compared(("a", [[], [1, 2, 3]], {}), ("b", [[1], [1, 2, 3]], {}))
    page = render_page(few, None)
    for remark in ("Some intervals are not even around the mean", "An interval of two values says little"):
        assert page.count(remark) == 1
    low, high = few["models"][0]["test_accuracy"]["interval"]
    assert 0 < low < 0.9985 < high == 1
    assert remarks(compared(model("c", range(100)), model("d", range(50)))) == []


@pytest.mark.slow
def test_own_metrics_have_an_interval_and_no_verdict(compared: Compared) -> None:
    without = compared(model("a", [1]), model("b", [1, 2]))
    assert "own metrics" not in render_page(without, None) and len(console_tables(without)) == 4
    record = compared(model("c", [1], metrics={"confidence": [0.7, 0.8, 0.75]}), model("d", [1, 2]))
    _, table, *_ = console_tables(record)
    assert [list(row) for row in table.rows] == [["c", "confidence", "0.75", "0.05", "0.6258 to 0.8742"]]
    assert [[*pair["test_accuracy"], *pair["test_loss"]] for pair in record["pairs"]] == [
        [*pair["test_accuracy"], *pair["test_loss"]] for pair in without["pairs"]
    ]
    page = render_page(record, None).replace("&#39;", "'")
    assert table.title in page and re.search("<td[^>]*>0.6258 to 0.8742</td>", page)
    assert "they take no part in any test or verdict" in page


def test_settings_of_parts_are_rows_of_their_own(compared: Compared) -> None:
    record = compared(ONE, OTHER)
    record["models"][0]["config"]["model"] = {"name": "cnn", "pooling": True, "widths": [4, 8]}
    record["models"][1]["config"]["augment"] = [{"name": "shift", "pixels": 3}]
    page = render_page(record, None)
    rows = [("model", "cnn", "logistic"), ("model.pooling", "true", "-"), ("model.widths", "4,8", "-")]
    for row in [*rows, ("augment.shift.pixels", "-", "3")]:
        cells = "".join(f"<td[^>]*>{cell}</td>" for cell in row)
        assert re.search(cells, page), row
    assert "{" not in page.partition("Settings in which the models differ")[2].partition("</table>")[0]


def test_every_model_and_pair_is_a_row_of_the_console_s_tables(compared: Compared) -> None:
    record = compared(ONE, OTHER, model("third", [5]))
    scores, costs, accuracy, others = console_tables(record)
    assert [row[0] for row in scores.rows] == [row[0] for row in costs.rows] == ["one", "other", "third"]
    assert [row[0] for row in accuracy.rows] == [row[0] for row in others.rows]
    assert accuracy.rows[0][:6] == ["one - other", "no difference shown", "3", "+0.100", "-", "+10.0"]
