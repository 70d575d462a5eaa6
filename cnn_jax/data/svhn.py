"""SVHN: 32 x 32 digits in colour, cut out of photographs of house numbers; 73,257 to train on and 26,032 to test.

Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning" (2011), format 2. The 531,131
extra images are left out. Addresses, sizes and hashes are those that tensorflow_datasets registers; a test compares
them.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.published import PublishedSource
from cnn_jax.data.source import Normalize, Original
from cnn_jax.data.tfds_order import ORDER
from cnn_jax.errors import InputError


def read(files: Sequence[Path], spec: Spec) -> tuple[Split, Split]:
    """The splits in two MATLAB files, in their order. Raises InputError."""
    train, test = files
    return _split(train, spec.train_examples, spec), _split(test, spec.test_examples, spec)


def _split(path: Path, examples: int, spec: Spec) -> Split:
    """The images and labels in a MATLAB file. The label of the digit 0 is 10 there."""
    from scipy import io  # a start from the cache does not need it

    expected = {"X": (*spec.image_shape, examples), "y": (examples, 1)}
    try:
        # The shapes first, so that a wrong file is not read.
        if {name: shape for name, shape, _ in io.whosmat(path) if name in expected} != expected:
            raise ValueError(f"it does not hold X and y of {examples:,} images")
        arrays = io.loadmat(path, variable_names=list(expected))
        if arrays["X"].dtype != np.uint8 or not np.isin(arrays["y"], range(1, 11)).all():
            raise ValueError("its pixels are no bytes, or its labels not from 1 to 10")
    except Exception as error:  # scipy raises errors of many types on a damaged file
        raise InputError(f"{path}: not a file of SVHN ({' '.join(str(error).split())}).") from error
    images = np.ascontiguousarray(np.moveaxis(arrays["X"], -1, 0))
    return Split(images, arrays["y"][:, 0].astype(np.int32) % 10)


SVHN = PublishedSource(
    Spec(
        "svhn_cropped",
        f"digits of house numbers, 32 x 32 in colour; {ORDER}",
        (32, 32, 3),
        tuple("0123456789"),
        train_examples=73_257,
        test_examples=26_032,
    ),
    "3.1.0",
    (
        Original(
            "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        Original(
            "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ),
    read=read,
)


def svhn_cropped(normalize: Normalize = "unit") -> PublishedSource:
    """The cropped digits of SVHN."""
    return dataclasses.replace(SVHN, normalize=normalize)
