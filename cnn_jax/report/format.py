"""Numbers as text, the same on the console, on pages and in the README.

A missing number (None) is a dash. An estimate is a mapping with `mean` and `interval`, as `statistics.estimate` gives
it; where its interval is None, only the mean is shown.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MISSING = "-"

Estimate = Mapping[str, Any]


def percent(share: float, digits: int = 2) -> str:
    """A share between 0 and 1: `99.07 %`. One that is not quite 0 or 1 is never shown so: `<0.01 %`, `>99.99 %`."""
    least = 10**-digits
    if 0 < share < 1 and float(f"{100 * share:.{digits}f}") in (0, 100):
        return f"<{least:.{digits}f} %" if share < 0.5 else f">{100 - least:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def enough_digits(share: float, digits: int) -> int:
    """How many digits show a share in percent: more than `digits` if it would look like 0 or 100 and is not."""
    while 0 < share < 1 and digits < 6 and float(f"{100 * share:.{digits}f}") in (0, 100):
        digits += 1
    return digits


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign: `+1.25`."""
    return f"{100 * difference:+.2f}"


def fine_points(difference: float) -> str:
    """A difference of two shares in percentage points, with three decimals: `+1.250`."""
    return f"{100 * difference:+.3f}"


def loss(value: float) -> str:
    """A loss with four decimals: `0.0285`. From 1,000 on, as before a divergence, with three digits: `1.2e+20`."""
    return f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def plus_minus(mean: float, interval: Sequence[float] | None, form: Callable[[float], str]) -> str:
    """A mean and half the width of its interval, `0.0285 ± 0.0012`; of an uneven one the ends: `0.3 (0.1 to 0.9)`.

    form: how to write each of them, as `loss` does.
    """
    if not interval:
        return form(mean)
    low, high = interval
    if math.isclose(high - mean, mean - low, rel_tol=1e-6, abs_tol=1e-9 * abs(mean)):
        return f"{form(mean)} ± {form((high - low) / 2)}"
    return f"{form(mean)} ({form(low)} to {form(high)})"


def percent_estimate(estimate: Estimate, digits: int = 2) -> str:
    """An estimated share: `99.07 ± 0.05 %`, `98.46 (86.12 to 99.84) %`."""
    digits = enough_digits(estimate["mean"], digits)
    return f"{plus_minus(estimate['mean'], estimate['interval'], lambda share: f'{100 * share:.{digits}f}')} %"


def loss_estimate(estimate: Estimate) -> str:
    """An estimated loss: `0.0285 ± 0.0012`, `0.0285 (0.0042 to 0.1934)`."""
    return plus_minus(estimate["mean"], estimate["interval"], loss)


def duration_estimate(estimate: Estimate) -> str:
    """An estimated time: `70.1 s ± 17 s`, `58.9 ms (7.81 µs to 7.4 min)`."""
    return plus_minus(estimate["mean"], estimate["interval"], duration)


def interval(bounds: Sequence[float] | None, form: Callable[[float], str]) -> str:
    """The two ends of an interval: `+1.17 to +1.33`. form: how to write each of them, as `points` does."""
    return f"{form(bounds[0])} to {form(bounds[1])}" if bounds else MISSING


def p_value(p: float | None) -> str:
    """A p-value with two digits: `0.041`, `3e-07`."""
    if p is None:
        return MISSING
    return f"{p:.2g}" if p >= 1e-4 or p == 0 else f"{p:.0e}"


def p_words(p: float | None) -> str:
    """A p-value inside a sentence: `p = 0.041`."""
    return "no test is possible" if p is None else f"p = {p_value(p)}"


def duration(seconds: float) -> str:
    """A time with three digits and its unit: `9.83 ms`, `1.3 s`, `14.2 min`, `2.5 h`."""
    if seconds == 0:
        return "0 s"
    for factor, unit, least in ((1 / 3600, "h", 7200), (1 / 60, "min", 120), (1, "s", 1), (1e3, "ms", 1e-3)):
        if seconds >= least:
            return f"{three_digits(seconds * factor)} {unit}"
    return f"{three_digits(seconds * 1e6)} µs" if seconds >= 1e-6 else f"{three_digits(seconds * 1e9)} ns"


def three_digits(value: float) -> str:
    """A positive number with three digits, or all digits before the point: `0.0589`, `17`, `12,345`."""
    return f"{value:,.3g}" if value < 999.5 else f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 seed`, `1,234 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """A list inside a sentence: `100, 300 and 1,000`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
