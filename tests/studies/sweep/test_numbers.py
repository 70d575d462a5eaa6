"""The settings are ranked, best first, and scores are listed by each field."""

from typing import Any

import pytest

from cnn_jax.studies.sweep.numbers import NUMBERS, best_setting, is_at_edge, rank, response


def row(settings: dict[str, Any], seed: int, accuracy: float | None, loss: float = 0.5) -> dict[str, Any]:
    numbers = dict.fromkeys(NUMBERS, accuracy) | {"validation_loss": None if accuracy is None else loss}
    return {"settings": settings, "seed": seed, "status": "diverged" if accuracy is None else "done", **numbers}


def test_settings_are_ranked_by_mean_accuracy_and_ties_by_loss() -> None:
    rows = [row({"epochs": 1}, 0, 0.9), row({"epochs": 2}, 0, 0.96), row({"epochs": 3}, 0, 0.95, loss=0.1)]
    rows += [row({"epochs": 1}, 1, 0.7), row({"epochs": 2}, 1, 0.94), row({"epochs": 3}, 1, 0.95, loss=0.2)]
    ranked = rank(rows)
    assert [found["settings"]["epochs"] for found in ranked] == [3, 2, 1]
    assert ranked[0]["validation_loss"]["values"] == [0.1, 0.2]
    assert ranked[2]["validation_accuracy"]["mean"] == pytest.approx(0.8)
    assert best_setting(ranked) is ranked[0]


def test_setting_with_a_diverged_seed_cannot_win() -> None:
    rows = [row({"pooling": True}, 0, 0.99), row({"pooling": True}, 1, None), row({"pooling": False}, 0, 0.5)]
    ranked = rank([*rows, row({"pooling": False}, 1, 0.4), row({"pooling": None}, 0, None)])
    assert [found["settings"]["pooling"] for found in ranked] == [False, True, None]
    assert [found["diverged"] for found in ranked] == [[], [1], [0]]
    assert ranked[2]["validation_accuracy"] is None
    assert best_setting(ranked[1:]) is None


def test_response_has_a_line_for_each_combination_of_the_other_fields() -> None:
    grid = [({"epochs": e, "pooling": p}, 0.5 + 0.1 * e + 0.01 * p) for p in (True, False) for e in (3, 1, 2)]
    rows = [row(settings, seed, accuracy + 0.02 * seed) for settings, accuracy in grid for seed in (0, 1)]
    without, with_pooling = response(rank(rows), "epochs")
    assert [without["others"], with_pooling["others"]] == [{"pooling": False}, {"pooling": True}]
    assert [point["value"] for point in without["points"]] == [1, 2, 3]
    point = with_pooling["points"][0]
    assert [point[name] for name in ("low", "mean", "high")] == pytest.approx([0.61, 0.62, 0.63])
    assert len(response(rank(rows), "pooling")) == 3


def test_best_number_at_an_edge_of_the_tried_values_is_reported() -> None:
    def ends(accuracies: list[float]) -> bool:
        rows = [row({"epochs": 1 + i, "widths": [i]}, 0, accuracy) for i, accuracy in enumerate(accuracies)]
        assert not is_at_edge(rank(rows), "widths")
        return is_at_edge(rank(rows), "epochs")

    assert ends([0.9, 0.8, 0.7]) and ends([0.7, 0.8, 0.9])
    assert not ends([0.7, 0.9, 0.8]) and not ends([0.7, 0.9])
