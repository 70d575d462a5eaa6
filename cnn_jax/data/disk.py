"""Writing to the data folder: a file appears whole or not at all, and errors say what to do."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cnn_jax.errors import InputError, MachineError

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` when the block ends without an error, and otherwise does not. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.incomplete")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Raises InputError unless the folder can be written or, where it does not exist yet, be created."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not os.path.isdir(nearest):
        raise _cannot_write(folder, f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _cannot_write(folder, f"no permission to write to {nearest}")


@contextmanager
def errors_explained(folder: Path) -> Iterator[None]:
    """Turns an OSError into InputError where the user may not write to the folder, and else into MachineError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NOT_WRITABLE:
            raise _cannot_write(folder, reason) from error
        raise MachineError(f"Writing to the data folder {folder} failed: {reason}.") from error


def _cannot_write(folder: Path, reason: str) -> InputError:
    return InputError(f"The data folder {folder} cannot be written ({reason}). Choose another: --data_dir=FOLDER.")
