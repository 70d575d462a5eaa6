"""X and O as 9 x 9 bitmaps: the lecture's example for what filters do, a dataset that needs no file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.notes import Warn
from cnn_jax.data.source import Source

SIZE = 9  # pixels, height and width of a bitmap
INK, PAPER = 255, 0  # as bytes; the network's inputs are +1 and -1
CROSS, RING = 0, 1  # the labels of X and O

_ARM = 3.0  # pixels from the middle to the end of an arm of the X, and to a side of the O, along rows and columns
_CORNER = 1.75  # pixels, radius of the O's corners
_PEN = 0.55  # pixels, half the width of a stroke: one pixel, whatever its direction
_NOISE = 0.04  # share of the pixels that are turned to the other colour


@dataclass(frozen=True)
class XAndO(Source):
    """A pure function of a fixed seed, which is part of the version."""

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        train, total = self.spec.train_examples, self.spec.train_examples + self.spec.test_examples
        labels = np.arange(total, dtype=np.int32) % len(self.spec.classes)
        images = draw(labels, seed=0)
        return Split(images[:train], labels[:train]), Split(images[train:], labels[train:])


def canonical_x() -> np.ndarray:
    """The X as it should be, both diagonals of the cells (1, 1) to (7, 7): uint8 [9, 9], INK and PAPER."""
    return _undisturbed(CROSS)


def canonical_o() -> np.ndarray:
    """The O as it should be, four strokes around the same cells and no corners: uint8 [9, 9], INK and PAPER."""
    return _undisturbed(RING)


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A bitmap for each label, of random size, place, rotation and thickness, with noise: uint8 [N, 9, 9, 1].

    labels: int [N], CROSS or RING. Sizes are 0.6 to 1 of the canonical one, places any that keep the unturned
    strokes inside, rotations up to 20 degrees either way; a third of the letters is written thick.
    """
    rng, examples = np.random.default_rng(seed), len(labels)
    size = rng.uniform(0.6, 1.0, examples)
    shift = rng.uniform(-1, 1, (2, examples)) * (SIZE // 2 - _ARM * size)
    angle = np.radians(rng.uniform(-20, 20, examples))
    pen = np.where(rng.random(examples) < 1 / 3, 1.8 * _PEN, _PEN)
    is_ink = _distances(labels, size, shift, angle) < _per_image(pen)
    is_turned = rng.random(is_ink.shape) < _NOISE
    return np.where(is_ink ^ is_turned, INK, PAPER).astype(np.uint8)[..., None]


def _undisturbed(label: int) -> np.ndarray:
    distances = _distances(np.array([label]), np.ones(1), np.zeros((2, 1)), np.zeros(1))
    return np.where(distances[0] < _PEN, INK, PAPER).astype(np.uint8)


def _distances(labels: np.ndarray, size: np.ndarray, shift: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """How far each pixel's middle is from the strokes, in pixels: float [N, 9, 9].

    size, angle: float [N], as factor and in radians. shift: float [2, N], down and to the right, in pixels.
    """
    middles = np.arange(SIZE) - SIZE // 2
    down, right = middles[:, None] - _per_image(shift[0]), middles[None, :] - _per_image(shift[1])
    cosine, sine = _per_image(np.cos(angle)), _per_image(np.sin(angle))
    # Both shapes are the same in all four quadrants: the first will do.
    y, x = abs(cosine * down - sine * right), abs(sine * down + cosine * right)
    arm = _ARM * _per_image(size)
    return np.where(_per_image(labels) == CROSS, _to_diagonal(y, x, arm), _to_ring(y, x, arm))


def _to_diagonal(y: np.ndarray, x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """From the diagonal's part between (0, 0) and (arm, arm)."""
    nearest = np.clip((y + x) / 2, 0, arm)
    return np.hypot(y - nearest, x - nearest)


def _to_ring(y: np.ndarray, x: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """From a square of side 2 arm around (0, 0) with round corners."""
    straight = arm - _CORNER
    beyond = np.hypot(np.maximum(y - straight, 0), np.maximum(x - straight, 0))
    within = np.minimum(np.maximum(y, x) - straight, 0)
    return abs(beyond + within - _CORNER)


def _per_image(values: np.ndarray) -> np.ndarray:
    """A number an image, to be combined with all of its pixels."""
    return values[:, None, None]


X_AND_O = XAndO(
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
)
