"""An evaluation's page escapes what it shows, and says what a stranger has to know of its numbers."""

import re
from typing import Any

import numpy as np

from cnn_jax.studies.evaluation import page as evaluation

NASTY = '<script>alert("x")</script>'


def cell(mean: float, half: float | None = None) -> dict[str, Any]:
    return {"n": 2, "mean": mean, "std": 0.1, "interval": None if half is None else (mean - half, mean + half)}


def record(name: str = "net", seeds: int = 2) -> dict[str, Any]:
    scores = {"loss": 0.1, "accuracy": 0.9, "calibration_error": 0.02}
    bins = [
        {"low": 0.0, "high": 0.5, "count": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "count": 100, "confidence": 0.92, "accuracy": 0.9},
    ]
    ensemble = {"members": 2, "subsets": 1, "quality": scores, "lowest": 0.9, "highest": 0.9}
    machine = {
        "command_line": ["--mode=evaluate"],
        "device": "abacus",
        "cores": 2,
        "system": "wood",
        "git_commit": None,
    }
    run = {
        "name": name,
        "path": f"runs/{name}",
        "trained_on": "mnist",
        "parameters": 7850,
        "seeds": [{"seed": seed, **scores} for seed in range(seeds)],
        "mean": {key: cell(value, 0.001 if seeds > 1 else None) for key, value in scores.items()},
        "reliability": {"single models": bins},
    }
    if seeds > 1:
        run["ensembles"] = [ensemble]
    return {
        "dataset": "mnist",
        "test_examples": 10_000,
        "bins": 15,
        "machine": machine | {"versions": {"jax": "0"}},
        "runs": [run],
    }


def corrupted(name: str = "net") -> dict[str, Any]:
    kind = {"meaning": "moved", "unit": "pixels", "amounts": [0, 1, 2, 3, 4, 5]}
    row = [cell(0.9 - 0.1 * strength, 0.01) for strength in range(6)]
    return record(name) | {"corruptions": {"kinds": {"shift": kind}, "runs": [{"name": name, "mean": {"shift": row}}]}}


def test_interval_is_printed_as_half_its_width() -> None:
    assert evaluation.percent(cell(0.9907, 0.0005)) == "99.07 ± 0.05 %"
    assert evaluation.percent(cell(0.9907)) == "99.07 %"
    assert evaluation.nats(cell(0.0285, 0.0012)) == "0.0285 ± 0.0012"


def test_page_escapes_names_and_needs_no_other_file() -> None:
    samples = {"shift": np.zeros((6, 2, 8, 8, 3), np.uint8)}
    html = evaluation.page(corrupted(NASTY), samples)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"<(link|iframe|object)\b|@import|src=", html)


def test_each_figure_says_in_words_what_it_shows() -> None:
    html = evaluation.page(corrupted(), {"shift": np.zeros((6, 2, 8, 8, 1), np.uint8)})
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', html)
    assert len(labels) == 3
    assert "2.00% calibration error" in labels[0]
    assert "shift" in labels[1]
    assert "net falls from 90% to 40% by shift" in labels[2]


def test_single_seed_has_neither_interval_nor_ensembles() -> None:
    html = evaluation.page(record(seeds=1), {})
    assert not re.search(r"\d ± ", html)
    assert "nsemble" not in html
    assert list(evaluation.remarks(record(seeds=1), record(seeds=1)["runs"][0])) == [
        "expected calibration error 2.00%: over 15 bins; the loss is the mean negative log-likelihood"
    ]


def test_ensemble_of_all_has_no_range() -> None:
    table = evaluation.ensembles(record(), record()["runs"][0])
    assert table.rows == [["2", "1", "90.00 %", "-", "0.1000", "2.00 %"]]
