"""Timing of compiled programs: warm up, wait until the device has finished, repeat, take the median."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over so many repeats: the median, and the 25th (low) and 75th (high) percentile."""

    median: float
    low: float
    high: float
    repeats: int

    def divided(self, by: int) -> "Timing":
        """The seconds of one part of a call that consists of `by` equal parts."""
        return Timing(self.median / by, self.low / by, self.high / by, self.repeats)


@dataclass(frozen=True, kw_only=True)
class TimeBudget:
    """How long to measure: `repeats` calls, or fewer if they would take longer than `seconds`, but at least one."""

    repeats: int
    seconds: float

    def time(self, call: Callable[[], object]) -> Timing:
        """Times a call that has been made before, so that nothing is compiled in it."""
        times = [time_once(call)]
        while len(times) < self.repeats and sum(times) + times[-1] <= self.seconds:
            times.append(time_once(call))
        low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
        return Timing(float(median), float(low), float(high), len(times))


def time_once(call: Callable[[], object]) -> float:
    """Seconds from the call until the arrays that it returns are computed."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def calibrate(call: Callable[[int], object], *, seconds: float, at_most: int) -> int:
    """Finds a number of parts for which a call takes about `seconds`. call: takes the number of parts.

    The first call is not timed, because it may compile.
    """
    time_once(lambda: call(1))
    parts, last = 1, time_once(lambda: call(1))
    while last < seconds / 2 and parts < at_most:
        parts = min(at_most, max(2 * parts, int(parts * seconds / max(last, 1e-6))))
        last = time_once(functools.partial(call, parts))
    return parts
