"""What a dataset is: its description, its two splits in memory, and the split into training and validation images."""

import base64
import dataclasses
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from cnn_jax.data.checks import class_names, of_channels, require_classes_from_zero, require_images, require_labels
from cnn_jax.display import Displayed
from cnn_jax.errors import InputError

UNIT = 1 / 255  # the scale that makes inputs from 0 to 1
_SHOWN_IMAGES, _SHOWN_SIDE = 10, 56  # of a split in a notebook; the side in CSS pixels


@dataclass(frozen=True, repr=False)
class Spec(Displayed):
    """A dataset's description, known before its images are read.

    A network's input is `float32(byte) * scale + offset`, which is computed on the device in each step. scale, offset:
    one number, or one for each channel. mnist_form: the images show light ink on black, scaled and centred as MNIST's
    digits are; a user's picture is then prepared in the same way.
    """

    name: str
    description: str  # one line for `--list`
    image_shape: tuple[int, int, int]  # height, width, channels
    classes: tuple[str, ...]
    train_examples: int
    test_examples: int
    scale: float | tuple[float, ...] = UNIT
    offset: float | tuple[float, ...] = 0.0
    mnist_form: bool = False

    def _facts(self) -> dict[str, str]:
        classes, most = list(self.classes), 12
        shown = [*classes[: most - 2], "...", classes[-1]] if len(classes) > most else classes
        return {
            "name": self.name,
            "image shape": " x ".join(map(str, self.image_shape)),
            "classes": f"{len(classes)} ({' '.join(shown)})",
            "training images": f"{self.train_examples:,}",
            "test images": f"{self.test_examples:,}",
        }

    def inputs(self, images: Any) -> Any:
        """A network's inputs, float32, from uint8 images: numpy or jax arrays, channels last."""
        scale, offset = (_along_channels(value, images.ndim) for value in (self.scale, self.offset))
        return images.astype(np.float32) * scale + offset

    def as_mapping(self) -> dict[str, Any]:
        """The description as JSON has it."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_mapping(values: Any) -> "Spec":
        """The description that `as_mapping` gave. Raises ValueError where it is none."""
        try:
            lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            return Spec(**{**values, **lists})
        except (AttributeError, TypeError):
            raise ValueError("not a dataset's description") from None


def _along_channels(value: float | tuple[float, ...], ndim: int) -> Any:
    """One number, or one for each channel in the last of `ndim` axes: float32."""
    values = np.asarray(value, np.float32)
    return values.reshape((1,) * (ndim - 1) + (-1,)) if values.ndim else values[()]


@dataclass(frozen=True, repr=False)
class Split(Displayed):
    """Images with their labels. images: uint8 [N, H, W, C]. labels: int32 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice | np.ndarray) -> "Split":
        """A part by a slice or by indices. Raises InputError on a single index, which is not a split."""
        if not isinstance(part, slice) and np.ndim(part) == 0:
            raise InputError(f"[{part}]: a split has images and labels. Write .images[{part}] or .labels[{part}].")
        return Split(self.images[part], self.labels[part])

    def _facts(self) -> dict[str, str]:
        arrays = {"images": self.images, "labels": self.labels}
        return {name: f"{array.dtype} [{', '.join(map(str, array.shape))}]" for name, array in arrays.items()}

    def _repr_html_(self) -> str:
        return super()._repr_html_() + _strip(self, [str(label) for label in self.labels[:_SHOWN_IMAGES]])


