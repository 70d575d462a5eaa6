"""A stored benchmark is read, and refused when it is damaged, changed or of a later format."""

import json
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.errors import InputError
from cnn_jax.studies.benchmark import record
from tests.studies.benchmark.made import DEVICE, SECONDS, content, measurement, stored


def changed(tmp_path: Path, **changes: Any) -> Path:
    """A record of inference that fits its hash. changes: entries to replace."""
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(record.sealed(content(measurement()) | changes)))
    return path


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = stored(tmp_path / "benchmark.json", measurement())
    for named in (path, tmp_path):
        found = record.read(named, "runs")
        assert (found.source, found.device, found.devices) == (str(named), DEVICE, 1)
        [(case, measured)] = found.cases.items()
        assert case == ("inference", "float32", 64)
        assert measured.rounds == SECONDS and measured.reference == (0.01,) * len(SECONDS)


def test_number_that_was_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    path = stored(tmp_path / "benchmark.json", measurement())
    path.write_text(path.read_text().replace("1.03", "0.13"))
    with pytest.raises(InputError, match="was changed after it was measured"):
        record.read(path, "baseline")


def test_case_has_its_speed_and_the_interval_of_the_median() -> None:
    found = measurement(seconds=[4.0, 1.0, 2.0, 8.0, 3.0, 5.0])
    assert found["images_per_second"] == 1000 / 3.5
    assert found["multiply_adds_per_second"] == 1000 * 10**6 / 3.5
    assert found["seconds"] == {"median": 3.5, "interval": (1.0, 8.0), "rounds": [4.0, 1.0, 2.0, 8.0, 3.0, 5.0]}


def test_efficiency_is_the_speedup_divided_by_the_number_of_devices() -> None:
    alone = measurement("step on one device", seconds=[6 * seconds for seconds in SECONDS])
    [found] = record.scaling([measurement("training step"), alone], devices=8)
    assert (found["devices"], found["ratio"], found["efficiency"]) == (8, pytest.approx(6), pytest.approx(0.75))
    assert 0.7 < found["interval"][0] < 0.75 < found["interval"][1] < 0.8
    assert record.scaling([measurement("training step")], devices=1) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"measurements": [{"what": "inference"}]},
        {"measurements": [None]},
        {"measurements": 3},
        {"machine": []},
        {"config": {"epochs": "many"}},
        {"format": 3},
        {"format": []},
        {"target": {"accuracy": 0.99, "seeds": 3}},
    ],
    ids=str,
)
def test_damaged_record_is_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(InputError, match="--baseline="):
        record.read(changed(tmp_path, **changes), "baseline")


@pytest.mark.parametrize("value", [0, -1, "fast", None, True, 10**400])
def test_number_that_is_not_positive_is_refused(tmp_path: Path, value: Any) -> None:
    case = dict(measurement())
    for changes in ({"images_per_second": value}, {"reference_seconds": [value] * 7}, {"reference_seconds": []}):
        with pytest.raises(InputError, match="damaged"):
            record.read(changed(tmp_path, measurements=[case | changes]), "baseline")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00\xff", '{"format": 1, "config": NaN}'])
def test_file_that_is_not_a_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(text)
    with pytest.raises(InputError, match="--baseline="):
        record.read(path, "baseline")
