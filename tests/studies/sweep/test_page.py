"""The page of a sweep is sound for every reader, whatever was swept, and says what came of it."""

import random
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.config import Config
from cnn_jax.studies.sweep import numbers as analysis
from cnn_jax.studies.sweep import page as sweep
from tests.browser import Browser, require_sound

NAMES = ("learning_rate", "widths", "train_examples")
MACHINE = {
    "device": "1 x abacus",
    "cores": 2,
    "system": "Wood",
    "python": "3.11",
    "xla_flags": None,
    "git_commit": None,
}


def record(rows: list[dict[str, Any]], *, diverged_seed: bool = False) -> dict[str, Any]:
    """The record of these trials, the winner's test runs made up."""
    settings = analysis.ranked(rows)
    best = analysis.winner(settings)
    done = {"status": "done", "test_accuracy": 0.9, "test_loss": 0.3, "train_seconds": 1.0}
    bad = {"status": "diverged", "test_accuracy": None, "test_loss": None, "train_seconds": 1.0}
    numbers = {"test_accuracy": 0.9, "test_loss": 0.3}
    test = {
        "n": 1,
        "mean": numbers,
        "ci95": dict.fromkeys(numbers),
        "seeds": [done | {"seed": 2}, (bad if diverged_seed else done) | {"seed": 3}],
    }
    return {
        "date": "2026-11-24",
        "dataset": "mnist",
        "base": {"experiment": "tiny", "train_examples": None} | {"model": Config().model},
        "machine": MACHINE | {"versions": {"jax": "0.10"}},
        "search": {
            "sweep": "<script>alert(1)</script>",
            "samples": 30,
            "seeds": [0, 1],
            "settings": len(settings),
            "trials": len(rows),
            "diverged": sum(row["status"] == "diverged" for row in rows),
            "validation_examples": 100,
        },
        "fields": [
            {
                "name": name,
                "is_numeric": name == "learning_rate",
                "is_logarithmic": name == "learning_rate",
                "lines": analysis.response(settings, name),
            }
            for name in NAMES
        ],
        "settings": settings,
        "winner": best and best | {"at_the_end": ["learning_rate"], "test": test},
    }


def trial(settings: dict[str, Any], seed: int, accuracy: float | None) -> dict[str, Any]:
    numbers = dict.fromkeys(analysis.NUMBERS, accuracy) | {"validation_loss": accuracy and 1e20}
    return {"settings": settings, "seed": seed, "status": "done" if accuracy else "diverged", **numbers}


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Thirty settings over many powers of ten, the last of which diverge."""
    rng = random.Random(0)
    settings = [
        {"learning_rate": 10.0 ** (i - 25), "widths": [[4, 8], [16]][i % 2], "train_examples": [None, 100][i // 2 % 2]}
        for i in range(30)
    ]
    return [trial(s, seed, rng.random() if s["learning_rate"] < 1 else None) for s in settings for seed in (0, 1)]


def test_page_of_many_settings_is_sound_and_names_the_winner(
    rows: list[dict[str, Any]], tmp_path: Path, browser: Browser
) -> None:
    found = record(rows, diverged_seed=True)
    page = tmp_path / "sweep.html"
    page.write_text(sweep.page(found))
    require_sound(browser, page)
    text = page.read_text()
    assert "<script>" not in text and "&lt;script&gt;alert(1)" in text
    rate = found["winner"]["settings"]["learning_rate"]
    assert f"The best of 30 settings is learning_rate={rate}, widths=" in text
    assert "is an end of what was tried" in text
    assert "Diverged: 10 of 60 trials" in text
    assert "(no interval, n = 1), loss 0.3000. Diverged: seed 3." in text
    assert text.count("<svg") == 3
    assert "1 diverged" not in text and "0, 2 diverged" in text


def test_page_without_a_winner_says_so(rows: list[dict[str, Any]], tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "sweep.html"
    page.write_text(sweep.page(record([row for row in rows if row["status"] == "diverged"])))
    require_sound(browser, page)
    assert "No setting is left to win" in page.read_text()
    assert "The winner on the test images" not in page.read_text()
