"""The decoded arrays of a dataset in one file, so that a second start takes a fraction of a second.

An uncompressed `.npz` that `numpy.load` can read too, without pickle. Shapes and dtypes are known before the file is
read, and its content must have the stored fingerprint, so a damaged or foreign file is never used.
"""

import dataclasses
import math
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cnn_jax.data.dataset import Dataset, Spec, Split, check, fingerprint
from cnn_jax.files import atomic_file

_LARGEST_HEADER = 256  # bytes; numpy writes 128
_DAMAGE_ERRORS = (OSError, EOFError, KeyError, MemoryError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


class UnusableCache(Exception):
    """The file exists but cannot be used; the text is the reason."""


def read(path: Path, spec: Spec, version: str, *, may_lack: bool = False) -> Dataset | None:
    """The dataset in a file that `write` wrote, its arrays read-only; None where there is no file.

    may_lack: it may have fewer images than the description says, those of files that could not be read.

    Raises UnusableCache where the file is truncated or changed, or is not a cache of this dataset and version.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableCache(error.strerror) from error
    with file:
        try:
            return _parse(file, spec, version, may_lack)
        except _DAMAGE_ERRORS as error:
            raise UnusableCache(str(error).strip("'\"") or type(error).__name__) from error


def write(path: Path, dataset: Dataset, version: str) -> None:
    """Stores a dataset. Other processes see the whole file or none. Raises OSError."""
    train, test = dataset.train, dataset.test
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez(
            file,
            dataset=_identity(dataset.spec, version),
            fingerprint=np.array(dataset.fingerprint),
            examples=_examples(dataset.spec),
            train_images=train.images,
            train_labels=train.labels,
            test_images=test.images,
            test_labels=test.labels,
        )


def _parse(file: BinaryIO, spec: Spec, version: str, may_lack: bool) -> Dataset:
    """Raises one of `_DAMAGE_ERRORS`."""
    with zipfile.ZipFile(file) as archive:
        identity = _identity(spec, version)
        if _member(archive, "dataset", identity.shape, identity.dtype) != identity:
            raise ValueError("it is of other files or settings")
        stored = _member(archive, "fingerprint", (), np.dtype("<U64")).item()
        spec = _with_stored_examples(archive, spec) if may_lack else spec
        train = _split(archive, "train", spec.train_examples, spec)
        test = _split(archive, "test", spec.test_examples, spec)
    check(spec, train, test)
    if fingerprint(train, test) != stored:
        raise ValueError("its content has changed since it was written")
    return Dataset(spec, train, test, stored)


def _with_stored_examples(archive: zipfile.ZipFile, spec: Spec) -> Spec:
    """The description with the numbers of images that the file has."""
    train, test = _member(archive, "examples", (2,), np.dtype(np.int64)).tolist()
    if not (0 < train <= spec.train_examples and 0 < test <= spec.test_examples):
        raise ValueError("it holds other numbers of images")
    return dataclasses.replace(spec, train_examples=train, test_examples=test)


def _split(archive: zipfile.ZipFile, part: str, examples: int, spec: Spec) -> Split:
    images = _member(archive, f"{part}_images", (examples, *spec.image_shape), np.dtype(np.uint8))
    return Split(images, _member(archive, f"{part}_labels", (examples,), np.dtype(np.int32)))


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of known shape and dtype: the last bytes of numpy's `.npy` format."""
    size = math.prod(shape) * dtype.itemsize
    entry = archive.getinfo(f"{name}.npy")
    if not size <= entry.file_size <= size + _LARGEST_HEADER or entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} has the wrong size")
    content = archive.read(entry)
    return np.frombuffer(content, dtype, offset=len(content) - size).reshape(shape)


def _examples(spec: Spec) -> np.ndarray:
    return np.array([spec.train_examples, spec.test_examples], np.int64)


def _identity(spec: Spec, version: str) -> np.ndarray:
    return np.array(f"{spec.name} {version}")
