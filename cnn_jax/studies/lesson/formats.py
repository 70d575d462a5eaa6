"""What the parts of the lesson share: the type of their records, and the form of shapes and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.report.format import enough_digits

Record = Mapping[str, Any]


def percent_with_margin(mean: float, margin: float) -> str:
    """A mean share and half the width of its interval, in percent but without the sign: `98.4 ± 0.2`."""
    digits = enough_digits(mean, 1)
    return f"{100 * mean:.{digits}f} ± {100 * margin:.{digits}f}"


def by(shape: Sequence[int]) -> str:
    """A shape, as in `26 x 26 x 32`."""
    return " x ".join(f"{size:,}" for size in shape)
