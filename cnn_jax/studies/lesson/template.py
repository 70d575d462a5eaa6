"""Templates for the lecture's X and O: how much each window of a bitmap resembles a pattern, and what that tells.

Ink is +1 and paper -1, in bitmaps and templates alike, so that a product is +1 where the two agree.
"""

from collections.abc import Mapping

import numpy as np


def _pattern(*rows: str) -> np.ndarray:
    """A template as it looks, `#` for ink: float64 [H, W]."""
    return np.array([[1.0 if cell == "#" else -1.0 for cell in row] for row in rows])


OF_X: Mapping[str, np.ndarray] = {
    "left-to-right diagonal": _pattern("#..", ".#.", "..#"),
    "right-to-left diagonal": _pattern("..#", ".#.", "#.."),
    "crossing": _pattern("#.#", ".#.", "#.#"),
}

STRAIGHT: Mapping[str, np.ndarray] = {
    "horizontal stroke": _pattern("...", "###", "..."),
    "vertical stroke": _pattern(".#.", ".#.", ".#."),
}

CORNERS: Mapping[str, np.ndarray] = {
    "upper left corner": _pattern(".##", "#..", "#.."),
    "upper right corner": _pattern("##.", "..#", "..#"),
    "lower left corner": _pattern("#..", "#..", ".##"),
    "lower right corner": _pattern("..#", "..#", "##."),
}

OF_O: Mapping[str, np.ndarray] = {**STRAIGHT, **CORNERS}

_MATCH = 6.5 / 9  # between one wrong pixel of nine, a response of 7/9, and two, 5/9


def response(bitmaps: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The mean of the pixel-wise product of the template with each window: 1 at a match, -1 at an exact mismatch.

    bitmaps: float [..., H, W]. template: float [h, w]. Both hold numbers in [-1, 1]; so does the map that is returned,
    float64 [..., H - h + 1, W - w + 1]. It is cross-correlation, what networks call convolution, divided by h * w.
    """
    windows = np.lib.stride_tricks.sliding_window_view(bitmaps, template.shape, axis=(-2, -1))
    return np.einsum("...ij,ij->...", windows, template, dtype=np.float64) / template.size


def strongest(bitmaps: np.ndarray, templates: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of each window the largest response to any of the templates, which are of one shape. Shapes as in `response`."""
    return np.max([response(bitmaps, template) for template in templates.values()], axis=0)


def looks_like_x(bitmaps: np.ndarray) -> np.ndarray:
    """Tells X from O without learning: bool [N]. bitmaps: float [N, H, W].

    Windows vote: for X where at most one pixel differs from one of its templates, for O where at most one differs from
    a straight stroke; where there are as many of both, the larger mean over all windows decides. The O's corners have
    no vote: in small and turned letters they are as near to a diagonal of the X.
    """
    for_x, for_o = strongest(bitmaps, OF_X), strongest(bitmaps, STRAIGHT)
    votes = np.sum(for_x > _MATCH, axis=(1, 2)) - np.sum(for_o > _MATCH, axis=(1, 2))
    return np.where(votes == 0, for_x.mean((1, 2)) > for_o.mean((1, 2)), votes > 0)


def cosine_similarities(filters: np.ndarray, templates: Mapping[str, np.ndarray]) -> np.ndarray:
    """How near each filter is to each template: float64 [F, templates], in [-1, 1]; 0 for a filter of equal weights.

    filters: float [F, h, w]. From filters and templates alike the mean is taken off first: what is left is their
    pattern, without how much of it is ink.
    """
    patterns = _directions(filters.astype(np.float64))
    return patterns @ _directions(np.stack(list(templates.values()))).T


def _directions(patterns: np.ndarray) -> np.ndarray:
    """Each pattern in a row, its mean taken off, of length 1: [N, h, w] to [N, h * w]."""
    rows = patterns.reshape(len(patterns), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
