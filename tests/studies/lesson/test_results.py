"""The results of runs: confusion matrices, the worst mistakes first, and whether a difference may be chance."""

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


def test_the_lecture_s_difference_is_five_images_and_may_be_chance() -> None:
    record = results.compute([run("one", [0] * 6, [1] * 6)], IMAGES, "abc")
    lecture = record["lecture"]
    assert lecture["images"] == 5
    assert round(lecture["z"], 2) == 0.37
    np.testing.assert_allclose(lecture["p"], 0.714, atol=1e-3)  # 2 (1 - Phi(0.367)), from a table
    assert str(results.section(record).blocks[-2]) == (
        "The lecture's network with pooling and the lecture's network without pooling: 99.09 % and 99.04 % of 10,000 "
        "images. They differ by 5 images, z = 0.37: the difference may be chance."
    )


def test_mistakes_are_counted_and_sorted_by_loss() -> None:
    record = results.compute([run("one", [0, 2, 2, 0, 0, 0], [1, 1, 1, 3, 2, 1])], IMAGES, "abc")
    [found] = record["runs"]
    np.testing.assert_array_equal(found["confusion"], [[2, 0, 0], [1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(found["wrong"], [3, 4, 1])
    np.testing.assert_allclose(found["wrong_losses"], [np.log(2 + np.exp(c)) for c in (3, 2, 1)], rtol=1e-6)
    np.testing.assert_array_equal(found["wrong_images"], IMAGES[[3, 4, 1]])
    require_documented_arrays(record, results.ARRAYS)


def test_section_shows_runs_mistakes_and_each_pair() -> None:
    runs = [run("one", [0, 1, 2, 2, 1, 0], [1] * 6), run("other", [0, 1, 2, 2, 0, 1], [1, 1, 1, 1, 2, 3])]
    record = results.compute(runs, IMAGES, "abc")
    assert [pair["images"] for pair in record["differences"]] == [2]
    section = results.section(record)
    assert "One and other: 100.00 % and 66.67 % of 6 images. They differ by 2 images" in words(section)
    [table] = tables(section)
    assert [(row[0], row[4], row[5]) for row in table.rows] == [
        ("one", "100.00", "0 of 6"),
        ("other", "66.67", "2 of 6"),
    ]
    captions = [figure.caption for figure in figures(section)]
    assert [caption.split(":")[0] for caption in captions[1:]] == ["one", "other", "other"]
    wrong = figures(section)[-1].svg
    assert ">a, answer b</text>" in wrong
    assert ">b, answer a</text>" in wrong
    require_described_figures(section)
