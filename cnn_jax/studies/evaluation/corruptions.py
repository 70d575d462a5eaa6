"""Corrupted test images: shifted, rotated, scaled, noisy, blurred, pale, partly covered.

Seven corruptions in five strengths, after Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019), with strengths for small images. Pixels that come in from outside an image are
background.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.errors import unknown_name

BACKGROUND = 0  # of the images of all our datasets
STRENGTHS = range(6)  # 0 changes nothing
_AT_ONCE = 1000  # images whose coordinates are in memory at the same time

Apply = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption. amounts: in `unit`, one for each strength from 0 (no change) to 5.

    apply: a function of images, uint8 [N, H, W, C], an amount and a random generator; returns such images.
    """

    meaning: str
    unit: str
    amounts: Sequence[float]
    apply: Apply


def selected(wanted: Sequence[str]) -> list[str]:
    """The names without repetitions; `all` stands for all corruptions. Raises InputError for an unknown name."""
    for name in wanted:
        if name not in CORRUPTIONS and name != "all":
            raise unknown_name("--corruptions", name, "corruption", [*CORRUPTIONS, "all"])
    return list(CORRUPTIONS) if "all" in wanted else list(dict.fromkeys(wanted))


def corrupt(images: np.ndarray, name: str, strength: int, seed: int = 0) -> np.ndarray:
    """Corrupted images. images: uint8 [N, H, W, C]. Returns such images. Equal arguments give equal images.

    strength: from 0, which changes nothing, to 5. The direction, position or noise pattern of each image is random but
    the same at every strength.
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
        moved[directions == index] = ndimage.shift(images[directions == index], way, order=0, cval=BACKGROUND)
    return moved


def _rotate(images: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    angles = np.deg2rad(degrees) * rng.choice([-1, 1], len(images))
    cosines, sines = np.cos(angles), np.sin(angles)
    return _mapped(images, np.stack([cosines, -sines, sines, cosines], axis=-1).reshape(-1, 2, 2))


def _scale(images: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    factors = np.where(rng.integers(2, size=len(images)), factor, 1 / factor)
    return _mapped(images, np.eye(2) / factors[:, None, None])


def _noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return _to_grey_levels(images + np.float32(sigma) * rng.standard_normal(images.shape, dtype=np.float32))


def _blur(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="constant", cval=BACKGROUND)
    return _to_grey_levels(blurred)


def _contrast(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    means = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    return _to_grey_levels(means + np.float32(share) * (images - means))


def _occlude(images: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    size = np.array(images.shape[1:3])
    square = np.minimum(int(side), size)
    # The relative position is random, so that it is the same for squares of every size.
    first = (rng.random((len(images), 2)) * (size - square + 1)).astype(int)
    rows, columns = (
        (np.arange(size[axis]) >= first[:, axis, None]) & (np.arange(size[axis]) < first[:, axis, None] + square[axis])
        for axis in (0, 1)
    )
    hidden = rows[:, :, None] & columns[:, None, :]
    return np.where(hidden[..., None], np.uint8(BACKGROUND), images)


def _mapped(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Images mapped about their centres, bilinearly. matrices: [N, 2, 2], from a new pixel's position to the old."""
    from scipy import ndimage

    count, height, width, channels = images.shape
    centre = np.array([height - 1, width - 1]) / 2
    grid = np.moveaxis(np.indices((height, width)), 0, -1).reshape(-1, 2) - centre
    result = np.empty_like(images)
    for part in (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)):
        positions = np.einsum("nij,pj->inp", matrices[part], grid) + centre[:, None, None]
        which = np.broadcast_to(np.arange(positions.shape[1])[:, None], positions.shape[1:])
        for channel in range(channels):
            values = ndimage.map_coordinates(
                images[part, ..., channel].astype(np.float32),
                [which, *positions],
                order=1,
                mode="grid-constant",
                cval=BACKGROUND,
            )
            result[part, ..., channel] = _to_grey_levels(values).reshape(-1, height, width)
    return result


def _to_grey_levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


CORRUPTIONS: Mapping[str, Corruption] = {
    "shift": Corruption("shifted up, down, left or right by this distance", "pixels", (0, 1, 2, 3, 4, 5), _shift),
    "rotation": Corruption(
        "rotated about its centre, clockwise or counterclockwise, by this angle",
        "degrees",
        (0, 10, 20, 30, 40, 50),
        _rotate,
    ),
    "scale": Corruption("scaled up or down by this factor", "times", (1, 1.1, 1.2, 1.3, 1.4, 1.5), _scale),
    "noise": Corruption(
        "covered with normal noise of this standard deviation", "grey levels", (0, 25, 50, 75, 100, 125), _noise
    ),
    "blur": Corruption("blurred by a Gaussian of this standard deviation", "pixels", (0, 0.5, 1, 1.5, 2, 2.5), _blur),
    "contrast": Corruption(
        "paler: this share of each pixel's difference from the image's mean is left",
        "share",
        (1, 0.75, 0.5, 0.3, 0.2, 0.1),
        _contrast,
    ),
    "occlusion": Corruption("covered by a background square of this side", "pixels", (0, 6, 8, 10, 12, 14), _occlude),
}
