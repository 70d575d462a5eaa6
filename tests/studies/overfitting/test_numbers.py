"""The gap between training and test accuracy is compared seed by seed, and the statement goes by what that shows."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from cnn_jax.studies.overfitting import numbers as overfitting
from cnn_jax.studies.overfitting.numbers import Learner, compare, epochs_for


def learner(
    name: str, gaps: Sequence[float], *, parameters: int, size: int = 100, seeds: Sequence[int] | None = None
) -> Learner:
    """A model that knows all that it learned, and has these gaps."""
    test = 1 - np.asarray(gaps)
    scores = {"train_accuracy": np.ones(len(test)), "test_accuracy": test}
    losses = {"train_loss": 0 * test, "test_loss": 1 - test}
    return Learner(name, parameters, size, 250, 500, tuple(seeds or range(len(test))), scores | losses)


SMALL, LARGE = (0.10, 0.11, 0.12, 0.10), (0.20, 0.22, 0.21, 0.20)


def statement(*learners: Learner) -> str:
    [verdict] = compare(learners)["verdicts"]
    return verdict["fewer_parameters_overfit_less"]


@pytest.mark.parametrize(
    ("examples", "batch_size", "epochs", "expected"),
    [(100, 64, 5, 250), (60_000, 64, 5, 5), (64, 64, 5, 500), (63, 64, 5, 500), (10_000, 64, 1, 4), (1, 64, 5, 500)],
)
def test_few_images_are_seen_until_there_are_steps_enough(
    examples: int, batch_size: int, epochs: int, expected: int
) -> None:
    assert epochs_for(examples, batch_size, epochs, least_steps=500) == expected


def test_smaller_gap_of_fewer_parameters_bears_the_statement_out() -> None:
    fewer, more = learner("few", SMALL, parameters=10), learner("many", LARGE, parameters=20)
    assert statement(fewer, more) == "holds"
    assert statement(more, fewer) == "holds", "whichever is named first"
    [pair] = compare([more, fewer])["pairs"]
    assert (pair["fewer"], pair["more"], pair["verdict"]) == ("few", "many", "smaller")
    assert pair["gap"]["mean"] == pytest.approx(np.mean(SMALL) - np.mean(LARGE))
    assert pair["test_accuracy"]["mean"] == pytest.approx(np.mean(LARGE) - np.mean(SMALL))


def test_larger_gap_of_fewer_parameters_contradicts_it() -> None:
    assert statement(learner("few", LARGE, parameters=10), learner("many", SMALL, parameters=20)) == "does not hold"


def test_nothing_is_said_where_nothing_is_shown() -> None:
    alike = (0.11, 0.10, 0.10, 0.12)
    assert statement(learner("few", SMALL, parameters=10), learner("many", alike, parameters=20)) == "not shown"
    single = [learner(name, [gap], parameters=p) for name, gap, p in (("few", 0.1, 10), ("many", 0.2, 20))]
    assert statement(*single) == "not shown"
    assert "equally many" in statement(learner("a", SMALL, parameters=5), learner("b", LARGE, parameters=5))


def test_sizes_may_disagree() -> None:
    few = [learner("few", gaps, parameters=10, size=size) for size, gaps in ((100, SMALL), (300, LARGE))]
    many = [learner("many", gaps, parameters=20, size=size) for size, gaps in ((100, LARGE), (300, SMALL))]
    assert statement(*few, *many) == "depends on the number of images"
    [verdict] = compare([*few, *many])["verdicts"]
    assert (verdict["sizes"]["smaller"], verdict["sizes"]["larger"]) == ([100], [300])
    undecided = [*few[:1], learner("few", SMALL, parameters=10, size=300)]
    assert statement(*undecided, many[0], learner("many", SMALL[::-1], parameters=20, size=300)) == (
        "holds where a difference is shown"
    )


def test_sizes_and_seeds_that_one_alone_has_are_not_compared() -> None:
    few = [learner("few", SMALL, parameters=10), learner("few", SMALL, parameters=10, size=300)]
    many = learner("many", LARGE[1:], parameters=20, seeds=(1, 2, 3))
    [pair] = compare([*few, many])["pairs"]
    assert (pair["train_examples"], pair["seeds"]) == (100, [1, 2, 3])
    assert pair["gap"]["mean"] == pytest.approx(np.mean(SMALL[1:]) - np.mean(LARGE[1:]))


def test_p_values_are_corrected_over_all_sizes() -> None:
    few = [learner("few", SMALL, parameters=10, size=size) for size in (100, 300, 1000)]
    many = [learner("many", LARGE, parameters=20, size=size) for size in (100, 300, 1000)]
    for pair in compare([*few, *many])["pairs"]:
        assert pair["gap"]["p_holm"] == pytest.approx(3 * pair["gap"]["p"])


def test_record_is_json_without_nan() -> None:
    learners = [learner("few", [0.1, 0.1], parameters=10), learner("many", [0.1, 0.1], parameters=20)]
    json.dumps(compare(learners), allow_nan=False)
    assert set(overfitting.MEASURES) < compare(learners)["learners"][0].keys()
