"""The files that a dataset's authors published: checked, found on this machine, or downloaded."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.data.source import Original, Warn
from cnn_jax.errors import InputError, OutOfReachError
from cnn_jax.files import atomic_file


def check(folder: Path, originals: Sequence[Original]) -> None:
    """Raises InputError, with flag, file and hashes, unless the folder holds every original, byte for byte."""
    flag = f"--manual_dir={folder}"
    if not os.path.isdir(folder):
        raise InputError(f"{flag}: no such folder. It must hold {_names(originals)}.")
    for original in originals:
        path = folder / original.filename
        if not os.path.isfile(path):
            raise InputError(f"{flag}: {original.filename} is missing. The folder must hold {_names(originals)}.")
        try:
            found = sha256(path)
        except OSError as error:
            raise InputError(f"{flag}: {original.filename} cannot be read ({error.strerror}).") from error
        if found != original.sha256:
            raise InputError(
                f"{flag}: {original.filename} is not the original: SHA-256 {found}, expected {original.sha256}."
            )


def gather(name: str, originals: Sequence[Original], folder: Path, tfds_downloads: Path, warn: Warn) -> Path:
    """Puts the originals of dataset `name` into a folder below `folder`, and returns that folder.

    A file is copied from tensorflow_datasets' own downloads, or from where the user put it by hand for tfds; else it
    is downloaded. Raises OutOfReachError where the network does not give a file, InputError where it gives another
    file, OSError where a file cannot be written.
    """
    target = folder / "downloads" / name
    for original in originals:
        path = target / original.filename
        if _is_original(original, path):
            continue
        kept = _kept_by_tfds(original, name, tfds_downloads)
        content = kept.read_bytes() if kept else _download(original, name, originals, warn)
        target.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(content)
    return target


def sha256(path: Path) -> str:
    """The hash of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_original(original: Original, path: Path) -> bool:
    try:
        return path.stat().st_size == original.size and sha256(path) == original.sha256
    except OSError:
        return False


def _kept_by_tfds(original: Original, name: str, tfds_downloads: Path) -> Path | None:
    """tfds gives downloads names of its own, so the file is found by its content."""
    for folder in (tfds_downloads / "manual", tfds_downloads / name, tfds_downloads):
        for path in folder.glob("*.gz"):
            if _is_original(original, path):
                return path
    return None


def _download(original: Original, name: str, originals: Sequence[Original], warn: Warn) -> bytes:
    from cnn_jax.data import download  # loads requests, which a start from the cache does not need

    advice = (
        f"Without a network: put {_names(originals)} into a folder and add --manual_dir=FOLDER, or use "
        "--dataset=glyphs, which needs no file."
    )
    warn(f"{name}: downloading {original.url} ({original.size / 1e6:.1f} MB)")
    try:
        content = download.fetch(original.url, original.size, silence=download.SILENCE)
    except download.DownloadError as error:
        raise OutOfReachError(f"--dataset={name}: {error}. {advice}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != original.sha256:
        raise InputError(
            f"--dataset={name}: the file from {original.url} is not the original: it has {len(content):,} bytes and "
            f"SHA-256 {found}, expected {original.size:,} bytes and {original.sha256}. {advice}"
        )
    return content


def _names(originals: Sequence[Original]) -> str:
    return ", ".join(original.filename for original in originals)
