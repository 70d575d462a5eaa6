"""The files that a dataset's makers published: checked, found on this machine, or downloaded."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.data import disk
from cnn_jax.data.notes import Warn
from cnn_jax.errors import InputError, OutOfReachError


@dataclass(frozen=True)
class Original:
    """A file as it was published, and as tensorflow_datasets registers it. size: bytes."""

    url: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]

    def is_at(self, path: Path) -> bool:
        """Whether the path holds this file, byte for byte."""
        try:
            return path.stat().st_size == self.size and sha256(path) == self.sha256
        except OSError:
            return False


def check(folder: Path, originals: Sequence[Original]) -> None:
    """Raises InputError that names flag, file and hashes, unless the folder holds every original, byte for byte."""
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
    """The folder below `folder` that then holds the originals of dataset `name`.

    They come from where tensorflow_datasets keeps its own downloads and files that were put there by hand, or else from
    the network. Raises InputError where they cannot be had, OSError where they cannot be written.
    """
    target = folder / "downloads" / name
    for original in originals:
        path = target / original.filename
        if original.is_at(path):
            continue
        kept = _kept_by_tfds(original, name, tfds_downloads)
        content = kept.read_bytes() if kept else _download(original, name, originals, warn)
        with disk.whole_file(path) as file:
            file.write(content)
    return target


def _kept_by_tfds(original: Original, name: str, tfds_downloads: Path) -> Path | None:
    """tfds names downloads in its own way, so the content decides."""
    for folder in (tfds_downloads / "manual", tfds_downloads / name, tfds_downloads):
        for path in folder.glob("*.gz"):
            if original.is_at(path):
                return path
    return None


def _download(original: Original, name: str, originals: Sequence[Original], warn: Warn) -> bytes:
    from cnn_jax.data import download  # imports requests, which a start from the cache does without

    advice = (
        f"Without a network: put {_names(originals)} into a folder and add --manual_dir=FOLDER, or use "
        "--dataset=glyphs, which needs no file."
    )
    warn(f"{name}: downloading {original.url} ({original.size / 1e6:.1f} MB)")
    try:
        content = download.fetch(original.url, original.size)
    except download.DownloadError as error:
        raise OutOfReachError(f"--dataset={name}: {error}. {advice}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != original.sha256:
        raise InputError(
            f"--dataset={name}: what {original.url} gave is not the original: {len(content):,} bytes with SHA-256 "
            f"{found}, expected {original.size:,} with {original.sha256}. {advice}"
        )
    return content


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(originals: Sequence[Original]) -> str:
    return ", ".join(original.filename for original in originals)
