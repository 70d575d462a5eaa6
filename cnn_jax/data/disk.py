"""Writing to the data folder: whole files or none, and errors that say what to do."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cnn_jax.errors import InputError, MachineError

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears at `path` when the block ends well, and leaves nothing otherwise. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}.incomplete")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Raises InputError unless the folder can be written or, where it does not exist yet, be made."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    if not os.path.isdir(nearest):
        raise _cannot_write(folder, f"{nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _cannot_write(folder, f"no permission to write to {nearest}")


@contextmanager
def errors_named(folder: Path) -> Iterator[None]:
    """Turns an OSError into InputError, where the user may not write to the folder, or else MachineError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _REFUSED:
            raise _cannot_write(folder, reason) from error
        raise MachineError(f"Writing to the data folder {folder} failed: {reason}.") from error


def _cannot_write(folder: Path, reason: str) -> InputError:
    return InputError(f"The data folder {folder} cannot be written ({reason}). Choose another: --data_dir=FOLDER.")
