"""Coloured X and O in scenes of 200 x 200 RGB pixels: large images for the lecture, a dataset that needs no file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.data.dataset import Spec
from cnn_jax.data.source import DrawnSource

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIZE = 200  # pixels, height and width of a scene
LABEL_X, LABEL_O = 0, 1
_OVERSAMPLING = 2  # scenes are drawn larger by this factor and then reduced, for smooth edges
_MIN_CONTRAST = 90  # distance of two colours in RGB

Point = tuple[float, float]


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A scene for each label: uint8 [N, 200, 200, 3]; scene i is a function of its label, the seed and i.

    labels: int [N], LABEL_X or LABEL_O. Random are the letter's size, position, rotation, thickness and colour, the
    colour of the background, and some strokes and blots that belong to no letter.
    """
    return np.stack([_scene(int(label), np.random.default_rng([seed, index])) for index, label in enumerate(labels)])


def _scene(label: int, rng: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageDraw  # a start from the cache does not need it

    background = rng.integers(0, 256, 3)
    image = Image.new("RGB", (_OVERSAMPLING * SIZE, _OVERSAMPLING * SIZE), tuple(background))
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 7)):
        _clutter(canvas, rng, _contrasting_colour(background, rng))
    _letter(canvas, label, rng, _contrasting_colour(background, rng))
    return np.asarray(image.reduce(_OVERSAMPLING))


def _letter(canvas: ImageDraw, label: int, rng: np.random.Generator, colour: tuple[int, ...]) -> None:
    """Draws an X of two strokes or an O, anywhere within the scene."""
    radius = _OVERSAMPLING * rng.uniform(30, 70)
    centre = rng.uniform(1.1 * radius, _OVERSAMPLING * SIZE - 1.1 * radius, 2)
    turn = math.radians(rng.uniform(-20, 20))
    narrowness = rng.uniform(0.75, 1.0)
    width = round(radius * rng.uniform(0.2, 0.4))

    def outline_point(angle: float) -> Point:
        """The point of the letter's outline in this direction."""
        x, y = narrowness * radius * math.cos(angle), radius * math.sin(angle)
        cosine, sine = math.cos(turn), math.sin(turn)
        return float(centre[0] + cosine * x - sine * y), float(centre[1] + sine * x + cosine * y)

    if label == LABEL_X:
        for angle in (0.25 * math.pi, 0.75 * math.pi):
            canvas.line([outline_point(angle), outline_point(angle + math.pi)], colour, width)
    else:
        # The circle has 60 points. Two more make the joint where it closes round too.
        canvas.line([outline_point(2 * math.pi * step / 60) for step in range(62)], colour, width, joint="curve")


def _clutter(canvas: ImageDraw, rng: np.random.Generator, colour: tuple[int, ...]) -> None:
    """Draws a short stroke or a blot."""
    first, second = _OVERSAMPLING * rng.uniform(0, SIZE, 2), _OVERSAMPLING * rng.uniform(-25, 25, 2)
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(first, first + second, strict=True))
    if rng.random() < 0.5:
        canvas.line([tuple(first), tuple(first + second)], colour, round(_OVERSAMPLING * rng.uniform(3, 10)))
    else:
        canvas.ellipse([left, top, right, bottom], colour)


def _contrasting_colour(other: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """A random colour that is easy to distinguish from the other."""
    while True:
        colour = rng.integers(0, 256, 3)
        if np.linalg.norm(colour - other) >= _MIN_CONTRAST:
            return tuple(int(part) for part in colour)


RGB200 = DrawnSource(
    Spec(
        "rgb200",
        "coloured X and O in scenes of 200 x 200 RGB pixels; need no file",
        (SIZE, SIZE, 3),
        ("X", "O"),
        train_examples=1_000,
        test_examples=200,
    ),
    version="1",
    draw=draw,
    is_slow=True,
)
