"""Part 3 of the lesson trains for real: more images help, filters help more, and the intervals are Student's."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from cnn_jax import data
from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson import learned, template

SIZES, SEEDS = (40, 400), 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return data.load("x_and_o", data_dir=tmp_path_factory.mktemp("x_and_o"))


@pytest.fixture(scope="module")
def record(dataset: Dataset) -> dict[str, Any]:
    return learned.compute(dataset, sizes=SIZES, seeds=SEEDS)


def test_cnn_learns_more_from_the_same_images(record: dict[str, Any]) -> None:
    assert (record["cnn_means"] > record["logistic_means"] + 0.04).all()
    assert record["cnn_means"][1] > record["cnn_means"][0] + 0.04
    assert record["logistic_means"][0] > 0.65


def test_intervals_are_students(record: dict[str, Any]) -> None:
    for model in ("logistic", "cnn"):
        for row, values in enumerate(record[f"{model}_accuracies"]):
            low, high = stats.t.interval(0.95, SEEDS - 1, loc=np.mean(values), scale=stats.sem(values))
            assert record[f"{model}_means"][row] == pytest.approx((low + high) / 2)
            assert record[f"{model}_margins"][row] == pytest.approx((high - low) / 2)


def test_each_seed_is_another_start_on_other_images(record: dict[str, Any]) -> None:
    assert len({bytes(filters) for filters in record["first_filters"]}) == SEEDS
    assert len(set(record["logistic_accuracies"][0])) > 1


def test_filters_moved_and_their_similarities_are_those_of_the_nearest_templates(record: dict[str, Any]) -> None:
    assert (abs(record["filters"] - record["first_filters"]).max(axis=(1, 2, 3)) > 0.01).all()
    templates = {**template.OF_X, **template.OF_O}
    assert record["template_names"] == list(templates)
    for filters, nearest, similarities in zip(
        record["filters"], record["nearest"], record["similarities"], strict=True
    ):
        for values, index, similarity in zip(filters, nearest, similarities, strict=True):
            all_of_them = [np.corrcoef(values.ravel(), t.ravel())[0, 1] for t in templates.values()]
            assert similarity == pytest.approx(max(all_of_them))
            assert all_of_them[index] == max(all_of_them)


def test_every_array_is_documented(record: dict[str, Any]) -> None:
    sizes = {"S": len(SIZES), "seeds": SEEDS}
    assert {name for name, value in record.items() if isinstance(value, np.ndarray)} == set(learned.ARRAYS)
    for name, said in learned.ARRAYS.items():
        kind, shape = said.partition(":")[0].split(" ", 1)
        axes = [sizes.get(axis) or int(axis) for axis in shape.strip("[]").split(", ")]
        assert (kind, axes) == (str(record[name].dtype), list(record[name].shape))


def test_fewer_images_are_repeated_and_train_with_the_same_program(dataset: Dataset) -> None:
    from cnn_jax.config import Config
    from cnn_jax.training import mesh, programs

    config = Config(dataset="x_and_o", model="logistic")
    training = programs.compile_training(config, dataset.spec, dataset.train[:100], mesh.over_all_devices())
    few = learned._on(training, dataset.train[200:240])
    np.testing.assert_array_equal(few.images[:40], dataset.train.images[200:240])
    np.testing.assert_array_equal(few.images[80:], dataset.train.images[200:220])
    assert len(jax.tree.leaves(few.images)) == 1 and few.examples == 100
