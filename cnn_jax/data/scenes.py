"""Coloured X and O in scenes of 200 x 200 RGB pixels: what an image costs a network, a dataset that needs no file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.notes import Warn
from cnn_jax.data.source import Source

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIZE = 200  # pixels, height and width of a scene
CROSS, RING = 0, 1  # the labels of X and O
_FINE = 2  # scenes are drawn so many times as large and then reduced, for smooth edges
_LEAST_CONTRAST = 90  # between two colours, as their distance in RGB

Point = tuple[float, float]


@dataclass(frozen=True)
class Scenes(Source):
    """A pure function of a fixed seed, which is part of the version."""

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        train, total = self.spec.train_examples, self.spec.train_examples + self.spec.test_examples
        warn(f"{self.spec.name}: drawing {total:,} scenes, once; this takes some seconds")
        labels = np.arange(total, dtype=np.int32) % len(self.spec.classes)
        images = draw(labels, seed=0)
        return Split(images[:train], labels[:train]), Split(images[train:], labels[train:])


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A scene for each label: uint8 [N, 200, 200, 3], scene i a function of its label, the seed and i.

    labels: int [N], CROSS or RING. Size, place, rotation, thickness and colour of the letter, the colour of the ground
    and some strokes and blots that belong to no letter are random.
    """
    return np.stack([_scene(int(label), np.random.default_rng([seed, index])) for index, label in enumerate(labels)])


def _scene(label: int, rng: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageDraw  # a start from the cache does without it

    ground = rng.integers(0, 256, 3)
    image = Image.new("RGB", (_FINE * SIZE, _FINE * SIZE), tuple(ground))
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 7)):
        _clutter(canvas, rng, _colour_apart_from(ground, rng))
    _letter(canvas, label, rng, _colour_apart_from(ground, rng))
    return np.asarray(image.reduce(_FINE))


def _letter(canvas: ImageDraw, label: int, rng: np.random.Generator, colour: tuple[int, ...]) -> None:
    """An X of two strokes or an O, anywhere within the scene."""
    radius = _FINE * rng.uniform(30, 70)
    centre = rng.uniform(1.1 * radius, _FINE * SIZE - 1.1 * radius, 2)
    turn = math.radians(rng.uniform(-20, 20))
    narrowness = rng.uniform(0.75, 1.0)
    width = round(radius * rng.uniform(0.2, 0.4))

    def placed(angle: float) -> Point:
        """The point of the letter's outline in a direction."""
        x, y = narrowness * radius * math.cos(angle), radius * math.sin(angle)
        cosine, sine = math.cos(turn), math.sin(turn)
        return float(centre[0] + cosine * x - sine * y), float(centre[1] + sine * x + cosine * y)

    if label == CROSS:
        for angle in (0.25 * math.pi, 0.75 * math.pi):
            canvas.line([placed(angle), placed(angle + math.pi)], colour, width)
    else:
        # One point more than the circle has, so that the joint where it closes is round too.
        canvas.line([placed(2 * math.pi * step / 60) for step in range(62)], colour, width, joint="curve")


def _clutter(canvas: ImageDraw, rng: np.random.Generator, colour: tuple[int, ...]) -> None:
    """A short stroke or a blot."""
    first, second = _FINE * rng.uniform(0, SIZE, 2), _FINE * rng.uniform(-25, 25, 2)
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(first, first + second, strict=True))
    if rng.random() < 0.5:
        canvas.line([tuple(first), tuple(first + second)], colour, round(_FINE * rng.uniform(3, 10)))
    else:
        canvas.ellipse([left, top, right, bottom], colour)


def _colour_apart_from(other: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """A colour at random that can be told from the other."""
    while True:
        colour = rng.integers(0, 256, 3)
        if np.linalg.norm(colour - other) >= _LEAST_CONTRAST:
            return tuple(int(part) for part in colour)


RGB200 = Scenes(
    Spec(
        "rgb200",
        "coloured X and O in scenes of 200 x 200 RGB pixels; need no file",
        (SIZE, SIZE, 3),
        ("X", "O"),
        train_examples=1_000,
        test_examples=200,
    ),
    version="1",
)
