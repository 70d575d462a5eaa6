"""Two benchmarks: a verdict needs an interval, and a machine that was slower is not taken for slower code."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.errors import InputError, ProjectError
from cnn_jax.experiment import Experiment
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.benchmark import compare, comparison, record
from cnn_jax.studies.benchmark.comparison import FASTER, FEW_ROUNDS, MACHINE, SLOWER, UNDECIDED, WIDE, WITHIN
from cnn_jax.studies.benchmark.record import Measured
from tests.studies.benchmark.made import SECONDS, SLOW_SECONDS, content, measurement, stored, target

times = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)
OPPOSITE = {FASTER: SLOWER, SLOWER: FASTER, UNDECIDED: UNDECIDED}


def compared(before: dict[str, Any], now: dict[str, Any], tolerance: float = 0.1) -> dict[str, Any]:
    return comparison.compare(record.of(before, "before"), record.of(now, "now"), tolerance)


def case_row(
    before: Sequence[float], now: Sequence[float], reference: Any = None, reference_now: Any = None
) -> dict[str, Any]:
    """The comparison of one case by its rounds. The reference takes 1 s by default."""
    rounds = [tuple(before), tuple(now)]
    references = [
        np.ones(len(one)) if of is None else of for one, of in zip(rounds, (reference, reference_now), strict=True)
    ]
    measured = [Measured(1 / np.median(one), one, tuple(of)) for one, of in zip(rounds, references, strict=True)]
    return comparison.compare_case(("inference", "float32", 64), *measured, 0.1, is_same_device=True)


def row(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, str | None]:
    """Verdict and reason of the only case."""
    [found] = compared(content(before), content(now))["rows"]
    return found["verdict"], found["reason"]


def test_verdict_goes_in_each_direction_and_needs_no_overlap() -> None:
    fast, slow = measurement(), measurement(seconds=SLOW_SECONDS)
    assert row(fast, slow) == (SLOWER, None)
    assert row(slow, fast) == (FASTER, None)
    assert row(fast, fast) == (UNDECIDED, WITHIN)


def test_case_is_undecided_where_its_rounds_vary_or_are_few() -> None:
    varying = measurement(seconds=[0.5, 3.0, 1.0, 2.5, 0.7, 1.4, 2.0])
    assert row(measurement(), varying) == (UNDECIDED, WIDE)
    assert row(measurement(), measurement(seconds=[9.0, 9.0])) == (UNDECIDED, FEW_ROUNDS)


def test_machine_that_was_slower_makes_no_verdict_and_slower_code_on_it_does() -> None:
    busy = [0.015] * len(SECONDS)
    assert row(measurement(), measurement(seconds=SLOW_SECONDS, reference=busy)) == (UNDECIDED, MACHINE)
    three_times = [3 * seconds for seconds in SECONDS]
    assert row(measurement(), measurement(seconds=three_times, reference=busy)) == (SLOWER, None)
    # It is as fast as before on a machine that has become faster: no verdict either.
    assert row(measurement(), measurement(reference=[0.005] * len(SECONDS))) == (UNDECIDED, WIDE)


def test_other_device_is_compared_as_measured_and_the_number_of_devices_is_warned_of() -> None:
    one, slow = content(measurement()), measurement(seconds=SLOW_SECONDS, reference=[0.015] * len(SECONDS))
    found = compared(one, content(slow, device="1 x slide rule"))
    assert found["rows"][0]["verdict"] == SLOWER
    assert len(found["warnings"]) == 1 and found["warnings"][0].startswith("The devices differ")
    found = compared(one, content(measurement(), device="8 x abacus"))
    assert found["warnings"][0].startswith("The number of devices differs: 1 x abacus in before, 8 x abacus in now")


@given(times, times)
def test_other_order_gives_the_opposite_verdict_and_the_inverse_interval(
    first: Sequence[float], second: Sequence[float]
) -> None:
    one, other = case_row(first, second), case_row(second, first)
    assert other["verdict"] == OPPOSITE[one["verdict"]]
    assert one["ratio"] * other["ratio"] == pytest.approx(1)
    if one["interval"]:
        np.testing.assert_allclose(one["interval"], [1 / end for end in reversed(other["interval"])])
        assert one["interval"][0] <= one["ratio"] <= one["interval"][1]


@pytest.mark.parametrize("slowdown", [1.0, 1.5])
def test_same_code_on_a_machine_that_drifts_is_not_called_slower_and_slower_code_is(slowdown: float) -> None:
    """Twenty records of a machine whose speed wanders by a factor of four, with bursts in it; each pair of two."""
    rng = np.random.default_rng(0)
    pace = np.exp(np.cumsum(rng.normal(0, 0.05, 20 * 11))).clip(0.5, 2).reshape(20, 11)
    seconds, reference = (pace * np.exp(0.02 * rng.standard_t(3, pace.shape)) for _ in range(2))
    rows = [
        case_row(seconds[one], slowdown * seconds[other], reference[one], reference[other])
        for one, other in itertools.permutations(range(20), 2)
    ]
    found = [row["verdict"] for row in rows]
    if slowdown == 1:
        as_measured = [comparison.verdict(row["as_measured"], 0.1) for row in rows]
        assert as_measured.count(SLOWER) > 100  # what intervals alone would say
        assert found.count(SLOWER) + found.count(FASTER) <= 0.05 * len(rows)
    else:
        assert found.count(FASTER) == 0 and found.count(SLOWER) > 100


def test_time_to_the_same_accuracy_is_compared_by_the_seeds_that_reached_it_in_both() -> None:
    before = content(measurement(), target=target([10.0, 11.0, 12.0, 13.0]))
    now = content(measurement(), target=target([20.0, None, 24.5, 26.0]))
    found = compared(before, now)["rows"][-1]
    assert found["what"] == "training to 99 %" and found["rounds"] == [3, 3]
    assert found["ratio"] == pytest.approx((10 * 12 * 13 / (20 * 24.5 * 26)) ** (1 / 3))
    assert found["verdict"] == SLOWER
    other = content(measurement(), target=target([20.0, 22.0], accuracy=0.95))
    assert [one["what"] for one in compared(before, other)["rows"]] == ["inference"]


def test_what_differs_is_listed_and_nothing_else() -> None:
    before, now = content(measurement()), content(measurement())
    now["machine"] = now["machine"] | {"versions": now["machine"]["versions"] | {"jax": "9.9"}, "cores": 77}
    now["settings"] = now["settings"] | {"seconds": 1.0}
    found = {one["name"]: one["now"] for one in compared(before, now)["differences"]}
    assert found == {"versions.jax": "9.9", "cores": 77, "benchmark.seconds": 1.0}


def test_busy_machine_and_earlier_format_are_warned_of() -> None:
    old = content(measurement(), used_by_others=0.4) | {"format": 1}
    [found] = compared(old, content(measurement()))["rows"]
    assert (found["verdict"], found["reason"], found["ratio"]) == (UNDECIDED, FEW_ROUNDS, 1)
    busy, early = compared(old, content(measurement()))["warnings"]
    assert busy.startswith("Other programs used 40 % of the cores while before was measured")
    assert "earlier version" in early


def test_two_records_are_compared_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = stored(tmp_path / "one.json", measurement())
    (tmp_path / "two").mkdir()
    stored(tmp_path / "two/benchmark.json", measurement(seconds=SLOW_SECONDS), device="8 x abacus")
    options = RunOptions(workdir=tmp_path / "out", command_line=("--mode=benchmark", "--runs=one.json,two"))
    with pytest.raises(ProjectError, match="1 of 1 cases are more than 10 % slower than the baseline"):
        compare.run(options, runs=[one, tmp_path / "two"])
    said = capsys.readouterr().out
    assert "The number of devices differs" in said and "1 case: 0 faster, 1 slower and 0 undecided." in said
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [one["verdict"] for one in content["rows"]] == [SLOWER]
    assert "<td>slower</td>" in (tmp_path / "out/comparison.html").read_text()
    with pytest.raises(InputError, match="exists already"):
        compare.run(options, runs=[one, one])
    capsys.readouterr()
    assert compare.run(RunOptions(workdir=tmp_path / "same"), runs=[one, one])["differences"] == []
    assert "What else differs" not in capsys.readouterr().out, "no table without rows"
    assert "Nothing that the records tell." in (tmp_path / "same/comparison.html").read_text()


def test_record_of_another_experiment_is_refused_and_the_fields_named(tmp_path: Path) -> None:
    baseline = record.of(content(measurement()), "before")
    other = Experiment().vary(batch_size=7, dtype="bfloat16", seed=3)
    comparison.require_comparable(baseline, other.config, baseline.cases, other, "baseline")
    other = Experiment().vary(pooling=False)
    with pytest.raises(InputError, match=r"another experiment \(model.pooling: true there, false now"):
        comparison.require_comparable(baseline, other.config, baseline.cases, other, "baseline")
    with pytest.raises(InputError, match="nothing to compare"):
        case = ("inference", "float32", 65)
        comparison.require_comparable(baseline, Experiment().config, [case], Experiment(), "baseline")
