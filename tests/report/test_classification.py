"""Confusion matrices, the scores of each class and top-5 accuracy are those of scikit-learn."""

import json
from typing import Any

import numpy as np
import pytest

from cnn_jax.report.classification import classification_report, confusion_matrix, top_k_accuracy
from tests.conftest import PROJECT

CASES = json.loads((PROJECT / "tests/reference/classification_reference.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_number_is_the_one_of_scikit_learn(case: dict[str, Any]) -> None:
    logits, labels = np.array(case["logits"]), np.array(case["labels"])
    confusion = confusion_matrix(labels, logits.argmax(axis=1), case["classes"])
    assert confusion.tolist() == case["confusion"]
    found, expected = classification_report(confusion), case["report"]
    for index in range(case["classes"]):
        scores = [found.precision[index], found.recall[index], found.f1[index], found.support[index]]
        np.testing.assert_allclose(scores, [*expected[str(index)].values()], rtol=1e-12)
    np.testing.assert_allclose(found.macro, [*expected["macro avg"].values()][:3], rtol=1e-12)
    np.testing.assert_allclose(found.weighted, [*expected["weighted avg"].values()][:3], rtol=1e-12)
    assert found.accuracy == pytest.approx(expected["accuracy"], rel=1e-12)
    if case["top_5"] is not None:
        assert top_k_accuracy(logits, labels, 5) == pytest.approx(case["top_5"], rel=1e-12)


def test_of_equal_logits_the_first_class_counts_as_in_argmax() -> None:
    logits, labels = np.zeros((3, 8)), np.array([0, 1, 2])
    assert top_k_accuracy(logits, labels, 1) == (logits.argmax(axis=1) == labels).mean()
    assert top_k_accuracy(logits, labels, 2) == pytest.approx(2 / 3)
