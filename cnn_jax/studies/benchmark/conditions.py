"""The state of the machine while it is measured: date, load, clock speed, temperature, and what others use of it.

What the system does not say is None, which a page shows as unknown.
"""

import datetime
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

Conditions = dict[str, Any]  # as `read` gives them

_CLOCKS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"  # kHz
_SENSORS = ("/sys/class/thermal/thermal_zone*/temp", "/sys/class/hwmon/hwmon*/temp*_input")  # thousandths of a degree
_POSSIBLE_DEGREES = range(1, 150)  # what others say is no temperature


def read() -> Conditions:
    """The state now. load: of the last minute. clock_mhz: the mean of the cores'. temperature_celsius: the hottest."""
    gpus = _of_gpus() if jax.default_backend() == "gpu" else []
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "clock_mhz": _mean(_clocks()),
        "temperature_celsius": max(_temperatures(), default=None),
        "gpu_clock_mhz": _mean(clock for clock, _ in gpus),
        "gpu_temperature_celsius": max((degrees for _, degrees in gpus), default=None),
    }


@dataclass(frozen=True)
class CpuTime:
    """Seconds of all cores since the machine started: those in use, all of them, and those that this process used."""

    busy: float
    total: float
    own: float


def cpu_time() -> CpuTime | None:
    """The seconds until now. None where the system does not count them as Linux does."""
    try:
        words = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)
        ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in words[1:9]]
    except (OSError, ValueError, AttributeError):  # Windows has no sysconf
        return None
    times = os.times()
    return CpuTime(sum(ticks) - ticks[3] - ticks[4], sum(ticks), times.user + times.system)


def used_by_others(before: CpuTime | None, after: CpuTime | None) -> float | None:
    """The share of all cores, from 0 to 1, that other programs used between two times."""
    if before is None or after is None or after.total <= before.total:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return round(min(1.0, max(0.0, others / (after.total - before.total))), 3)


def _clocks() -> list[float]:
    """The clock speed of each core, in MHz."""
    lines = _or_nothing(lambda: Path("/proc/cpuinfo").read_text(encoding="utf-8")).splitlines()
    shown = [float(line.rpartition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return shown or [kilohertz / 1e3 for kilohertz in _numbers(_CLOCKS)]


def _temperatures() -> list[float]:
    """What each sensor of the processor and the board measures, in degrees Celsius."""
    degrees = [thousandths / 1e3 for sensor in _SENSORS for thousandths in _numbers(sensor)]
    return [one for one in degrees if _POSSIBLE_DEGREES.start <= one < _POSSIBLE_DEGREES.stop]


def _of_gpus() -> list[tuple[float, float]]:
    """Clock speed in MHz and temperature in degrees Celsius of each NVIDIA GPU, as its driver says."""
    command = ["nvidia-smi", "--query-gpu=clocks.sm,temperature.gpu", "--format=csv,noheader,nounits"]

    def ask() -> str:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout

    try:
        pairs = [tuple(map(float, line.split(","))) for line in _or_nothing(ask).splitlines()]
    except ValueError:  # as `[N/A]`
        return []
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _numbers(pattern: str) -> list[float]:
    """The numbers in the files of this pattern; of those that can be read."""
    texts = [_or_nothing(path.read_text) for path in sorted(Path("/").glob(pattern.removeprefix("/")))]
    return [float(text) for text in texts if text.strip().lstrip("-").isdigit()]


def _or_nothing(ask: Callable[[], str]) -> str:
    """What the system answers; nothing where it does not."""
    try:
        return ask()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(sum(found) / len(found), 1) if found else None
