"""The page of an overfitting study reports its record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import data
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.experiment import Experiment
from cnn_jax.studies.overfitting.numbers import DataSizeResult
from cnn_jax.studies.overfitting.page import console_tables, render_page, sentences
from cnn_jax.studies.overfitting.run import overfitting_record
from tests import fabricated
from tests.browser import Browser, require_sound

SIZES = (100, 1000, 10_000)
NOISE = np.array([[0.001, 0.002, 0.0015], [0.002, 0.0005, 0.0015]])  # of the gaps of each model's seeds
NASTY = fabricated.MACHINE | {"device": "<script>alert(1)</script>", "git_commit": None}


def result(name: str, parameters: int, size: int, gaps: Sequence[float]) -> DataSizeResult:
    test = 0.9 - np.array(gaps)
    accuracies = {"train_accuracy": test + gaps, "test_accuracy": test}
    losses = {"train_loss": 0 * test, "test_loss": 1 - test}
    return DataSizeResult(name, parameters, size, 250, 500, tuple(range(len(gaps))), accuracies | losses)


def record(*names: str, seeds: int = 3) -> dict[str, Any]:
    """Each further model has a larger gap, which is the smaller the more images there are."""
    empty = Split(np.zeros((0, 28, 28, 1), np.uint8), np.zeros(0, np.int32))
    dataset = Dataset(data.spec("mnist"), empty, empty, "f" * 64)
    results = [
        result(name, 1000 * (index + 1), size, (1 + index) * 10 / size + NOISE[index, :seeds])
        for index, name in enumerate(names)
        for size in SIZES
    ]
    return overfitting_record([Experiment().replace(experiment=name) for name in names], results, dataset, NASTY)


def test_page_shows_sentence_figure_and_tables_and_is_sound(tmp_path: Path, browser: Browser) -> None:
    found = record("small", "large")
    page = tmp_path / "overfitting.html"
    page.write_text(render_page(found))
    require_sound(browser, page)
    text = page.read_text().replace("&#34;", '"')
    [sentence] = sentences(found)
    assert sentence in text
    assert sentence.startswith('"Fewer parameters overfit less": holds where a difference is shown. The gap between')
    assert (
        "it is smaller with 100 and 1,000 training images; no difference is shown with 10,000 training images" in text
    )
    assert text.count("<svg") == 1 and "small with 100 images 90.00 % and 79.85 %" in text
    assert "<script>" not in text and "command_line" not in text


def test_single_model_is_compared_with_nothing() -> None:
    found = record("alone")
    assert sentences(found) == ["There is only one model: nothing to compare."]
    [table] = console_tables(found)
    assert table.rows[0][:7] == ["alone", "100", "250", "500", "3", "90.00 %", "79.85 %"]
    assert "Holm" not in render_page(found)


def test_intervals_of_two_seeds_are_explained() -> None:
    *_, last = sentences(record("small", "large", seeds=2))
    assert last.startswith("An interval of two values says little")
