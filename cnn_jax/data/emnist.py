"""EMNIST: handwritten letters and digits in MNIST's form, in six splits.

G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to handwritten letters" (2017). Address,
size and hash are those that tensorflow_datasets registers; a test compares them. Unlike tfds, this gives the images
upright and the 26 letters as 26 classes, and of the split `letters` all images that the file holds: tfds gives the
first 88,800 and 14,800.
"""

import functools
import string
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from cnn_jax.data import idx
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.published import PublishedSource
from cnn_jax.data.source import Normalize, Original
from cnn_jax.data.tfds_order import ORDER
from cnn_jax.errors import InputError
from cnn_jax.settings import About

_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"  # the other small letters look like capital ones

# split -> classes, training images, test images
_SPLITS: Mapping[str, tuple[str, int, int]] = {
    "letters": (string.ascii_uppercase, 124_800, 20_800),
    "balanced": (_MERGED, 112_800, 18_800),
    "byclass": (string.digits + string.ascii_uppercase + string.ascii_lowercase, 697_932, 116_323),
    "bymerge": (_MERGED, 697_932, 116_323),
    "digits": (string.digits, 240_000, 40_000),
    "mnist": (string.digits, 60_000, 10_000),
}

SplitName = Annotated[
    Literal["letters", "balanced", "byclass", "bymerge", "digits", "mnist"], About("the part of EMNIST")
]


def read(files: Sequence[Path], spec: Spec, *, split: str) -> tuple[Split, Split]:
    """The training images and the test images of one of EMNIST's splits, in the order of the files.

    files: the zip file. Nothing is unpacked to the disk. Raises InputError.
    """
    path = files[0]
    try:
        with zipfile.ZipFile(path) as archive:
            train = _part(archive, f"{split}-train", spec.train_examples, spec)
            test = _part(archive, f"{split}-test", spec.test_examples, spec)
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).strip("'\"")
        raise InputError(f"{path}: not the zip file of EMNIST ({reason}).") from error
    first = 1 if split == "letters" else 0  # the labels of the letters are from 1 to 26
    return Split(train.images, train.labels - first), Split(test.images, test.labels - first)


def _part(archive: zipfile.ZipFile, part: str, examples: int, spec: Spec) -> Split:
    """The images and labels of two IDX files in the archive."""
    height, width, _ = spec.image_shape

    def array(kind: str, shape: tuple[int, ...]) -> np.ndarray:
        name = f"gzip/emnist-{part}-{kind}-ubyte.gz"
        with archive.open(name) as file:
            return idx.read(file, shape, name=f"{archive.filename}: {name}")

    images = array("images-idx3", (examples, width, height))
    # The files hold each image column by column.
    upright = np.ascontiguousarray(images.swapaxes(1, 2))[..., None]
    return Split(upright, array("labels-idx1", (examples,)).astype(np.int32))


def emnist(split: SplitName = "letters", normalize: Normalize = "unit") -> PublishedSource:
    """One of EMNIST's splits."""
    classes, train_examples, test_examples = _SPLITS[split]
    return PublishedSource(
        Spec(
            "emnist",
            f"handwritten letters and digits, 28 x 28 grey, in six splits; {ORDER}",
            (28, 28, 1),
            tuple(classes),
            train_examples,
            test_examples,
            mnist_form=True,
        ),
        f"3.1.0-{split}",
        (
            Original(
                "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
                561_753_746,
                "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            ),
        ),
        read=functools.partial(read, split=split),
        normalize=normalize,
    )
