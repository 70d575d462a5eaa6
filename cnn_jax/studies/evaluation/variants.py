"""Test-time augmentation: a model predicts the mean of its probabilities for several variants of an image.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1,
average over shifted crops and their reflections. Nothing here is random: the variants are all shifts by up to so many
pixels, each also mirrored.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cnn_jax.data.augmentations import flip_remarks
from cnn_jax.data.dataset import Spec
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.studies.evaluation.corruptions import BACKGROUND, Infer
from cnn_jax.training.metrics import log_softmax

NAMES = ("shift", "flip")
PIXELS = 1
MOST_PIXELS = 8  # 289 variants, and 578 with their mirror images


@dataclass(frozen=True)
class Variants:
    """How an image is changed. pixels: the longest shift along rows and along columns. is_mirrored: each one, too."""

    pixels: int
    is_mirrored: bool

    def __len__(self) -> int:
        return (2 * self.pixels + 1) ** 2 * (2 if self.is_mirrored else 1)

    def of(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """The images in each variant, first as they are: uint8 [N, H, W, C], one variant at a time in memory.

        Pixels that come in from outside an image are background, as in training.
        """
        _, height, width, _ = images.shape
        margins = ((0, 0), (self.pixels,) * 2, (self.pixels,) * 2, (0, 0))
        corners = sorted(range(2 * self.pixels + 1), key=lambda corner: abs(corner - self.pixels))
        for flipped in (images, images[:, :, ::-1]) if self.is_mirrored else (images,):
            padded = np.pad(flipped, margins, constant_values=BACKGROUND)
            for top, left in itertools.product(corners, corners):
                yield padded[:, top : top + height, left : left + width]


def selected_variants(wanted: Sequence[str], pixels: int | None) -> Variants | None:
    """The variants that the flags ask for; None for no name. pixels: of shifts; None means 1.

    Raises InputError for an unknown name, for pixels without shifts, and for too few or too many of them.
    """
    for name in wanted:
        if name not in NAMES:
            raise unknown_name("--test_augment", name, "variant of test images", NAMES)
    if pixels is not None and "shift" not in wanted:
        raise InputError(f"--shift_pixels={pixels}: has no meaning without --test_augment=shift.")
    if pixels is not None and not 1 <= pixels <= MOST_PIXELS:
        raise InputError(f"--shift_pixels={pixels}: must be between 1 and {MOST_PIXELS}.")
    return Variants((pixels or PIXELS) if "shift" in wanted else 0, "flip" in wanted) if wanted else None


def doubts(variants: Variants, spec: Spec) -> list[str]:
    """What may be wrong with these variants of a dataset's images. Raises InputError where a shift leaves nothing."""
    shortest = min(spec.image_shape[:2])
    if variants.pixels >= shortest:
        raise InputError(
            f"--shift_pixels={variants.pixels}: the images of {spec.name} have {shortest} rows or columns: nothing of "
            "them would be left."
        )
    return flip_remarks("--test_augment=flip", spec.classes) if variants.is_mirrored else []


def predicted(infer: Infer, images: np.ndarray, variants: Variants) -> tuple[np.ndarray, np.ndarray]:
    """Each model's log-probabilities of the images as they are, and the logarithm of its means over the variants.

    Both are float64 [seeds, N, classes]. Memory does not grow with the number of variants, whose probabilities are
    added one after the other, in float64 on the host. They are added as logarithms: a very small one is never 0 then.
    """
    logs = (log_softmax(infer(variant)) for variant in variants.of(images))
    first = next(logs)
    total = functools.reduce(np.logaddexp, logs, first)
    return first, total - math.log(len(variants))
