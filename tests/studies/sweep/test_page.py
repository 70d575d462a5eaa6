"""The page of a sweep is sound for every reader, whatever was swept, and reports the result."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.experiment import Experiment
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import summarized
from cnn_jax.studies.sweep.numbers import NUMBERS, sweep_record, with_test_scores
from cnn_jax.studies.sweep.page import render_page
from cnn_jax.studies.sweep.space import Choice, Range
from tests import fabricated
from tests.browser import Browser, require_sound

BASE = Experiment().vary(experiment="tiny", validation_examples=100).config
DIMENSIONS = [
    Range("learning_rate", 1e-25, 1e4, is_logarithmic=True),
    Choice("model.widths", ((4, 8), (16,))),
    Choice("train_examples", (None, 100)),
]


def result(seed: int, accuracy: float | None) -> Result:
    """A run of the winner; without an accuracy it diverged."""
    numbers = dict.fromkeys(("compile_seconds", "train_seconds", "host_seconds", "saving_seconds"), 1.0)
    return Result(
        status="diverged" if accuracy is None else "done",
        experiment="tiny",
        dataset="mnist",
        model="cnn",
        parameters=10,
        seed=seed,
        epochs=1,
        steps=10,
        train_loss=0.1,
        train_accuracy=0.9,
        test_loss=accuracy and 0.3,
        test_accuracy=accuracy,
        test_metrics=accuracy and {"cross_entropy": 0.3},
        images_per_second=100.0,
        device="abacus",
        **numbers,
    )


def record(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of these trials. The winner was tested with two seeds, one of which diverged."""
    search = {"sweep": "<script>alert(1)</script>", "samples": 30, "seeds": [0, 1]}
    found = sweep_record(BASE, DIMENSIONS, rows, search, fabricated.MACHINE)
    if found["winner"]:
        found = with_test_scores(found, "winner", summarized([result(2, 0.9), result(3, None)], 2))
    return json.loads(json.dumps(found, allow_nan=False))


def trial(settings: dict[str, Any], seed: int, accuracy: float | None) -> dict[str, Any]:
    numbers = dict.fromkeys(NUMBERS, accuracy) | {"validation_loss": accuracy and 1e20}
    return {"settings": settings, "seed": seed, "status": "done" if accuracy else "diverged", "steps": 10, **numbers}


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Thirty settings over many powers of ten, the last of which diverge. The best has the smallest learning rate."""
    rng = random.Random(0)
    settings = [
        {"learning_rate": 10.0 ** (i - 25), "model.widths": widths, "train_examples": [None, 100][i // 2 % 2]}
        for i, widths in enumerate(15 * [[4, 8], [16]])
    ]
    accuracies = [0.99 if i == 0 else 0.98 * rng.random() for i in range(30) for _ in (0, 1)]
    trials = [(s, seed) for s in settings for seed in (0, 1)]
    return [
        trial(s, seed, accuracy if s["learning_rate"] < 1 else None)
        for (s, seed), accuracy in zip(trials, accuracies, strict=True)
    ]


@pytest.mark.slow
def test_page_of_many_settings_is_sound_and_names_the_winner(
    rows: list[dict[str, Any]], tmp_path: Path, browser: Browser
) -> None:
    found = record(rows)
    page = tmp_path / "sweep.html"
    page.write_text(render_page(found))
    require_sound(browser, page)
    text = page.read_text()
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text
    rate = found["winner"]["settings"]["learning_rate"]
    assert f"The best of 30 settings is learning_rate={rate}, model.widths=" in text
    assert "The best of many tries looks better than it is" in text
    assert f"learning_rate={rate} is the smallest or largest value that was tried" in text
    assert "Diverged: 10 of 60 trials." in text
    assert "(no interval, n = 1), loss 0.3000. Diverged: seed 3." in text
    assert text.count("An interval of two values says little") == 1
    assert text.count("<svg") == 3
    assert "1 diverged" not in text and "0, 2 diverged" in text
    assert "/home" not in text


def test_page_without_a_winner_says_so(rows: list[dict[str, Any]], tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "sweep.html"
    page.write_text(render_page(record([row for row in rows if row["status"] == "diverged"])))
    require_sound(browser, page)
    assert "No setting can win" in page.read_text()
    assert "The winner on the test images" not in page.read_text()
