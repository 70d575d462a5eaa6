"""What a dataset is: its description, its two splits in memory, and the split into training and validation images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_jax.errors import InputError


@dataclass(frozen=True)
class Spec:
    """A dataset's description, known before any of its files is read.

    A network's input is `float32(byte) * scale + offset`, which is computed on the device in each step.
    """

    name: str
    description: str  # one line for `--list`
    image_shape: tuple[int, int, int]  # height, width, channels
    classes: tuple[str, ...]
    train_examples: int
    test_examples: int
    scale: float = 1 / 255
    offset: float = 0.0

    def inputs(self, images: Any) -> Any:
        """A network's inputs, float32, from uint8 images: numpy or jax arrays."""
        return images.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True)
class Split:
    """Images with their labels. images: uint8 [N, H, W, C]. labels: int32 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Split":
        return Split(self.images[part], self.labels[part])


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory. fingerprint: what the function of that name returns for its splits."""

    spec: Spec
    train: Split
    test: Split
    fingerprint: str

    @staticmethod
    def from_arrays(
        train_images: Any,
        train_labels: Any,
        test_images: Any,
        test_labels: Any,
        *,
        classes: Sequence[str] | None = None,
        name: str = "arrays",
        description: str = "",
        scale: float = 1 / 255,
        offset: float = 0.0,
    ) -> "Dataset":
        """A dataset of your own arrays. images: uint8 [N, H, W] or [N, H, W, C]. labels: integers [N], from 0.

        classes: their names; by default the numbers from 0 to the largest label. scale, offset: as in Spec.
        Raises InputError where shapes, dtypes or labels do not fit.
        """
        train, test = _split("train", train_images, train_labels), _split("test", test_images, test_labels)
        if classes is None:
            classes = [str(label) for label in range(1 + int(max(train.labels.max(), test.labels.max())))]
        shape = train.images.shape[1:]
        spec = Spec(name, description, shape, tuple(classes), len(train), len(test), scale, offset)
        try:
            check(spec, train, test)
        except ValueError as error:
            raise InputError(f"{name}: not a dataset: {error}.") from None
        return Dataset(spec, train, test, fingerprint(train, test))


def _split(name: str, images: Any, labels: Any) -> Split:
    """Your arrays as a split. Raises InputError where they cannot be one."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
        raise InputError(
            f"{name}_images: {images.dtype} {images.shape}, expected uint8 of the shape [N, H, W] or [N, H, W, C]."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise InputError(f"{name}_labels: {labels.dtype} {labels.shape}, expected integers of the shape [N].")
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise InputError(f"{name}_labels: from {labels.min()} to {labels.max()}, expected classes from 0.")
    return Split(images.reshape(*images.shape[:3], -1), labels.astype(np.int32))


def split_training_images(
    dataset: Dataset, train_examples: int | None, validation_examples: int
) -> tuple[Split, Split | None]:
    """The images to train on, and the validation images, which are the last ones (None where there are none).

    train_examples: how many of the first images to train on; None means all that are left.
    Raises InputError where the dataset does not have that many images.
    """
    name, available = dataset.spec.name, len(dataset.train)
    left = available - validation_examples
    if left < 1:
        raise InputError(
            f"--validation_examples={validation_examples}: {name} has {available:,} training images, "
            "and some of them must remain to train on."
        )
    if train_examples is not None and train_examples > left:
        beside = f" beside the {validation_examples:,} held out" if validation_examples else ""
        raise InputError(f"--train_examples={train_examples}: {name} has only {left:,} training images{beside}.")
    return dataset.train[: train_examples or left], dataset.train[left:] if validation_examples else None


def fingerprint(train: Split, test: Split) -> str:
    """SHA-256 over shapes, dtypes and bytes of the four arrays, in hexadecimal: equal only for equal data."""
    digest = hashlib.sha256()
    for array in (train.images, train.labels, test.images, test.labels):
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check(spec: Spec, train: Split, test: Split) -> None:
    """Raises ValueError where shapes, dtypes or labels do not agree with the spec."""
    for split, examples in ((train, spec.train_examples), (test, spec.test_examples)):
        if split.images.shape != (examples, *spec.image_shape) or split.images.dtype != np.uint8:
            raise ValueError(f"images {split.images.shape}, expected {examples} of {spec.image_shape}")
        if split.labels.shape != (examples,) or split.labels.dtype != np.int32:
            raise ValueError(f"labels {split.labels.shape}, expected {examples}")
        if not ((split.labels >= 0) & (split.labels < len(spec.classes))).all():
            raise ValueError(f"labels outside 0 to {len(spec.classes) - 1}")
