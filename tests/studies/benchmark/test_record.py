"""A stored benchmark is read, refused when it is damaged, and compared case by case."""

import json
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.studies.benchmark import record
from tests.studies.benchmark.made import DEVICE, content, measurement


def stored(tmp_path: Path, **changes: Any) -> Path:
    """A record of inference with 100 images per second. changes: entries to replace."""
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(content(measurement(images=100)) | changes))
    return path


@pytest.mark.parametrize(("images", "slower"), [(100, False), (91, False), (89, True), (300, False)])
def test_slower_is_below_the_tolerance(tmp_path: Path, images: int, slower: bool) -> None:
    cases = [measurement(images=images), measurement(images=images, batch_size=999)]
    compared = record.comparison(cases, record.read(stored(tmp_path)), 0.1)
    assert [(row["ratio"], row["slower"]) for row in compared["rows"]] == [(images / 100, slower)]
    assert compared["device"] == DEVICE


def test_baseline_of_another_experiment_is_refused_and_the_fields_named(tmp_path: Path) -> None:
    path = stored(tmp_path)
    other = Experiment().vary(batch_size=7, dtype="bfloat16", seed=3)
    record.require_comparable(record.read(path), other, [64], ["float32"])
    with pytest.raises(InputError, match=r"another experiment \(model.pooling: true there, false now"):
        record.require_comparable(record.read(path), Experiment().vary(pooling=False), [64], ["float32"])


@pytest.mark.parametrize(("batch_size", "dtype"), [(65, "float32"), (64, "bfloat16")])
def test_baseline_without_a_common_case_is_refused(tmp_path: Path, batch_size: int, dtype: str) -> None:
    path = stored(tmp_path)
    with pytest.raises(InputError, match="nothing to compare"):
        record.require_comparable(record.read(path), Experiment(), [batch_size], [dtype])


@pytest.mark.parametrize(
    "changes",
    [
        {"measurements": [{"what": "inference"}]},
        {"measurements": [None]},
        {"measurements": 3},
        {"machine": []},
        {"config": {"epochs": "many"}},
        {"format": 2},
    ],
    ids=str,
)
def test_damaged_record_is_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(InputError, match="--baseline="):
        record.read(stored(tmp_path, **changes))


@pytest.mark.parametrize("rate", [0, -1, "fast", None, True, float("nan"), float("inf")])
def test_speed_that_is_not_a_positive_number_is_refused(tmp_path: Path, rate: Any) -> None:
    speed = {"what": "inference", "dtype": "float32", "batch_size": 64, "images_per_second": rate}
    with pytest.raises(InputError, match="damaged"):
        record.read(stored(tmp_path, measurements=[speed]))


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00\xff"])
def test_file_that_is_not_a_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(text)
    with pytest.raises(InputError, match="--baseline="):
        record.read(path)
