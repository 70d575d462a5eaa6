"""The state of the machine is read where the system tells it, and said to be unknown where it does not."""

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.studies.benchmark import conditions
from cnn_jax.studies.benchmark.conditions import CpuTime


def test_state_of_a_system_that_tells_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("zone0", "41000"), ("zone1", "67500"), ("broken", "255000"), ("off", "-40000"), ("no", "x")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(conditions, "_SENSORS", (f"{tmp_path}/*",))
    monkeypatch.setattr(conditions, "_clocks", lambda: [3000.0, 2000.0])
    found = conditions.read()
    assert (found["temperature_celsius"], found["clock_mhz"]) == (67.5, 2500.0)
    assert datetime.fromisoformat(found["date"]).tzinfo is not None
    assert found["gpu_clock_mhz"] is found["gpu_temperature_celsius"] is None


def test_state_of_a_system_that_does_not_tell_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **settings: Any) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.delattr(conditions.os, "getloadavg")
    found = conditions.read()
    assert {name for name, value in found.items() if value is not None} == {"date"}
    assert conditions.cpu_time() is None


def test_state_of_gpus_is_what_their_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(text: str) -> None:
        done = subprocess.CompletedProcess([], 0, text, "")
        monkeypatch.setattr(subprocess, "run", lambda *arguments, **settings: done)

    monkeypatch.setattr(conditions.jax, "default_backend", lambda: "gpu")
    answer("1980, 41\n1950, 55\n")
    found = conditions.read()
    assert (found["gpu_clock_mhz"], found["gpu_temperature_celsius"]) == (1965.0, 55.0)
    answer("[N/A], 41\n")
    assert conditions.read()["gpu_clock_mhz"] is None


def test_share_of_others_is_what_is_in_use_without_what_this_process_used() -> None:
    before = CpuTime(busy=100.0, total=1000.0, own=10.0)
    assert conditions.used_by_others(before, CpuTime(busy=118.0, total=1020.0, own=15.0)) == 0.65
    assert conditions.used_by_others(before, CpuTime(busy=104.9, total=1020.0, own=15.0)) == 0.0
    assert conditions.used_by_others(before, before) is None
    assert conditions.used_by_others(None, before) is None


def test_counted_time_grows_as_this_process_works() -> None:
    before = conditions.cpu_time()
    if before is None:
        pytest.skip("this system does not count it")
    while (after := conditions.cpu_time()) and after.own < before.own + 0.05:
        pass
    assert after and after.total > before.total and 0 <= (conditions.used_by_others(before, after) or 0) <= 1
