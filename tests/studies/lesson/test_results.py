"""What runs came to: confusions, the worst mistakes first, and whether a difference means anything."""

import numpy as np

from cnn_jax.studies.lesson import results
from cnn_jax.studies.lesson import results_page as report
from cnn_jax.studies.lesson.results import Run

LABELS = np.array([0, 1, 2, 2, 1, 0])
ROWS = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "seconds": 2.0}]


def run(name: str, answers: list[int], confidence: list[float]) -> Run:
    logits = np.zeros((6, 3), np.float32)
    logits[np.arange(6), answers] = confidence
    return Run(name, ROWS, 0.5, float(np.mean(np.array(answers) == LABELS)), 10, logits, LABELS)


IMAGES = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)


def test_the_lecture_s_difference_is_five_images_and_means_nothing() -> None:
    lecture = results.compute([], IMAGES, "abc")["lecture"]
    assert lecture["images"] == 5
    assert round(lecture["z"], 2) == 0.37
    np.testing.assert_allclose(lecture["p"], 0.714, atol=1e-3)  # 2 (1 - Phi(0.367)), from a table
    said = report.section(results.compute([run("one", [0] * 6, [1] * 6)], IMAGES, "abc")).blocks[-2]
    assert "differ by 5 images, z = 0.37: it means nothing" in str(said)


def test_mistakes_are_counted_and_sorted_by_loss() -> None:
    record = results.compute([run("one", [0, 2, 2, 0, 0, 0], [1, 1, 1, 3, 2, 1])], IMAGES, "abc")
    [found] = record["runs"]
    np.testing.assert_array_equal(found["confusion"], [[2, 0, 0], [1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(found["wrong"], [3, 4, 1])
    np.testing.assert_allclose(found["wrong_losses"], [np.log(2 + np.exp(c)) for c in (3, 2, 1)], rtol=1e-6)
    np.testing.assert_array_equal(found["wrong_images"], IMAGES[[3, 4, 1]])


def test_page_says_each_pair_of_runs() -> None:
    runs = [run("one", [0, 1, 2, 2, 1, 0], [1] * 6), run("other", [0, 1, 2, 2, 0, 1], [1] * 6)]
    record = results.compute(runs, IMAGES, "abc")
    assert [pair["images"] for pair in record["differences"]] == [2]
    text = " ".join(block for block in report.section(record).blocks if isinstance(block, str))
    assert "One and other: 100.00 % and 66.67 % of 6 images. They differ by 2 images" in text
