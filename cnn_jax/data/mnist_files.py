"""The files of the MNIST family in the forms in which people have them.

The forms are: the original gzip file, the same content unpacked or packed again, with a dot in the name as in
`t10k-images.idx3-ubyte`, in any case and in folders below, and Keras's `mnist.npz`. The content decides, not the name.
QMNIST is no form of MNIST: its images were made anew and have other pixels.
"""

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnn_jax.data import idx, originals
from cnn_jax.data.source import Original
from cnn_jax.errors import InputError

_NPZ = "mnist.npz"
_NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_DAMAGE_ERRORS = (OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


def read(folder: Path, wanted: Sequence[Original], shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """The arrays of the four originals, uint8 of the given shapes, from a folder or the folders in it.

    wanted: training images, training labels, test images, test labels. Raises InputError, with flag, file and hashes,
    unless the folder holds the content of every original.
    """
    originals.require_folder(folder, wanted)
    return [_read(folder, wanted, number, shape) for number, shape in enumerate(shapes)]


def _read(folder: Path, wanted: Sequence[Original], number: int, shape: tuple[int, ...]) -> np.ndarray:
    original, others = wanted[number], []
    for path in _candidates(folder, original):
        if originals.is_original(original, path):
            return idx.read(path, shape)
        content = _npz_content(path, number, shape) if _is_npz(path) else _unpacked(path, idx.size(shape))
        if hashlib.sha256(content).hexdigest() == original.content_sha256:
            return idx.parse(content, shape, str(path))
        others.append(path)
    raise _refusal(folder, original, others[0]) if others else originals.missing(folder, original, wanted)


def _candidates(folder: Path, original: Original) -> Iterator[Path]:
    """The files that may hold the original, by their names; the nearest first."""
    for path in originals.files(folder):
        if _plain(path.name) == _plain(original.filename) or (_is_npz(path) and original.content_sha256):
            yield path


def _plain(name: str) -> str:
    """A file's name without what differs between copies."""
    return name.lower().removesuffix(".gz").replace(".", "-")


def _is_npz(path: Path) -> bool:
    return path.name.lower() == _NPZ


def _unpacked(path: Path, size: int) -> bytes:
    """The content of an IDX file, packed or not; at most `size + 1` bytes. Nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return (gzip.open(file) if is_packed else file).read(size + 1)
    except (OSError, EOFError, zlib.error):
        return b""


def _npz_content(path: Path, number: int, shape: tuple[int, ...]) -> bytes:
    """What the IDX file of an array in Keras's file would hold. Nothing where it cannot be read, or is another array.

    Nothing is unpickled, and no more is read than an array of this shape has.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{_NPZ_ARRAYS[number]}.npy") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return b""
            if np.lib.format.read_array_header_1_0(file) != (shape, False, np.dtype(np.uint8)):
                return b""
            return idx.header(shape) + file.read(idx.size(shape))
    except _DAMAGE_ERRORS:
        return b""


def _refusal(folder: Path, original: Original, path: Path) -> InputError:
    """The error that names a file which does not hold the original's content."""
    where, name = f"--manual_dir={folder}: {path.relative_to(folder)}", original.filename
    if _is_npz(path):
        return InputError(f"{where} does not hold the content of {name}.")
    if original.content_sha256 is None and path.suffix.lower() != ".gz":
        return InputError(f"{where} cannot be checked: only the SHA-256 of {name} is known. Put that file there.")
    try:
        found = originals.sha256(path)
    except OSError as error:
        return InputError(f"{where} cannot be read ({error.strerror}).")
    unpacked = f", or unpacked {original.content_sha256}" if original.content_sha256 else ""
    return InputError(f"{where} is not the original: SHA-256 {found}, expected {original.sha256}{unpacked}.")
