"""A comparison reports what its runs show, in both directions, and nothing more."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cnn_jax.experiment import Experiment
from cnn_jax.studies.compare.numbers import Variant, comparison_record, variant_names

LABELS = np.zeros(1000, np.int64)


def variant(name: str, wrong: Sequence[Sequence[int]], seeds: Sequence[int] | None = None, **numbers: float) -> Variant:
    """A model each of whose seeds predicts class 1 for its `wrong` images; all images are of class 0."""
    predicted = np.zeros((len(wrong), len(LABELS)), np.int64)
    for seed, indices in enumerate(wrong):
        predicted[seed, list(indices)] = 1
    count = len(wrong)
    values = {"test_loss": 0.1, "train_seconds": 10.0, "images_per_second": 100.0} | numbers
    return Variant(
        name=name,
        config=Experiment().config,
        classes=[str(label) for label in range(10)],
        parameters=1,
        multiply_adds=1,
        seeds=tuple(seeds or range(count)),
        numbers={
            **{number: np.full(count, value) * (1 + 0.01 * np.arange(count)) for number, value in values.items()},
            "test_accuracy": np.mean(predicted == LABELS, axis=1),
        },
        metrics={},
        predicted=predicted,
        rows=[[{"train_loss": 1.0 + seed}, {"train_loss": 0.5}] for seed in range(count)],
        machines=[{}] * count,
    )


GOOD = variant("good", [range(10), range(12), range(11), range(13)])
BAD = variant("bad", [range(50), range(53), range(49), range(52)], train_seconds=20.0)
EQUAL = variant("equal", [range(12), range(11), range(13), range(10)])


def test_verdict_goes_in_each_direction() -> None:
    pairs = {(p["first"], p["second"]): p for p in comparison_record([GOOD, BAD, EQUAL], LABELS)["pairs"]}
    verdicts = {names: pair["verdict"] for names, pair in pairs.items()}
    assert verdicts == {
        ("good", "bad"): "better",
        ("good", "equal"): "no difference shown",
        ("bad", "equal"): "worse",
    }
    difference = pairs["good", "bad"]["test_accuracy"]
    assert difference["mean"] == pytest.approx((40 + 41 + 38 + 39) / 4 / 1000)
    assert difference["images_of_10000"] == pytest.approx(395)
    assert pairs["good", "bad"]["train_seconds_ratio"]["ratio"] == pytest.approx(0.5)


def test_p_values_are_corrected_over_all_pairs() -> None:
    alone = comparison_record([GOOD, BAD], LABELS)["pairs"][0]["test_accuracy"]
    among = comparison_record([GOOD, BAD, EQUAL], LABELS)["pairs"]
    assert alone["p_holm"] == alone["p"]
    raw = sorted(pair["test_accuracy"]["p"] for pair in among)
    assert min(pair["test_accuracy"]["p_holm"] for pair in among) == pytest.approx(3 * raw[0])


def test_pairs_are_taken_over_the_seeds_that_both_have() -> None:
    shifted = dataclasses.replace(BAD, seeds=(3, 2, 1, 7))
    [pair] = comparison_record([GOOD, shifted], LABELS)["pairs"]
    assert pair["seeds"] == [1, 2, 3]
    assert pair["test_accuracy"]["mean"] == pytest.approx(((49 - 12) + (53 - 11) + (50 - 13)) / 3 / 1000)


def test_single_runs_are_judged_by_their_images() -> None:
    one, other = variant("one", [range(20)]), variant("other", [range(10, 50)])
    [pair] = comparison_record([one, other], LABELS)["pairs"]
    assert (pair["mcnemar"]["only_first"], pair["mcnemar"]["only_second"]) == (30, 10)
    assert pair["verdict"] == "better"
    assert (pair["test_accuracy"]["p"], pair["seeds_needed"]) == (None, None)
    assert comparison_record([other, one], LABELS)["pairs"][0]["verdict"] == "worse"
    [near] = comparison_record([one, variant("near", [range(5, 26)])], LABELS)["pairs"]
    assert near["verdict"] == "no difference shown"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_same_runs_show_no_difference_and_all_numbers_are_json(count: int) -> None:
    same = [variant(name, [range(10)] * count) for name in ("one", "other")]
    content = comparison_record(same, LABELS)
    assert json.loads(json.dumps(content, allow_nan=False))["pairs"][0]["seeds"] == list(range(count))
    [pair] = content["pairs"]
    assert (pair["verdict"], pair["test_accuracy"]["mean"]) == ("no difference shown", 0.0)
    assert (pair["only_first_right"], pair["only_second_right"]) == ([], [])


def test_disagreements_are_the_images_with_the_largest_gap() -> None:
    one = variant("one", [[5], [5], [5, 9], [5]])
    other = variant("other", [[3, 5], [3, 5], [3, 4], [3, 4]])
    [pair] = comparison_record([one, other], LABELS)["pairs"]
    assert [
        (image["index"], image["right_share"], image["other_right_share"]) for image in pair["only_first_right"]
    ] == [
        (3, 1.0, 0.0),
        (4, 1.0, 0.5),
    ]
    assert [image["index"] for image in pair["only_second_right"]] == [5, 9]
    assert {image["predicted"] for image in pair["only_first_right"]} == {1}


def test_hardest_images_are_wrong_in_nearly_all_seeds_of_every_model() -> None:
    one = variant("one", [[1, 2, 3]] * 9 + [[1, 3]])
    other = variant("other", [[1, 2]] * 10)
    found = comparison_record([one, other], LABELS)["hardest_images"]
    assert found["count"] == 2
    assert [(image["index"], image["wrong_share"]) for image in found["images"]] == [(1, 1.0), (2, pytest.approx(0.95))]


def test_curves_are_bands_over_the_epochs_that_all_seeds_reached() -> None:
    rows = [[{"train_loss": 4.0}, {"train_loss": 2.0}], [{"train_loss": 2.0, "validation_loss": 1.0}]]
    model = comparison_record([dataclasses.replace(EQUAL.of([0, 1]), rows=rows), GOOD], LABELS)["models"][0]
    assert model["curves"] == {"train_loss": [{"mean": 3.0, "low": 2.0, "high": 4.0}]}


def test_names_tell_models_apart() -> None:
    experiment = Experiment()
    base = experiment.config
    assert variant_names([base, experiment.replace(experiment="dense", seed=3).config]) == ["lecture_cnn", "dense"]
    changed = [base, experiment.vary(pooling=False, seed=4).config]
    assert variant_names(changed) == ["lecture_cnn model.pooling=true", "lecture_cnn model.pooling=false"]
    other_model = [base, experiment.vary(model="logistic").config]
    assert variant_names(other_model) == ["lecture_cnn model=cnn", "lecture_cnn model=logistic"]
    assert variant_names([base, base]) == ["lecture_cnn (1)", "lecture_cnn (2)"]
    changes: list[dict[str, Any]] = [{"epochs": 9}, {"batch_size": 8}, {"seed": 7}]
    several = [base, *(experiment.replace(**change).config for change in changes)]
    few = ["lecture_cnn (1)", "lecture_cnn epochs=9", "lecture_cnn batch_size=8", "lecture_cnn (2)"]
    assert variant_names(several) == few, "what most of them have needs no word"
