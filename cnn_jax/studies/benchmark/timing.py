"""Timing of compiled programs: warm up, wait until the device has finished, repeat in rounds that take turns."""

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax

Call = Callable[[], object]
Reference = Callable[[], float]  # gives its own seconds


@dataclass(frozen=True)
class Rounds:
    """Seconds of a call in each round, and those of the reference right before it."""

    seconds: tuple[float, ...]
    reference: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median seconds of the call."""
        return statistics.median(self.seconds)

    def divided(self, by: int) -> "Rounds":
        """The seconds of one part of a call that consists of `by` equal parts."""
        return Rounds(tuple(seconds / by for seconds in self.seconds), self.reference)


@dataclass(frozen=True, kw_only=True)
class TimeBudget:
    """How long to measure: `repeats` calls, or fewer if they would take longer than `seconds`, but at least one."""

    repeats: int
    seconds: float

    def time(self, calls: Sequence[Call], reference: Reference) -> list[Rounds]:
        """Times each call once a round, with the reference before it: what slows the machine down slows all of them.

        Every call has been made before, so that nothing is compiled in it.
        """
        times: list[list[tuple[float, float]]] = [[] for _ in calls]
        for _ in range(self.repeats):
            for call, taken in zip(calls, times, strict=True):
                if self._allows([seconds for seconds, _ in taken]):
                    before = reference()
                    taken.append((time_once(call), before))
        return [Rounds(*map(tuple, zip(*taken, strict=True))) for taken in times]

    def _allows(self, taken: Sequence[float]) -> bool:
        """Whether there is time for one more call, which takes as long as the last one."""
        return not taken or sum(taken) + taken[-1] <= self.seconds


def median_of(call: Call, *, repeats: int) -> float:
    """Median seconds of a call that has been made before."""
    return statistics.median(time_once(call) for _ in itertools.repeat(None, repeats))


def time_once(call: Call) -> float:
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
