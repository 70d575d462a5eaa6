"""X and O as 9 x 9 bitmaps: the lecture's example of what filters do, a dataset that needs no file."""

import numpy as np

from cnn_jax.data.dataset import Spec
from cnn_jax.data.source import DrawnSource

SIZE = 9  # pixels, height and width of a bitmap
INK, PAPER = 255, 0  # as bytes; a network's inputs are +1 and -1
LABEL_X, LABEL_O = 0, 1

_ARM = 3.0  # pixels from the middle to the end of an arm of the X, and to a side of the O, along rows and columns
_CORNER = 1.75  # pixels, radius of the O's corners
_PEN = 0.55  # pixels, half the width of a stroke: one pixel, whatever its direction
_NOISE = 0.04  # share of the pixels that are inverted


def canonical(label: int) -> np.ndarray:
    """The letter without noise: uint8 [9, 9], INK and PAPER.

    The X has both diagonals of the cells (1, 1) to (7, 7), the O four strokes around the same cells, without corners.
    """
    distances = _distances(np.array([label]), np.ones(1), np.zeros((2, 1)), np.zeros(1))
    return np.where(distances[0] < _PEN, INK, PAPER).astype(np.uint8)


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A bitmap for each label, of random size, position, rotation and thickness, with noise: uint8 [N, 9, 9, 1].

    labels: int [N], LABEL_X or LABEL_O. Sizes are 0.6 to 1 of the canonical one; positions keep the letter inside
    before it is rotated; rotations are up to 20 degrees in both directions; a third of the letters is thick.
    """
    rng, examples = np.random.default_rng(seed), len(labels)
    size = rng.uniform(0.6, 1.0, examples)
    shift = rng.uniform(-1, 1, (2, examples)) * (SIZE // 2 - _ARM * size)
    angle = np.radians(rng.uniform(-20, 20, examples))
    pen = np.where(rng.random(examples) < 1 / 3, 1.8 * _PEN, _PEN)
    is_ink = _distances(labels, size, shift, angle) < _per_image(pen)
    is_inverted = rng.random(is_ink.shape) < _NOISE
    return np.where(is_ink ^ is_inverted, INK, PAPER).astype(np.uint8)[..., None]


def _distances(labels: np.ndarray, size: np.ndarray, shift: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """The distance of each pixel's centre from the nearest stroke, in pixels: float [N, 9, 9].

    size, angle: float [N], as factor and in radians. shift: float [2, N], down and to the right, in pixels.
    """
    centres = np.arange(SIZE) - SIZE // 2
    down, right = centres[:, None] - _per_image(shift[0]), centres[None, :] - _per_image(shift[1])
    cosine, sine = _per_image(np.cos(angle)), _per_image(np.sin(angle))
    # Both shapes are the same in all four quadrants, so one quadrant is enough.
    y, x = abs(cosine * down - sine * right), abs(sine * down + cosine * right)
    arm = _ARM * _per_image(size)
    return np.where(_per_image(labels) == LABEL_X, _distance_to_diagonal(y, x, arm), _distance_to_square(y, x, arm))


def _distance_to_diagonal(y: np.ndarray, x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """The distance from the diagonal between (0, 0) and (arm, arm)."""
    nearest = np.clip((y + x) / 2, 0, arm)
    return np.hypot(y - nearest, x - nearest)


def _distance_to_square(y: np.ndarray, x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """The distance from a square with side 2 * arm and round corners around (0, 0)."""
    straight = arm - _CORNER
    beyond = np.hypot(np.maximum(y - straight, 0), np.maximum(x - straight, 0))
    within = np.minimum(np.maximum(y, x) - straight, 0)
    return abs(beyond + within - _CORNER)


def _per_image(values: np.ndarray) -> np.ndarray:
    """One value per image, in a shape that broadcasts over its pixels."""
    return values[:, None, None]


X_AND_O = DrawnSource(
    Spec(
        "x_and_o",
        "X and O as noisy 9 x 9 bitmaps; need no file",
        (SIZE, SIZE, 1),
        ("X", "O"),
        train_examples=6_000,
        test_examples=2_000,
        scale=2 / INK,
        offset=-1.0,
    ),
    version="1",
    draw=draw,
)
