"""The verdict: the lecture's two runs may differ by chance, and the stored seeds show that its statement is right."""

import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest

from cnn_jax.studies.lesson import verdict
from cnn_jax.studies.lesson.results import Run
from tests.conftest import PROJECT
from tests.studies.lesson.sections import require_documented_arrays, tables, words

SCRIPT = PROJECT / "experiments/results/lesson_comparison.py"
LABELS = np.zeros(6, np.int32)
RUN = Run("one", [], 0.5, 1.0, 10, np.eye(3, dtype=np.float32)[LABELS], LABELS)


def test_the_lecture_s_difference_is_five_images_and_may_be_chance() -> None:
    record = verdict.compute([])
    lecture = record["lecture"]
    assert lecture["images"] == 5
    assert round(lecture["z"], 2) == 0.37
    np.testing.assert_allclose(lecture["p"], 0.714, atol=1e-3)  # 2 (1 - Phi(0.367)), from a table
    assert (
        "The lecture's network with pooling and its network without pooling: 99.09 % and 99.04 % of 10,000 images. "
        "They differ by 5 images, z = 0.37: the difference may be chance."
    ) in words(verdict.section(record))
    require_documented_arrays(record, verdict.ARRAYS)


def test_every_pair_of_runs_is_compared() -> None:
    runs = [RUN, replace(RUN, name="other", test_accuracy=4 / 6), replace(RUN, name="third")]
    record = verdict.compute(runs)
    assert [pair["images"] for pair in record["differences"]] == [2, 0, -2]
    assert "one and other: 100.00 % and 66.67 % of 6 images. They differ by 2 images" in words(verdict.section(record))


def test_section_shows_the_stored_comparison_and_comes_to_one_verdict() -> None:
    section = verdict.section(verdict.compute([RUN]))
    [table] = tables(section)
    assert [row[:3] for row in table.rows] == [
        ["lecture_cnn", "104,202", "10"],
        ["lecture_cnn_no_pooling", "712,202", "6"],
        ["dense", "407,050", "10"],
    ]
    assert "lecture_cnn is better than lecture_cnn_no_pooling: +0.22 percentage points" in words(section)
    assert words(section).count("So the statement is right") == 1


def test_stored_comparison_is_that_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
