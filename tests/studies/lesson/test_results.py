"""The results of runs: whose they are, confusion matrices, and the worst mistakes first."""

import numpy as np

from cnn_jax.studies.lesson import results
from cnn_jax.studies.lesson.results import Run
from tests.studies.lesson.sections import figures, require_described_figures, require_documented_arrays, tables, words

LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
ROWS = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "seconds": 2.0}]
IMAGES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)


def run(name: str, answers: list[int], confidence: list[float]) -> Run:
    logits = np.zeros((6, 3), np.float32)
    logits[np.arange(6), answers] = confidence
    return Run(name, ROWS, 0.5, float(np.mean(np.array(answers) == LABELS)), 10, logits, LABELS)


def test_mistakes_are_counted_and_sorted_by_loss() -> None:
    record = results.compute(
        [run("one", [0, 2, 2, 0, 0, 0], [1, 1, 1, 3, 2, 1])], IMAGES, "abc", {"one": "made by hand"}
    )
    [found] = record["runs"]
    np.testing.assert_array_equal(found["confusion"], [[2, 0, 0], [1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(found["wrong"], [3, 4, 1])
    np.testing.assert_allclose(found["wrong_losses"], [np.log(2 + np.exp(c)) for c in (3, 2, 1)], rtol=1e-6)
    np.testing.assert_array_equal(found["wrong_images"], IMAGES[[3, 4, 1]])
    require_documented_arrays(record, results.ARRAYS)


def test_section_shows_runs_whose_they_are_and_mistakes() -> None:
    runs = [run("one", [0, 1, 2, 2, 1, 0], [1] * 6), run("other", [0, 1, 2, 2, 0, 1], [1, 1, 1, 1, 2, 3])]
    record = results.compute(runs, IMAGES, "abc", {"one": "the run in one", "other": "made by hand"})
    section = results.section(record)
    assert "one: the run in one. other: made by hand." in words(section)
    [table] = tables(section)
    assert [(row[0], row[4], row[5]) for row in table.rows] == [
        ("one", "100.00", "0 of 6"),
        ("other", "66.67", "2 of 6"),
    ]
    captions = [figure.caption for figure in figures(section)]
    assert [caption.split(":")[0] for caption in captions[1:]] == ["one", "other", "other"]
    curves, wrong = figures(section)[0].svg, figures(section)[-1].svg
    assert ">one</text>" in curves and ">other</text>" in curves
    assert ">a, answer b</text>" in wrong
    assert ">b, answer a</text>" in wrong
    require_described_figures(section)
