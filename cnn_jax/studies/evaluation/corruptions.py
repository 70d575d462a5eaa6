"""Test images as a careless world delivers them: moved, turned, scaled, noisy, blurred, pale, partly hidden.

Seven corruptions in five strengths, after Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019), with strengths for small images. What comes in from outside is paper.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.errors import unknown_name

PAPER = 0  # what the images of all our datasets are drawn on
STRENGTHS = range(6)  # 0: as they are
_AT_ONCE = 1000  # images whose coordinates are in memory at the same time

Apply = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil an image. amounts: in `unit`, one for each strength from 0 (nothing) to 5.

    apply: uint8 [N, H, W, C], amount, randomness -> uint8 [N, H, W, C].
    """

    meaning: str
    unit: str
    amounts: Sequence[float]
    apply: Apply


def chosen(wanted: Sequence[str]) -> list[str]:
    """The corruptions that were asked for, `all` meaning all. Raises InputError on an unknown name."""
    for name in wanted:
        if name not in CORRUPTIONS and name != "all":
            raise unknown_name("--corruptions", name, "corruption", [*CORRUPTIONS, "all"])
    return list(CORRUPTIONS) if "all" in wanted else list(dict.fromkeys(wanted))


def corrupt(images: np.ndarray, name: str, strength: int, seed: int = 0) -> np.ndarray:
    """The images, corrupted: uint8 [N, H, W, C] like those given. A function of its arguments alone.

    strength: from 0, which changes nothing, to 5. An image's direction, sign, place or pattern of noise is the same
    at every strength, so that two strengths differ in strength only.
    """
    if strength == 0:
        return images
    corruption = CORRUPTIONS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return corruption.apply(images, corruption.amounts[strength], rng)


def _shift(images: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage  # takes a third of a second to import, which only corruptions need

    directions, moved = rng.integers(4, size=len(images)), np.empty_like(images)
    for index, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        way = (0, down * pixels, right * pixels, 0)
        moved[directions == index] = ndimage.shift(images[directions == index], way, order=0, cval=PAPER)
    return moved


def _rotate(images: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    angles = np.deg2rad(degrees) * rng.choice([-1, 1], len(images))
    cosines, sines = np.cos(angles), np.sin(angles)
    return _seen_through(images, np.stack([cosines, -sines, sines, cosines], axis=-1).reshape(-1, 2, 2))


def _scale(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    factors = np.where(rng.integers(2, size=len(images)), factor, 1 / factor)
    return _seen_through(images, np.eye(2) / factors[:, None, None])


def _noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return _to_grey_levels(images + np.float32(sigma) * rng.standard_normal(images.shape, dtype=np.float32))


def _blur(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="constant", cval=PAPER)
    return _to_grey_levels(blurred)


def _contrast(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    means = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    return _to_grey_levels(means + np.float32(share) * (images - means))


def _occlude(images: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    size = np.array(images.shape[1:3])
    square = np.minimum(int(side), size)
    # A share of the way is drawn, not a place: the same for every side.
    first = (rng.random((len(images), 2)) * (size - square + 1)).astype(int)
    rows, columns = (
        (np.arange(size[axis]) >= first[:, axis, None]) & (np.arange(size[axis]) < first[:, axis, None] + square[axis])
        for axis in (0, 1)
    )
    hidden = rows[:, :, None] & columns[:, None, :]
    return np.where(hidden[..., None], np.uint8(PAPER), images)


def _seen_through(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Each image mapped about its centre, bilinearly. matrices: [N, 2, 2], from a new pixel's place to an old one."""
    from scipy import ndimage

    count, height, width, channels = images.shape
    centre = np.array([height - 1, width - 1]) / 2
    grid = np.moveaxis(np.indices((height, width)), 0, -1).reshape(-1, 2) - centre
    mapped = np.empty_like(images)
    for part in (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)):
        places = np.einsum("nij,pj->inp", matrices[part], grid) + centre[:, None, None]
        which = np.broadcast_to(np.arange(places.shape[1])[:, None], places.shape[1:])
        for channel in range(channels):
            seen = ndimage.map_coordinates(
                images[part, ..., channel].astype(np.float32),
                [which, *places],
                order=1,
                mode="grid-constant",
                cval=PAPER,
            )
            mapped[part, ..., channel] = _to_grey_levels(seen).reshape(-1, height, width)
    return mapped


def _to_grey_levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


CORRUPTIONS: Mapping[str, Corruption] = {
    "shift": Corruption("moved up, down, left or right, by so much", "pixels", (0, 1, 2, 3, 4, 5), _shift),
    "rotation": Corruption("turned about its centre, either way", "degrees", (0, 10, 20, 30, 40, 50), _rotate),
    "scale": Corruption("larger or smaller, by this factor", "times", (1, 1.1, 1.2, 1.3, 1.4, 1.5), _scale),
    "noise": Corruption("under normal noise of this sigma", "grey levels", (0, 25, 50, 75, 100, 125), _noise),
    "blur": Corruption("blurred by a Gaussian of this sigma", "pixels", (0, 0.5, 1, 1.5, 2, 2.5), _blur),
    "contrast": Corruption(
        "paler: what is left of the difference from its mean", "share", (1, 0.75, 0.5, 0.3, 0.2, 0.1), _contrast
    ),
    "occlusion": Corruption("partly under a square of paper of this side", "pixels", (0, 6, 8, 10, 12, 14), _occlude),
}
