"""The gaps of models are compared seed by seed, and the claim follows from what is shown."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from cnn_jax.studies.overfitting.numbers import MEASURES, DataSizeResult, compare, epochs_for


def trained(
    name: str, gaps: Sequence[float], *, parameters: int, size: int = 100, seeds: Sequence[int] | None = None
) -> DataSizeResult:
    """A model that is right on all training images, and has these gaps."""
    test = 1 - np.asarray(gaps)
    scores = {"train_accuracy": np.ones(len(test)), "test_accuracy": test}
    losses = {"train_loss": 0 * test, "test_loss": 1 - test}
    return DataSizeResult(name, parameters, size, 250, 500, tuple(seeds or range(len(test))), scores | losses)


SMALL, LARGE = (0.10, 0.11, 0.12, 0.10), (0.20, 0.22, 0.21, 0.20)


def statement(*results: DataSizeResult) -> str:
    [verdict] = compare(results)["verdicts"]
    return verdict["fewer_parameters_overfit_less"]


@pytest.mark.parametrize(
    ("examples", "batch_size", "epochs", "expected"),
    [(100, 64, 5, 250), (60_000, 64, 5, 5), (64, 64, 5, 500), (63, 64, 5, 500), (10_000, 64, 1, 4), (1, 64, 5, 500)],
)
def test_few_images_get_enough_epochs_for_the_least_number_of_steps(
    examples: int, batch_size: int, epochs: int, expected: int
) -> None:
    assert epochs_for(examples, batch_size, epochs, least_steps=500) == expected


def test_claim_holds_when_fewer_parameters_have_the_smaller_gap() -> None:
    fewer, more = trained("few", SMALL, parameters=10), trained("many", LARGE, parameters=20)
    assert statement(fewer, more) == "holds"
    assert statement(more, fewer) == "holds", "whichever is named first"
    [pair] = compare([more, fewer])["pairs"]
    assert (pair["fewer"], pair["more"], pair["verdict"]) == ("few", "many", "smaller")
    assert pair["gap"]["mean"] == pytest.approx(np.mean(SMALL) - np.mean(LARGE))
    assert pair["test_accuracy"]["mean"] == pytest.approx(np.mean(LARGE) - np.mean(SMALL))


def test_claim_does_not_hold_when_fewer_parameters_have_the_larger_gap() -> None:
    assert statement(trained("few", LARGE, parameters=10), trained("many", SMALL, parameters=20)) == "does not hold"


def test_claim_is_not_shown_without_a_significant_difference() -> None:
    alike = (0.11, 0.10, 0.10, 0.12)
    assert statement(trained("few", SMALL, parameters=10), trained("many", alike, parameters=20)) == "not shown"
    single = [trained(name, [gap], parameters=p) for name, gap, p in (("few", 0.1, 10), ("many", 0.2, 20))]
    assert statement(*single) == "not shown"
    assert "equally many" in statement(trained("a", SMALL, parameters=5), trained("b", LARGE, parameters=5))


def test_sizes_may_disagree() -> None:
    few = [trained("few", gaps, parameters=10, size=size) for size, gaps in ((100, SMALL), (300, LARGE))]
    many = [trained("many", gaps, parameters=20, size=size) for size, gaps in ((100, LARGE), (300, SMALL))]
    assert statement(*few, *many) == "depends on the number of images"
    [verdict] = compare([*few, *many])["verdicts"]
    assert (verdict["sizes"]["smaller"], verdict["sizes"]["larger"]) == ([100], [300])
    undecided = [*few[:1], trained("few", SMALL, parameters=10, size=300)]
    assert statement(*undecided, many[0], trained("many", SMALL[::-1], parameters=20, size=300)) == (
        "holds where a difference is shown"
    )


def test_sizes_and_seeds_of_only_one_model_are_not_compared() -> None:
    few = [trained("few", SMALL, parameters=10), trained("few", SMALL, parameters=10, size=300)]
    many = trained("many", LARGE[1:], parameters=20, seeds=(1, 2, 3))
    [pair] = compare([*few, many])["pairs"]
    assert (pair["train_examples"], pair["seeds"]) == (100, [1, 2, 3])
    assert pair["gap"]["mean"] == pytest.approx(np.mean(SMALL[1:]) - np.mean(LARGE[1:]))


def test_p_values_are_corrected_over_all_sizes() -> None:
    few = [trained("few", SMALL, parameters=10, size=size) for size in (100, 300, 1000)]
    many = [trained("many", LARGE, parameters=20, size=size) for size in (100, 300, 1000)]
    for pair in compare([*few, *many])["pairs"]:
        assert pair["gap"]["p_holm"] == pytest.approx(3 * pair["gap"]["p"])


def test_record_is_json_without_nan() -> None:
    results = [trained("few", [0.1, 0.1], parameters=10), trained("many", [0.1, 0.1], parameters=20)]
    json.dumps(compare(results), allow_nan=False)
    assert set(MEASURES) < compare(results)["learners"][0].keys()
