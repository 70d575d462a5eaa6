"""The files that a dataset's authors published: checked, found on this machine, or downloaded."""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cnn_jax.data.source import Original, Warn
from cnn_jax.errors import InputError, OutOfReachError

_DEEPEST = 3  # levels of folders below --manual_dir that are searched; torchvision's files are in ROOT/MNIST/raw


def find(folder: Path, originals: Sequence[Original]) -> tuple[Path, ...]:
    """The originals in a folder or in the folders in it, whatever case their names have.

    Raises InputError, with flag, file and hashes, unless the folder holds every original, byte for byte.
    """
    require_folder(folder, originals)
    return tuple(_find(folder, original, originals) for original in originals)


def require_folder(folder: Path, originals: Sequence[Original]) -> None:
    """Raises InputError if there is no such folder."""
    if not os.path.isdir(folder):
        raise InputError(f"--manual_dir={folder}: no such folder. It must hold {_names(originals)}.")


def missing(folder: Path, original: Original, originals: Sequence[Original]) -> InputError:
    """The error that names an original that the folder lacks."""
    return InputError(
        f"--manual_dir={folder}: {original.filename} is missing. The folder must hold {_names(originals)}."
    )


def files(folder: Path) -> Iterator[Path]:
    """The files in a folder, then those in the folders in it, and so on; not very deep, and not through links."""
    level = [folder]
    for _ in range(_DEEPEST + 1):
        entries = [entry for parent in level for entry in _entries(parent)]
        yield from (Path(entry) for entry in entries if os.path.isfile(entry))
        level = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _find(folder: Path, original: Original, originals: Sequence[Original]) -> Path:
    name, others = original.filename, []
    for path in files(folder):
        if path.name.lower() == name.lower():
            if is_original(original, path):
                return path
            others.append(path)
    if not others:
        raise missing(folder, original, originals)
    try:
        found = sha256(others[0])
    except OSError as error:
        raise InputError(f"--manual_dir={folder}: {name} cannot be read ({error.strerror}).") from error
    raise InputError(f"--manual_dir={folder}: {name} is not the original: SHA-256 {found}, expected {original.sha256}.")


def gather(
    name: str, originals: Sequence[Original], folder: Path, tfds_downloads: Path, warn: Warn
) -> tuple[Path, ...]:
    """The originals of dataset `name`, on this machine.

    A file is found where an earlier call or tensorflow_datasets has put it, or the user by hand for tfds. Else it is
    downloaded into a folder below `folder`. Raises OutOfReachError where the network does not give a file, InputError
    where it gives another file, OSError where a file cannot be written.
    """
    target = folder / "downloads" / name

    def path_of(original: Original) -> Path | None:
        path = target / original.filename
        return path if is_original(original, path) else _kept_by_tfds(original, name, tfds_downloads)

    paths = [path_of(original) for original in originals]
    if None in paths:
        with _alone(target, name, warn):
            for i, original in enumerate(originals):
                paths[i] = paths[i] or path_of(original) or _download(original, name, originals, target, warn)
    return tuple(path for path in paths if path)


def sha256(path: Path) -> str:
    """The hash of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_original(original: Original, path: Path) -> bool:
    """Whether the file is there and is, byte for byte, the original."""
    try:
        return path.stat().st_size == original.size and sha256(path) == original.sha256
    except OSError:
        return False


def _kept_by_tfds(original: Original, name: str, tfds_downloads: Path) -> Path | None:
    """tfds gives downloads names of its own, so the file is found by its content."""
    for folder in (tfds_downloads / "manual", tfds_downloads / name, tfds_downloads):
        for path in folder.glob(f"*{Path(original.filename).suffix}"):
            if is_original(original, path):
                return path
    return None


@contextmanager
def _alone(target: Path, name: str, warn: Warn) -> Iterator[None]:
    """Makes the folder for the block, and removes it if it stays empty. One process at a time is in the block.

    Raises OSError.
    """
    from filelock import FileLock, Timeout  # a start from the cache does not need it

    lock, is_first_try = FileLock(target / ".lock"), True
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    while not lock.is_locked:
        if target.is_file():
            raise FileExistsError(errno.EEXIST, "is a file, not a folder", str(target))
        # Not found, or found for a moment: the process before is removing the empty folder.
        with suppress(Timeout, FileNotFoundError, FileExistsError):
            target.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=1)
        if is_first_try and not lock.is_locked:
            warn(f"{name}: another process is downloading the files. Waiting for it")
        is_first_try = False
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _download(original: Original, name: str, originals: Sequence[Original], target: Path, warn: Warn) -> Path:
    """Downloads a file, or the rest of it if its beginning has been kept from an earlier time."""
    from cnn_jax.data import download  # loads requests, which a start from the cache does not need

    path = target / original.filename
    partial = path.with_name(f"{path.name}.partial")
    kept = partial.stat().st_size if partial.exists() else 0
    megabytes = f"{original.size / 1e6:.1f} MB" + (f", from {kept / 1e6:.1f} MB on" if kept else "")
    warn(f"{name}: downloading {original.url} ({megabytes})")
    try:
        if kept < original.size:
            download.fetch(original.url, partial, original.size, silence=download.SILENCE)
    except download.DownloadError as error:
        raise OutOfReachError(f"--dataset={name}: {error}. {_advice(originals)}") from error
    if is_original(original, partial):
        return partial.replace(path)
    size, found = partial.stat().st_size, sha256(partial)
    partial.unlink()
    if kept:
        warn(f"{name}: what was kept of {original.filename} does not fit. It is downloaded from the beginning")
        return _download(original, name, originals, target, warn)
    raise InputError(
        f"--dataset={name}: the file from {original.url} is not the original: it has {size:,} bytes and SHA-256 "
        f"{found}, expected {original.size:,} bytes and {original.sha256}. {_advice(originals)}"
    )


def _advice(originals: Sequence[Original]) -> str:
    return (
        f"Without a network: put {_names(originals)} into a folder and add --manual_dir=FOLDER, or use "
        "--dataset=glyphs, which needs no file."
    )


def _names(originals: Sequence[Original]) -> str:
    return ", ".join(original.filename for original in originals)
