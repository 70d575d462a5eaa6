"""Timing of compiled programs: warm up, wait until the device is ready, repeat, take the median."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median, and between `low` and `high` the middle half of so many repeats."""

    median: float
    low: float
    high: float
    repeats: int

    def divided(self, by: int) -> "Timing":
        """Of one of the equal parts that a call consists of."""
        return Timing(self.median / by, self.low / by, self.high / by, self.repeats)


def once(call: Callable[[], object]) -> float:
    """Seconds of a call, until its arrays are there."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def repeated(call: Callable[[], object], *, repeats: int, seconds: float) -> Timing:
    """Times a call that is warm: so many repeats, fewer where they would take longer than `seconds`, at least one."""
    times = [once(call)]
    while len(times) < repeats and sum(times) + times[-1] <= seconds:
        times.append(once(call))
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return Timing(float(median), float(low), float(high), len(times))


def fitting(call: Callable[[int], object], *, seconds: float, at_most: int) -> int:
    """How many of its parts a call should do to last about so many seconds. call: of the number of parts; is warmed."""
    once(lambda: call(1))
    parts, last = 1, once(lambda: call(1))
    while last < seconds / 2 and parts < at_most:
        parts = min(at_most, max(2 * parts, int(parts * seconds / max(last, 1e-6))))
        last = once(functools.partial(call, parts))
    return parts
