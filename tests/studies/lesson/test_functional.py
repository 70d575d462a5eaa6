"""Part 5 of the lesson trains the model with two inputs and two outputs, and reports both outputs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson import functional
from tests.studies.lesson.sections import require_described_figures, require_documented_arrays, tables, words

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture(scope="module")
def record(drawn_digits: Dataset) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "EPOCHS", 1)
        yield functional.compute(drawn_digits)


@pytest.mark.slow
def test_metadata_is_that_of_the_images_and_class_means_are_over_all_of_a_class(
    record: dict[str, Any], drawn_digits: Dataset
) -> None:
    require_documented_arrays(record, functional.ARRAYS)
    images, train = drawn_digits.spec.inputs(record["images"]), drawn_digits.train
    np.testing.assert_allclose(record["metadata"], tasks.with_metadata(images)["metadata"], rtol=1e-6)
    of_threes = drawn_digits.spec.inputs(train.images[train.labels == 3])
    means = np.asarray(tasks.with_metadata(of_threes)["metadata"]).mean(axis=0)
    np.testing.assert_allclose(record["class_means"][3], means, rtol=1e-5)


def test_section_draws_the_graph_and_reports_both_outputs(record: dict[str, Any]) -> None:
    section = functional.section(record)
    means, scores = tables(section)
    assert [row[0] for row in means.rows] == list(record["classes"])
    assert means.rows[3][1:] == [f"{value:.3f}" for value in record["class_means"][3]]
    assert [row[0] for row in scores.rows] == ["which digit is it?", "is it 5 or more?"]
    for row, (name, score) in zip(scores.rows, record["outputs"].items(), strict=True):
        assert row[1:] == [
            f"{record['rows'][-1][f'train_loss/{name}']:.4f}",
            f"{100 * record['rows'][-1][f'train_accuracy/{name}']:.2f}",
            f"{score['loss']:.4f}",
            f"{100 * score['accuracy']:.2f}",
        ]
    assert f"on 300 images of mnist. It has {record['parameters']:,} parameters" in words(section)
    assert {"Conv_2", "digit", "five_or_more"} <= {node["name"] for node in record["graph"]["nodes"]}
    require_described_figures(section)
