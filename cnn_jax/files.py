"""Files: paths as typed, atomic writing, reading of small JSON files, names of new folders."""

import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from cnn_jax.errors import InputError, MachineError

_DAY = 24 * 60 * 60  # seconds
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # one letter alone is a drive
_ROOM = 300  # bytes that a path must leave for the files in it; those of a checkpoint take about 150


def local_path(text: str | os.PathLike[str]) -> Path:
    """The path that a person has typed; `~` in front is the home folder. It need not exist.

    Raises InputError if no file system of this machine can have it, or if it cannot be reached.
    """
    text = os.fspath(text)
    if not text or _ADDRESS.match(text):
        raise InputError(f"{text}: must be a path on this machine.")
    expanded = os.path.expanduser(text)
    if expanded == text and re.match(r"~(/|$)", text):
        raise InputError(f"{text}: there is no home folder. Set HOME, or write the path without ~.")
    longest = os.pathconf("/", "PC_PATH_MAX") if hasattr(os, "pathconf") else math.inf
    if len(os.fsencode(os.path.abspath(expanded))) > longest - _ROOM:
        raise InputError(f"{text}: the path is too long.")
    try:
        os.stat(expanded)
    except (FileNotFoundError, NotADirectoryError):
        pass  # the command says what it needs
    except OSError as error:
        raise InputError(f"{text}: cannot be used: {error.strerror}.") from None
    return Path(expanded)


_OF_SYSTEMS = (  # in lower case
    "thumbs.db",
    "desktop.ini",
    "lost+found",
    "@eadir",
    "__macosx",
    "$recycle.bin",
    "system volume information",
)


def is_of_the_system(path: Path) -> bool:
    """Whether an operating system or a file server puts such a file or folder anywhere. Hidden ones count too."""
    return path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that replaces `path` when the block ends without an error, and else disappears. Raises OSError."""
    _delete_abandoned(path)
    # A name of its own, because several processes may prepare the same dataset at once. A short one: the file's own
    # name may be as long as the file system allows.
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _delete_abandoned(path: Path) -> None:
    """Deletes what killed processes left beside this file. Writing one takes seconds: after a day it is abandoned."""
    for left in path.parent.glob(f".{'[0-9a-f]' * 32}.partial"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _DAY:
                left.unlink()


def write_atomic(path: Path, text: str) -> None:
    """Writes a text file. A reader sees the old content or the new content, never a part. Raises OSError."""
    with atomic_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # a path in the text may be no UTF-8


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, one field a line, as `write_atomic` does. Raises ValueError on numbers that are not finite."""
    write_atomic(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_text(path: Path, largest: int) -> str:
    """Reads a text file of at most `largest` bytes. Raises OSError, or ValueError where it is larger or not UTF-8.

    A byte order mark, which some editors write in front, is left out.
    """
    if path.stat().st_size > largest:
        raise ValueError(f"over {largest:,} bytes")
    return path.read_text(encoding="utf-8-sig")


def read_json(path: Path, largest: int) -> Any:
    """Reads a JSON file of at most `largest` bytes. Raises OSError or ValueError, also where it is nested too deep."""
    try:
        return json.loads(read_text(path, largest))
    except RecursionError:
        raise ValueError("nested too deep") from None


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Makes the folder if it is missing and writes text files by their names. Raises MachineError."""
    with machine_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(folder / name, text)


@contextmanager
def machine_errors(path: Path) -> Iterator[Path]:
    """Turns an OSError of the block, which writes to `path`, into MachineError."""
    try:
        yield path
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror or error}.") from None


def delete(path: Path) -> None:
    """Deletes a file, a link, or a folder with its content. Does nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def numbered(parent: Path, name: str) -> Path:
    """The path `name` in the folder, or the first of `name-2`, `name-3`, ... that does not exist."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def require_free(folder: Path, file: str, *, overwrite: bool, flag: str = "workdir") -> None:
    """Raises InputError if the folder cannot be written, or if it holds `file` and `overwrite` is false."""
    if (folder / file).exists() and not overwrite:
        raise InputError(
            f"--{flag}={folder}: {file} exists already. Name another folder, or use --overwrite to replace it."
        )
    require_writable(folder, flag=flag)


def require_writable(folder: Path, *, flag: str) -> None:
    """Raises InputError if the folder cannot be written or made. Makes nothing."""
    # os.path answers no where Path raises an error: below a folder that the user may not read.
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
    if not os.path.isdir(nearest):
        raise InputError(f"--{flag}={folder}: cannot be written: {nearest} is a file. Name a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"--{flag}={folder}: cannot be written: no permission to write to {nearest}.")


def make_folder(folder: Path, *, flag: str) -> None:
    """Makes the folder if it is missing. Raises InputError if it cannot be made or written."""
    require_writable(folder, flag=flag)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--{flag}={folder}: cannot be written: {error.strerror}.") from None
