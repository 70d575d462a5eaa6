"""Part 3 of the lesson trains for real: more images help, filters help more, and the intervals are possible."""

import re
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.page import Section
from cnn_jax.studies.lesson import learned, template_matching
from cnn_jax.studies.lesson.formats import percent_with_interval
from cnn_jax.training.compiled import compile_training
from cnn_jax.training.mesh import make_mesh
from tests.studies.lesson.sections import (
    figures,
    require_described_figures,
    require_documented_arrays,
    tables,
    words,
)

SIZES, SEEDS = (40, 400), 3


@pytest.fixture(scope="module")
def record(x_and_o: Dataset) -> dict[str, Any]:
    return learned.compute(x_and_o, sizes=SIZES, seeds=SEEDS)


@pytest.fixture(scope="module")
def section(record: dict[str, Any]) -> Section:
    return learned.section(record)


@pytest.mark.slow
def test_cnn_learns_more_from_the_same_images(record: dict[str, Any]) -> None:
    assert (record["cnn_means"] > record["logistic_means"] + 0.04).all()
    assert record["cnn_means"][1] > record["cnn_means"][0] + 0.04
    assert record["logistic_means"][0] > 0.65


def test_intervals_are_students_where_that_is_possible(record: dict[str, Any]) -> None:
    possible = 0
    for model in ("logistic", "cnn"):
        for row, values in enumerate(record[f"{model}_accuracies"]):
            student = stats.t.interval(0.95, SEEDS - 1, loc=np.mean(values), scale=stats.sem(values))
            mean, (low, high) = record[f"{model}_means"][row], record[f"{model}_intervals"][row]
            assert mean == pytest.approx(sum(student) / 2)
            assert 0 <= low <= mean <= high <= 1
            if student[0] >= 0 and student[1] <= 1:
                assert (low, high) == pytest.approx(student)
                possible += 1
    assert possible


def test_each_seed_is_another_start_on_other_images(record: dict[str, Any]) -> None:
    assert len({bytes(filters) for filters in record["initial_filters"]}) == SEEDS
    assert len(set(record["logistic_accuracies"][0])) > 1


def test_filters_moved_and_their_similarities_are_those_of_the_nearest_templates(record: dict[str, Any]) -> None:
    assert (abs(record["filters"] - record["initial_filters"]).max(axis=(1, 2, 3)) > 0.01).all()
    templates = {**template_matching.OF_X, **template_matching.OF_O}
    assert record["template_names"] == list(templates)
    for filters, nearest, similarities in zip(
        record["filters"], record["nearest"], record["similarities"], strict=True
    ):
        for values, index, similarity in zip(filters, nearest, similarities, strict=True):
            all_of_them = [np.corrcoef(values.ravel(), t.ravel())[0, 1] for t in templates.values()]
            assert similarity == pytest.approx(max(all_of_them))
            assert all_of_them[index] == max(all_of_them)


def test_arrays_are_documented(record: dict[str, Any]) -> None:
    require_documented_arrays(record, learned.ARRAYS, S=len(SIZES), seeds=SEEDS)


def test_section_compares_the_models(record: dict[str, Any], section: Section) -> None:
    logistic, cnn = (100 * record[f"{model}_means"] for model in ("logistic", "cnn"))
    assert (
        f"With 40 training images, logistic regression reaches {logistic[0]:.1f} % and the small CNN {cnn[0]:.1f} %. "
        f"With 400, they reach {logistic[1]:.1f} % and {cnn[1]:.1f} %." in words(section)
    )
    [table] = tables(section)
    assert table.rows[1] == [
        "400",
        *(
            percent_with_interval(record[f"{model}_means"][1], record[f"{model}_intervals"][1])
            for model in ("logistic", "cnn")
        ),
    ]
    require_described_figures(section)


def test_section_shows_the_filters_beside_the_templates(record: dict[str, Any], section: Section) -> None:
    svg = figures(section)[-1].svg
    assert len(re.findall(r">filter \d<", svg)) == 8
    similarities = [f"{value:.2f}" for value in record["similarities"][0]]
    drawn = " ".join(re.findall(r">([^<>]+)<", svg))
    assert sorted(re.findall(r"similarity\s+(\d\.\d\d)", drawn)) == sorted(similarities)
    assert f"before training it was {record['initial_similarities'].mean():.2f}" in words(section)


def test_fewer_images_are_repeated_and_train_with_the_same_program(x_and_o: Dataset) -> None:
    experiment = Experiment().vary(dataset="x_and_o", model="logistic")
    training = compile_training(build(experiment), x_and_o.train[:100], make_mesh())
    few = learned._on(training, x_and_o.train[200:240])
    np.testing.assert_array_equal(few.images[:40], x_and_o.train.images[200:240])
    np.testing.assert_array_equal(few.images[80:], x_and_o.train.images[200:220])
    assert len(jax.tree.leaves(few.images)) == 1 and few.examples == 100
