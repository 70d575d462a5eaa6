"""Shapes, intervals and images in the forms that the lesson shows."""

from collections.abc import Sequence

import numpy as np

from cnn_jax.report.format import plus_minus


def percent_with_margin(mean: float, margin: float) -> str:
    """A mean share and half the width of its interval, in percent but without the sign: `98.4 ± 0.2`."""
    return plus_minus(100 * mean, (100 * (mean - margin), 100 * (mean + margin)), 1)


def by(shape: Sequence[int]) -> str:
    """A shape, as in `26 x 26 x 32`."""
    return " x ".join(f"{size:,}" for size in shape)


def drawable(pixels: np.ndarray) -> np.ndarray:
    """An image as `report.pictures.image` draws it. pixels: uint8 [H, W, C], grey (C = 1) or coloured (C = 3)."""
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels / 255
