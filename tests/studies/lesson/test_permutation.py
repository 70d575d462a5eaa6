"""Permuted pixels take the CNN's lead away, and nothing from the dense network."""

from typing import Any

import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.studies.lesson import permutation
from cnn_jax.studies.lesson.formats import percent_with_interval
from cnn_jax.training.compiled import compile_inference, compile_training
from cnn_jax.training.mesh import make_mesh
from tests.studies.lesson.sections import require_described_figures, require_documented_arrays, tables, words

SEEDS = 2


@pytest.fixture(scope="module")
def record(drawn_digits: Dataset) -> dict[str, Any]:
    return permutation.compute(drawn_digits, seeds=SEEDS)


@pytest.mark.slow
def test_both_models_are_trained_on_both(record: dict[str, Any]) -> None:
    assert record["accuracies"].shape == (2, 2, 2)
    np.testing.assert_allclose(record["leads"], record["means"][0] - record["means"][1])
    require_documented_arrays(record, permutation.ARRAYS, seeds=SEEDS)


def test_section_reports_the_lead_of_the_cnn(record: dict[str, Any]) -> None:
    section = permutation.section(record)
    known = permutation.section(record | {"leads": np.array([0.032, -0.097])})
    assert (
        "On the original images the CNN is 3.2 points better than the dense network; on the permuted images it is 9.7 "
        "points worse." in words(known)
    )
    assert f"the CNN is {100 * abs(record['leads'][0]):.1f} points" in words(section)
    [table] = tables(section)
    assert table.rows[1][:2] == [
        "dense network",
        percent_with_interval(record["means"][1, 0], record["intervals"][1, 0]),
    ]
    assert table.rows[2][1:] == [
        f"{100 * mean:.1f} ± {50 * (high - low):.1f}"
        for mean, (low, high) in zip(record["leads"], record["lead_intervals"], strict=True)
    ]
    assert "An interval of two values says little" in words(section)
    require_described_figures(section)


def test_permuting_beforehand_is_what_the_task_does_in_the_step(drawn_digits: Dataset) -> None:
    plain, permuted = (build(Experiment().vary(model="logistic", task=task)) for task in ("plain", "permuted"))
    variables = compile_training(plain, drawn_digits.train, make_mesh()).create_state(0).variables
    variables["params"]["Dense_0"]["bias"] += np.arange(10, dtype=np.float32)
    beforehand = permutation._permuted(compile_inference(plain, drawn_digits.test, make_mesh()))
    in_step = compile_inference(permuted, drawn_digits.test, make_mesh())
    np.testing.assert_array_equal(beforehand.logits(variables), in_step.logits(variables))
