"""Augmentations: random changes of the training images, as pure functions of a key and a batch of images.

images: float32 [N, H, W, C], from 0 to 1, before normalization; returned in the same shape and dtype. They run on the
device in every training step, and never in scoring. Each image has random numbers of its own. Where a function does
not say otherwise, pixels that come in from outside an image are 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jax import Array

from cnn_jax.config import Part
from cnn_jax.data.geometric import crop, elastic, flip, rotation, scale, shear, shift
from cnn_jax.data.intensity import brightness, contrast, cutout, noise, thickness
from cnn_jax.data.mixtures import Mixed, cutmix, mixup
from cnn_jax.data.trivial import DEGREES, trivial

Augment = Callable[..., Array | Mixed]  # (key, images, **settings)

AUGMENTATIONS: Mapping[str, Augment] = {
    "shift": shift,
    "crop": crop,
    "flip": flip,
    "rotation": rotation,
    "scale": scale,
    "shear": shear,
    "elastic": elastic,
    "thickness": thickness,
    "brightness": brightness,
    "contrast": contrast,
    "noise": noise,
    "cutout": cutout,
    "mixup": mixup,
    "cutmix": cutmix,
    "trivial": trivial,
}

_LIKE_THEIR_MIRROR_IMAGE = set("018AHIMOTUVWXYilovwx")


def apply(augmentations: Iterable[Augment], key: Array, images: Array) -> Array | Mixed:
    """The images after all augmentations in their order, each with a key of its own; at most one of them may mix."""
    mixed: list[Any] = []
    for index, augment in enumerate(augmentations):
        result = augment(jax.random.fold_in(key, index), images)
        images, *found = result if isinstance(result, Mixed) else (result,)
        # Without the barrier XLA computes each image anew in every place that reads it: the next augmentation reads up
        # to four pixels for one, and the first layer a patch.
        images = jax.lax.optimization_barrier(images)
        mixed = found or mixed
    return Mixed(images, *mixed) if mixed else images


def remarks(chosen: Sequence[Part], classes: Sequence[str]) -> list[str]:
    """What a user should know of these augmentations before training on these classes, a line each."""
    parts = {part.name: part for part in chosen}
    found = flip_remarks("--augment=flip", classes) if "flip" in parts else []
    angles = {"rotation.degrees": 1, "trivial.strength": DEGREES} if _are_characters(classes) else {}
    for setting, degrees in angles.items():
        name, _, strength = setting.partition(".")
        if name in parts and parts[name][strength] * degrees > 90 and {"6", "9"} <= set(classes):
            found.append(f"--augment.{setting}={parts[name][strength]:g}: turned by more than 90 degrees, a 6 is a 9")
    return found


def flip_remarks(flag: str, classes: Sequence[str]) -> list[str]:
    """What a user should know who mirrors images of these classes with this flag: a line, or none."""
    changed = [name for name in classes if name not in _LIKE_THEIR_MIRROR_IMAGE] if _are_characters(classes) else []
    shown = f"{', '.join(changed[:3])}{', ...' if changed[3:] else ''}"
    return [f"{flag}: if the classes {shown} are digits or letters, a mirrored one is wrong"] if changed else []


def _are_characters(classes: Sequence[str]) -> bool:
    """Whether these may be digits and letters, which are known by their names: each a single one."""
    return all(len(name) == 1 and name.isalnum() for name in classes)
