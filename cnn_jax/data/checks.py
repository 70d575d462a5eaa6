"""Checks of a dataset that people made: arrays of the wrong form, labels that cannot be meant, images seen twice."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.errors import InputError
from cnn_jax.settings import plain

_NAMED = 3  # classes in a note


def require_images(name: str, images: np.ndarray) -> None:
    """Raises InputError unless these are images: uint8 [N, H, W] or [N, H, W, C]. name: for the message."""
    found = f"{name}: {images.dtype} {images.shape}"
    if images.dtype != np.uint8 and images.size and images.dtype.kind in "fiu":
        hint = ""
        if not np.isfinite(images).all():
            hint = " Some are not finite."
        elif images.dtype.kind == "f" and images.min() >= -1 and images.max() <= 1:
            share = "images" if images.min() >= 0 else "(images + 1) / 2"
            hint = f" They are from {images.min():.3g} to 1: give np.rint(255 * {share}).astype(np.uint8)."
        elif images.min() >= 0 and images.max() <= 255:
            hint = " They are from 0 to 255: give images.astype(np.uint8)."
        raise InputError(f"{found}, expected bytes (uint8) from 0 to 255.{hint}")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        hint = " Give images * np.uint8(255)." if images.dtype == bool else ""
        raise InputError(f"{found}, expected uint8 of the shape [N, H, W] or [N, H, W, C].{hint}")
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] > 4:
        raise InputError(f"{found}: the channels come last, as in [N, H, W, C]: give images.transpose(0, 2, 3, 1).")


def require_labels(name: str, labels: np.ndarray, examples: int) -> None:
    """Raises InputError unless these are classes from 0 for so many images: integers [N] or [N, 1]."""
    found = f"{name}: {labels.dtype} {labels.shape}"
    if labels.ndim == 2 and labels.shape[1] > 1 and set(np.unique(labels[:1000]).tolist()) <= {0, 1}:
        raise InputError(f"{found}: one-hot labels, expected the classes' numbers: give labels.argmax(axis=1).")
    if labels.shape not in ((len(labels),), (len(labels), 1)) or labels.dtype.kind not in "iu" or not labels.size:
        hint = ""
        if labels.dtype.kind in "USO" and labels.ndim == 1:
            hint = " Of names, give np.unique(labels, return_inverse=True)[1], and the names as classes."
        elif labels.dtype.kind in "fb" and labels.size and np.array_equal(labels, labels.astype(np.int64)):
            hint = " Give labels.astype(int)."
        raise InputError(f"{found}, expected integers of the shape [N].{hint}")
    if len(labels) != examples:
        raise InputError(f"{found}, but there are {examples:,} images: each image needs one label.")
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise InputError(f"{name}: from {labels.min()} to {labels.max()}, expected classes from 0.")


def class_names(name: str, classes: Any) -> tuple[str, ...]:
    """The names of classes as text. Raises InputError where they are no names, or two are the same."""
    if isinstance(classes, Mapping) or not isinstance(classes, Iterable):
        raise InputError(
            f"{name}: classes={classes!r}: must be names in the order of the labels, as in ['cat', 'dog']."
        )
    names = tuple(str(plain(one)) for one in classes)
    if twice := next((one for one in names if names.count(one) > 1), None):
        raise InputError(f"{name}: classes: {twice} is there twice.")
    return names


def of_channels(name: str, value: Any, channels: int) -> float | tuple[float, ...]:
    """A finite number, or one for each channel. Raises InputError on anything else. name: for the message."""
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if numbers.shape not in ((), (channels,)) or not np.isfinite(numbers).all():
        each = f", or {channels} of them, one for each channel" if channels > 1 else ""
        raise InputError(f"{name}={value!r}: must be a finite number{each}.")
    return tuple(numbers.tolist()) if numbers.ndim else float(numbers)


def require_classes_from_zero(name: str, labels: np.ndarray, classes: int | None, examples: int) -> None:
    """Raises InputError where there is one class, or where the classes are not numbered from 0 without large gaps.

    labels: those that occur, in ascending order. classes: how many there are; None where the labels decide. examples:
    how many images there are.
    """
    first, last = labels[0], labels[-1]
    if classes is None and last >= examples:
        raise InputError(
            f"{name}: up to {last:,} for {examples:,} images. Number the classes from 0: "
            "give np.unique(labels, return_inverse=True)[1]."
        )
    if len(labels) < 2:
        raise InputError(f"{name}: all are {first}. A network needs two classes to tell apart.")
    if first == 1 and len(labels) == last and classes in (None, last):
        raise InputError(f"{name}: from 1 to {last}, expected classes from 0: give labels - 1.")


def remarks(
    classes: Sequence[str], train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> list[str]:
    """What a user should know of a dataset before training, a line each. train, test: images and labels."""
    found = []
    counts = [np.bincount(labels, minlength=len(classes)) for _, labels in (train, test)]
    for where, missing in (("training", counts[0] == 0), ("test", counts[1] == 0)):
        if missing.any():
            names = [name for name, is_missing in zip(classes, missing, strict=True) if is_missing]
            found.append(f"no {where} image shows {_named(names)}")
    if twice := _seen_twice(train[0], test[0]):
        found.append(
            f"{twice:,} of {len(test[0]):,} test images are training images too: the test accuracy is too high"
        )
    return found


def _named(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - _NAMED:,} more classes" if len(classes) > _NAMED else ""
    return f"{', '.join(classes[:_NAMED])}{more}"


def _seen_twice(train: np.ndarray, test: np.ndarray) -> int:
    """How many test images are training images, byte for byte."""
    seen = {_digest(image) for image in train}
    return sum(_digest(image) in seen for image in test)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
