"""Arrays in a user's files as a dataset: an .npz file, or a folder of .npy files, which are mapped into memory."""

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.source import Normalize
from cnn_jax.errors import InputError

NAMES = ("train_images", "train_labels", "test_images", "test_labels")
KERAS_NAMES = ("x_train", "y_train", "x_test", "y_test")
_DAMAGE_ERRORS = (
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    TokenError,
)


def arrays(dataset_dir: Path, normalize: Normalize = "unit") -> Dataset:
    """Your own arrays (--dataset_dir): an .npz file or a folder of .npy files, of images and labels

    The names are train_images, train_labels, test_images, test_labels, or Keras's x_train, y_train, x_test, y_test.
    images: uint8 [N, H, W] or [N, H, W, C]. labels: integers [N] or [N, 1], from 0. Nothing is unpickled. Raises
    InputError where the arrays cannot be read or are no dataset.
    """
    flag = f"--dataset_dir={dataset_dir}"
    try:
        found = _in_folder(dataset_dir) if dataset_dir.is_dir() else _in_file(dataset_dir)
    except _DAMAGE_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error).strip("'\"") or type(error).__name__
        raise InputError(f"{flag}: cannot be read as arrays: {reason}.") from None
    names = next((names for names in (NAMES, KERAS_NAMES) if found.keys() >= set(names)), None)
    if names is None:
        has = ", ".join(sorted(found)) or "none of these"
        raise InputError(f"{flag}: has {has}. Expected are {', '.join(NAMES)}, or {', '.join(KERAS_NAMES)}.")
    try:
        dataset = Dataset.from_arrays(*(found[name] for name in names))
    except InputError as error:
        raise InputError(f"{flag}: {str(error).removeprefix('arrays: ')}") from None
    return dataset.standardized() if normalize == "standard" else dataset


def _in_folder(folder: Path) -> dict[str, np.ndarray]:
    """The arrays in the folder's .npy files, mapped into memory. Raises one of `_DAMAGE_ERRORS`."""
    files = [folder / f"{name}.npy" for name in (*NAMES, *KERAS_NAMES)]
    found = {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in files if file.is_file()}
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def _in_file(file: Path) -> dict[str, np.ndarray]:
    """The arrays in an .npz file. Raises one of `_DAMAGE_ERRORS`."""
    with file.open("rb") as stream:  # numpy leaves a file open that it cannot read
        if not zipfile.is_zipfile(stream):
            raise ValueError("it is no .npz file")
        stream.seek(0)
        archive = np.load(stream, allow_pickle=False)
        return {name: archive[name] for name in (*NAMES, *KERAS_NAMES) if name in archive.files}
