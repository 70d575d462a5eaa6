"""How the lesson writes numbers and shapes, and how it shows images."""

from collections.abc import Sequence

import numpy as np


def percent_with_margin(mean: float, margin: float) -> str:
    """A mean and half the width of its interval, both shares of 1, in percent without the sign, as in `98.4 ± 0.2`."""
    return f"{100 * mean:.1f} ± {100 * margin:.1f}"


def by(shape: Sequence[int]) -> str:
    """A shape, as in `26 x 26 x 32`."""
    return " x ".join(f"{size:,}" for size in shape)


def drawable(pixels: np.ndarray) -> np.ndarray:
    """An image as `report.pictures.image` draws it. pixels: uint8 [H, W, C], grey (C = 1) or coloured (C = 3)."""
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels / 255
