"""Templates for the lecture's X and O: how well each window of a bitmap matches a template, and a classifier.

Bitmaps and templates have +1 for ink and -1 for paper, so that a product is +1 where the two agree.
"""

from collections.abc import Mapping

import numpy as np


def _pattern(*rows: str) -> np.ndarray:
    """A template from its drawing, `#` for ink: float64 [H, W]."""
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

_MATCH = 6.5 / 9  # the response is 7/9 with one wrong pixel of nine, and 5/9 with two


def response(bitmaps: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The mean of the pixel-wise product of the template with each window: 1 where all agree, -1 where none does.

    bitmaps: float [..., H, W]. template: float [h, w]. Both contain numbers in [-1, 1], and so does the returned map,
    float64 [..., H - h + 1, W - w + 1]. This is cross-correlation, the convolution of neural networks, divided by
    h * w.
    """
    windows = np.lib.stride_tricks.sliding_window_view(bitmaps, template.shape, axis=(-2, -1))
    return np.einsum("...ij,ij->...", windows, template, dtype=np.float64) / template.size


def strongest(bitmaps: np.ndarray, templates: Mapping[str, np.ndarray]) -> np.ndarray:
    """The largest response of any template at each window. All templates have one shape. Shapes as in `response`."""
    return np.max([response(bitmaps, template) for template in templates.values()], axis=0)


def looks_like_x(bitmaps: np.ndarray) -> np.ndarray:
    """Tells X from O without learning: bool [N]. bitmaps: float [N, H, W].

    A window votes for X where at most one pixel differs from one of the X's templates, and for O where at most one
    pixel differs from a straight stroke. If both have the same number of votes, the larger mean over all windows wins.
    The O's corners do not vote: in small and rotated letters they match a diagonal of the X equally well.
    """
    for_x, for_o = strongest(bitmaps, OF_X), strongest(bitmaps, STRAIGHT)
    votes = np.sum(for_x > _MATCH, axis=(1, 2)) - np.sum(for_o > _MATCH, axis=(1, 2))
    return np.where(votes == 0, for_x.mean((1, 2)) > for_o.mean((1, 2)), votes > 0)


def cosine_similarities(filters: np.ndarray, templates: Mapping[str, np.ndarray]) -> np.ndarray:
    """The cosine similarity of each filter with each template: float64 [F, templates], in [-1, 1].

    filters: float [F, h, w]. The mean of every filter and template is subtracted first, so that patterns are compared
    and not the amount of ink. A filter of equal weights has the similarity 0.
    """
    patterns = _directions(filters.astype(np.float64))
    return patterns @ _directions(np.stack(list(templates.values()))).T


def _directions(patterns: np.ndarray) -> np.ndarray:
    """Each pattern as a row of length 1, after its mean is subtracted: [N, h, w] to [N, h * w]."""
    rows = patterns.reshape(len(patterns), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
