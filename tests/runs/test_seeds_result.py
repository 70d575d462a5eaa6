"""What many seeds came to: mean, deviation and interval, and a file that cannot say otherwise."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.errors import InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import seeds_result
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import summarized


def result(seed: int, loss: float = 0.0, accuracy: float = 0.0, status: str = "done") -> Result:
    is_scored = status in ("done", "stopped")
    return Result(
        status=status,
        experiment="tiny",
        dataset="mnist",
        model="cnn",
        parameters=10,
        seed=seed,
        epochs=1,
        steps=5,
        train_loss=0.5,
        train_accuracy=0.5,
        test_loss=loss if is_scored else None,
        test_accuracy=accuracy if is_scored else None,
        test_examples=10_000 if is_scored else None,
        test_metrics={"cross_entropy": loss} if is_scored else None,
        compile_seconds=1.0,
        train_seconds=2.0,
        host_seconds=0.1,
        saving_seconds=0.0,
        evaluate_seconds=0.5 if is_scored else None,
        images_per_second=100.0,
        device="1 x cpu",
    )


# Student's "The probable error of a mean" (1908), section IX: additional hours of sleep by ten patients.
SLEEP = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_mean_deviation_and_interval_are_students() -> None:
    found = summarized([result(seed, loss) for seed, loss in enumerate(SLEEP)], 10)
    assert (found.status, found.n) == ("done", 10)
    assert found.mean["test_loss"] == pytest.approx(2.33)
    assert found.std["test_loss"] == pytest.approx(2.002249, abs=1e-6)  # R: sd(sleep$extra[11:20])
    assert found.ci95["test_loss"] == pytest.approx([0.8976775, 3.7623225], abs=1e-6)  # R: t.test(...)$conf.int


def test_numbers_without_spread_have_no_interval() -> None:
    found = summarized([result(0, 0.3), result(1, 0.3)], 2)
    assert (found.mean["test_loss"], found.std["test_loss"], found.ci95["test_loss"]) == (0.3, 0.0, None)


def test_one_seed_has_a_mean_and_nothing_else() -> None:
    found = summarized([result(7, 0.3)], 1)
    assert (found.n, found.mean["test_loss"], found.std["test_loss"], found.ci95["test_loss"]) == (1, 0.3, None, None)


def test_seeds_that_are_not_done_are_told_and_not_counted() -> None:
    found = summarized([result(2, 0.5), result(0, 0.3), result(1, status="diverged"), result(3, 9.0, 0, "stopped")], 5)
    assert (found.status, found.n, found.mean["test_loss"]) == ("diverged", 2, 0.4)
    assert [seed.seed for seed in found.seeds] == [0, 1, 2, 3]
    none = summarized([result(0, status="diverged")], 1)
    assert (none.status, none.n, none.mean["test_loss"]) == ("diverged", 0, None)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    for seeds, wanted in (([result(0, 0.1, 0.9), result(1, 0.2, 0.8)], 2), ([result(0, 0.1)], 3), ([result(0)], 1)):
        found = summarized(seeds, wanted)
        (tmp_path / "result.json").write_text(found.to_json())
        assert seeds_result.read_seeds_result(tmp_path / "result.json") == found


def test_intervals_lie_within_the_possible_values() -> None:
    found = summarized([result(0, 0.2, 0.99), result(1, 1.8, 0.9)], 2)
    (least_loss, _), (least, largest) = found.ci95["test_loss"] or (), found.ci95["test_accuracy"] or ()
    assert 0 < least_loss < 1 and 0 < least < 0.945 < largest == 1


def test_own_loss_below_0_has_students_interval() -> None:
    found = summarized([result(0, -1.0), result(1, 2.0)], 2).ci95["test_loss"]
    assert found == pytest.approx([0.5 - 1.5 * 12.706, 0.5 + 1.5 * 12.706], rel=1e-4)


def test_file_of_an_earlier_version_with_impossible_intervals_is_read(tmp_path: Path) -> None:
    found = summarized([result(0, 0.2, 0.9), result(1, 1.8, 0.8)], 2)
    content = json.loads(found.to_json())
    content["ci95"]["test_loss"] = [-9.16, 11.16]  # Student's
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert seeds_result.read_seeds_result(tmp_path / "result.json") == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content["mean"].update(test_accuracy=0.99), "mean is not that of its seeds"),
        (lambda content: content.update(n=10), "n is not that"),
        (lambda content: content.update(status="diverged"), "status is not that"),
        (lambda content: content.update(status=["done"]), "status is not that"),
        (lambda content: content.update(more=1), "'more'"),
        (lambda content: content.pop("std"), "'std'"),
        (lambda content: content.update(seeds=[]), "out of range"),
        (lambda content: content.update(seeds=[7]), "mapping"),
        (lambda content: content["seeds"][0].update(test_loss="0.1"), "test_loss: '0.1'"),
        (lambda content: content["seeds"][0].update(test_loss=1e999), "not a finite number"),
    ],
)
def test_file_that_contradicts_itself_is_refused(tmp_path: Path, change: Callable[[Any], None], said: str) -> None:
    content = json.loads(summarized([result(0, 0.1, 0.9), result(1, 0.2, 0.8)], 2).to_json())
    change(content)
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"not the result of several seeds .*{said}"):
        seeds_result.read_seeds_result(tmp_path / "result.json")


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "[" * 100_000, " " * (1 << 24) + "{}"])
def test_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match="not the result of several seeds"):
        seeds_result.read_seeds_result(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (
            [result(0, 0.03, 0.991), result(1, 0.04, 0.990), result(2, status="diverged")],
            "accuracy 99.05 ± 0.64 % (95 % CI, n = 2)\n",
        ),
        ([result(0, 0.03, 0.998), result(1, 0.04, 0.996)], "accuracy 99.70 (98.43 to 100.00) % (95 % CI, n = 2)\n"),
        ([result(0, 0.03, 0.991), result(1, 0.04, 0.990)], "loss 0.0350 (0.0057 to 0.2150) (95 % CI, n = 2)\n"),
        ([result(0, 0.03, 0.991), result(1, 0.04, 0.990)], "Some intervals are not even around the mean."),
        ([result(0, 0.03, 0.91), result(1, 0.03, 0.92)], "An interval of two values says little:"),
        ([result(0, 0.03, 0.991)], "accuracy 99.10 % (no interval, n = 1)\n"),
        ([result(0, 0.03, 0.991)], "one seed does not show how much seeds differ"),
        ([result(0, status="diverged")], "no seed is done"),
    ],
)
def test_console_says_the_mean_and_how_far_it_can_be_trusted(
    capsys: pytest.CaptureFixture[str], seeds: list[Result], said: str
) -> None:
    Console(progress=False).seeds(dataclasses.asdict(summarized(seeds, len(seeds))))
    assert said in capsys.readouterr().out