@dataclass(frozen=True, repr=False)
class Dataset(Displayed):
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
        classes: Iterable[Any] | None = None,
        name: str = "arrays",
        description: str = "",
        scale: float | tuple[float, ...] = UNIT,
        offset: float | tuple[float, ...] = 0.0,
        mnist_form: bool = False,
    ) -> "Dataset":
        """A dataset of your own arrays.

        images: uint8 [N, H, W] or [N, H, W, C]. labels: integers [N] or [N, 1], from 0. classes: their names; by
        default the numbers from 0 to the largest label. scale, offset, mnist_form: as in Spec. Raises InputError where
        shapes, dtypes or labels do not fit.
        """
        train = _split(f"{name}: train", train_images, train_labels)
        test = _split(f"{name}: test", test_images, test_labels)
        labels = np.unique(np.concatenate([train.labels, test.labels]))
        names = None if classes is None else class_names(name, classes)
        require_classes_from_zero(f"{name}: labels", labels, len(names) if names else None, len(train) + len(test))
        channels = train.images.shape[3]
        spec = Spec(
            name=name,
            description=description,
            image_shape=train.images.shape[1:],
            classes=names or tuple(map(str, range(1 + labels[-1]))),
            train_examples=len(train),
            test_examples=len(test),
            scale=of_channels(f"{name}: scale", scale, channels),
            offset=of_channels(f"{name}: offset", offset, channels),
            mnist_form=mnist_form,
        )
        _require_bytes(spec, train)
        try:
            check(spec, train, test)
        except ValueError as error:
            raise InputError(f"{name}: not a dataset: {error}.") from None
        return Dataset(spec, train, test, fingerprint(train, test))

    def _facts(self) -> dict[str, str]:
        return self.spec._facts()

    def _repr_html_(self) -> str:
        """The facts, and the first training images with their classes."""
        names = [self.spec.classes[label] for label in self.train.labels[:_SHOWN_IMAGES]]
        return super()._repr_html_() + _strip(self.train, names)

    def standardized(self) -> "Dataset":
        """The dataset whose inputs have mean 0 and standard deviation 1 in each channel, over all training images.

        A channel that is the same everywhere is only moved to 0.
        """
        channels = np.moveaxis(self.train.images, -1, 0)
        counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels]).astype(np.float64)
        mean = counts @ np.arange(256) / counts.sum(axis=1)
        deviation = np.sqrt((counts * (np.arange(256) - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1))
        scale = 1 / np.where(deviation > 0, deviation, 255)
        spec = dataclasses.replace(self.spec, scale=tuple(scale.tolist()), offset=tuple((-mean * scale).tolist()))
        return dataclasses.replace(self, spec=spec)


def _strip(split: Split, names: Sequence[str]) -> str:
    """The first images of a split with their names below, as HTML. Grey ones are shown dark where large, as ink is."""
    figures = [
        f'<figure style="display: inline-block; margin: 0 6px; text-align: center">'
        f'<img src="data:image/png;base64,{_png(image)}" alt="an image of class {escape(name)}" '
        f'style="width: {_SHOWN_SIDE}px; image-rendering: pixelated"><figcaption>{escape(name)}</figcaption></figure>'
        for image, name in zip(split.images[:_SHOWN_IMAGES], names, strict=True)
    ]
    return f"<div>{''.join(figures)}</div>"


def _png(image: np.ndarray) -> str:
    """An image as PNG in base64. image: uint8 [H, W, C], of which three channels are colours."""
    from PIL import Image  # a start without pictures does not need it

    stream = io.BytesIO()
    pixels = image if image.shape[2] == 3 else 255 - image.mean(axis=2).astype(np.uint8)
    small = Image.fromarray(pixels)
    small.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    small.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _split(name: str, images: Any, labels: Any) -> Split:
    """Your arrays as a split. Raises InputError where they cannot be one."""
    images, labels = np.asarray(images), np.asarray(labels)
    require_images(f"{name}_images", images)
    require_labels(f"{name}_labels", labels, len(images))
    return Split(images.reshape(*images.shape[:3], -1), labels.reshape(-1).astype(np.int32))


def _require_bytes(spec: Spec, train: Split) -> None:
    """Raises InputError where inputs would be almost 0: bytes of 0 and 1 that are divided by 255 once more."""
    if spec.scale == UNIT and train.images.max() == 1:
        raise InputError(
            f"{spec.name}: train_images: the largest value is {train.images.max()}. Bytes from 0 to 255 are expected, "
            "which are divided by 255 later: multiply the images by 255. (Dataset.from_arrays also takes scale=1.0.)"
        )


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
