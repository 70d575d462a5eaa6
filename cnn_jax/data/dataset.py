"""What a dataset is: its description, its two splits in memory, and the split into training and validation images."""

import hashlib
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
