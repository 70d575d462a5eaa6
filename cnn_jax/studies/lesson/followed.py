"""The image that the lesson follows through the networks: a test image, or a picture of the reader's own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.data import pictures
from cnn_jax.data.dataset import Dataset, Spec
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.data.pictures import UnusablePicture
from cnn_jax.errors import InputError, printable
from cnn_jax.report.pictures import thumbnail


class Followed(NamedTuple):
    """image: uint8 [H, W, C], as the networks receive it. words: what it is, as in `a test image of mnist, class 7`.

    original: of a picture of the reader's own, a small copy as it was before, the bytes of a JPEG file.
    """

    image: np.ndarray
    words: str
    original: bytes | None = None


def of_test_images(dataset: Dataset, index: int) -> Followed:
    """A test image by its index. Raises InputError where there is none."""
    test, spec = dataset.test, dataset.spec
    if not 0 <= index < len(test):
        raise InputError(f"--test_image={index}: {spec.name} has {len(test):,} test images, from 0.")
    return Followed(test.images[index], f"a test image of {spec.name}, class {spec.classes[test.labels[index]]}")


def of_a_picture(path: Path, spec: Spec) -> Followed:
    """The picture in a file, made into an image of a dataset as `--mode=predict` does it. Raises InputError."""
    if path.is_dir():
        raise InputError(f"--images={path}: is a folder. The lesson follows one picture: name a file.")
    if not path.is_file():
        raise InputError(f"--images={path}: no such file.")
    try:
        with pictures.without_warnings():
            pixels = pictures.read(path, background=None if spec.mnist_form else pictures.WHITE)
            image = as_mnist(pixels) if spec.mnist_form else pictures.fitted(pixels, spec.image_shape)
    except UnusablePicture as error:
        raise InputError(f"--images={path}: {error}.") from None
    return Followed(image, f"your picture {printable(path.name)}", thumbnail(pixels))
