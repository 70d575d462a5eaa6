"""What the parts of the lesson share: the type of their records, and the form of shapes and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def percent_with_margin(mean: float, margin: float) -> str:
    """A mean share and half the width of its interval, in percent but without the sign: `98.4 ± 0.2`."""
    return f"{100 * mean:.1f} ± {100 * margin:.1f}"


def by(shape: Sequence[int]) -> str:
    """A shape, as in `26 x 26 x 32`."""
    return " x ".join(f"{size:,}" for size in shape)
