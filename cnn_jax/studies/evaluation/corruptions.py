"""Corrupted test images: shifted, rotated, scaled, noisy, blurred, pale, partly covered; and the accuracy on them.

Seven corruptions in five strengths, after Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019), with strengths for small images. Pixels that come in from outside an image are
background.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.ndimage is loaded where it is first used: only corruptions need it

from cnn_jax.data.dataset import Split
from cnn_jax.errors import unknown_name

BACKGROUND = 0  # paper in images of MNIST's form, black in others
STRENGTHS = range(6)  # 0 changes nothing
SEED = 0  # of an evaluation's corruptions

Apply = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
Infer = Callable[[np.ndarray], np.ndarray]  # uint8 images [N, H, W, C] -> float32 logits [seeds, N, classes]


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


def corrupt(images: np.ndarray, name: str, strength: int, seed: int = SEED) -> np.ndarray:
    """Corrupted images. images: uint8 [N, H, W, C]. Returns such images. Equal arguments give equal images.

    strength: from 0, which changes nothing, to 5. The direction, position or noise pattern of each image is random but
    the same at every strength.
    """
    if strength == 0:
        return images
    corruption = CORRUPTIONS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return corruption.apply(images, corruption.amounts[strength], rng)


def accuracies(
    models: Mapping[str, Infer], test: Split, names: Sequence[str], note: Callable[[str], None]
) -> dict[str, dict[str, np.ndarray]]:
    """The accuracy of each model under each corruption at the strengths from 0 to 5: float64 [6, seeds].

    All models see the same corrupted images. note: is called with a line of progress.
    """
    clean = {model: _accuracy(infer, test.images, test.labels) for model, infer in models.items()}
    found: dict[str, dict[str, np.ndarray]] = {model: {} for model in models}
    for name in names:
        note(f"scoring images with {name}")
        corrupted = [corrupt(test.images, name, strength) for strength in STRENGTHS[1:]]
        for model, infer in models.items():
            accuracies = [_accuracy(infer, images, test.labels) for images in corrupted]
            found[model][name] = np.stack([clean[model], *accuracies])
    return found


def _accuracy(infer: Infer, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (infer(images).argmax(axis=-1) == labels).mean(axis=-1)


def samples(images: np.ndarray, name: str) -> np.ndarray:
    """The images at each strength: uint8 [6, N, H, W, C]."""
    return np.stack([corrupt(images, name, strength) for strength in STRENGTHS])


def _shift(images: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    directions = np.array([(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0)])[rng.integers(4, size=len(images))]
    moved = [
        scipy.ndimage.shift(image, pixels * direction, order=0, cval=BACKGROUND)
        for image, direction in zip(images, directions, strict=True)
    ]
    return np.stack(moved)


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
    sigmas = (0, sigma, sigma, 0)
    blurred = scipy.ndimage.gaussian_filter(images.astype(np.float32), sigmas, mode="constant", cval=BACKGROUND)
    return _to_grey_levels(blurred)


def _contrast(images: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    means = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    return _to_grey_levels(means + np.float32(share) * (images - means))


def _occlude(images: np.ndarray, side: float, rng: np.random.Generator) -> np.ndarray:
    height, width = np.minimum(int(side), images.shape[1:3])
    # The relative position is random, so that it is the same for squares of every size.
    places = np.array(images.shape[1:3]) - (height, width) + 1
    corners = (rng.random((len(images), 2)) * places).astype(int)
    covered = images.copy()
    for image, (top, left) in zip(covered, corners, strict=True):
        image[top : top + height, left : left + width] = BACKGROUND
    return covered


def _mapped(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Images mapped about their centres, bilinearly. matrices: [N, 2, 2], from a new pixel's position to the old."""
    centre = (np.array(images.shape[1:3]) - 1) / 2
    mapped = np.empty(images.shape, np.float32)
    for image, matrix, result in zip(images.astype(np.float32), matrices, mapped, strict=True):
        for channel in range(images.shape[-1]):
            scipy.ndimage.affine_transform(
                image[..., channel],
                matrix,
                offset=centre - matrix @ centre,
                output=result[..., channel],
                order=1,
                mode="grid-constant",
                cval=BACKGROUND,
            )
    return _to_grey_levels(mapped)


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
