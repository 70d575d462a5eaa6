"""A folder of pictures as a dataset: `train/CLASS/FILE` and `test/CLASS/FILE`, or `CLASS/FILE`, which is then split."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.source import Normalize, Source, Warn
from cnn_jax.errors import InputError, MachineError, printable
from cnn_jax.files import is_of_the_system
from cnn_jax.settings import About

_VERSION = 1  # of how pictures become images
_PARTS = ("train", "test")  # folders, in any case
_NAMED = 3  # unreadable files in a message
_BLOCK = 64  # pictures that a thread reads before it takes others
_NOTE_EVERY = 5.0  # seconds


class PictureFile(NamedTuple):
    """A file in the dataset's folder. path: below it. size: bytes. changed: the time, in nanoseconds."""

    path: str
    size: int
    changed: int


Classes = dict[str, list[PictureFile]]  # the files of each class, by its name


@dataclass(frozen=True, kw_only=True)
class PictureSource(Source):
    """Pictures in files. train, test: files with their classes. beside: folders that are not read.

    They are read by several threads, since Pillow decodes without Python's lock.
    """

    folder: Path
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    beside: tuple[str, ...]

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        if self.beside:
            warn(
                f"images: folders beside train and test are not read: {printable(', '.join(self.beside))}. "
                "--validation_examples holds out training images"
            )
        files = (*self.train, *self.test)
        try:
            images = np.empty((len(files), *self.spec.image_shape), np.uint8)
        except MemoryError:
            raise MachineError(f"{len(files):,} images of {self.spec.image_shape} do not fit in memory.") from None
        faults = self._read_all([path for path, _ in files], images, warn)
        self._report(faults, warn)
        labels, is_usable = np.array([label for _, label in files], np.int32), np.ones(len(files), bool)
        is_usable[list(faults)] = False
        parts = slice(None, len(self.train)), slice(len(self.train), None)
        splits = [Split(images[part][is_usable[part]], labels[part][is_usable[part]]) for part in parts]
        if not all(map(len, splits)):
            raise InputError(f"--dataset_dir={self.folder}: no readable picture is left to train on, or to test on.")
        return splits[0], splits[1]

    def _read_all(self, paths: Sequence[str], images: np.ndarray, warn: Warn) -> dict[int, str]:
        """Fills `images`. Returns the faults by the index of the file."""
        from cnn_jax.data import pictures  # loads Pillow, which a start from the cache does not need

        shape, faults = self.spec.image_shape, dict[int, str]()

        def read(block: range) -> int:
            for index in block:
                try:
                    images[index] = pictures.as_image(self.folder / paths[index], shape)
                except pictures.UnusablePicture as error:
                    faults[index] = str(error)
            return block.stop

        blocks = [range(first, min(first + _BLOCK, len(paths))) for first in range(0, len(paths), _BLOCK)]
        with pictures.without_warnings(), ThreadPoolExecutor(_cores()) as pool:
            noted = time.monotonic()
            for done in pool.map(read, blocks):
                if time.monotonic() - noted > _NOTE_EVERY:
                    noted = time.monotonic()
                    warn(f"images: {done:,} of {len(paths):,} pictures are read")
        return faults

    def _report(self, faults: Mapping[int, str], warn: Warn) -> None:
        """Raises InputError if there are faults and none may be."""
        if not faults:
            return
        files = (*self.train, *self.test)
        by_path = sorted((files[index][0], fault) for index, fault in faults.items())
        named = "; ".join(f"{path}: {fault}" for path, fault in by_path[:_NAMED])
        more = f"; and {len(faults) - _NAMED:,} more" if len(faults) > _NAMED else ""
        count = f"{len(faults):,} of {len(files):,} files cannot be read as pictures: {named}{more}"
        if not self.skip_unreadable:
            raise InputError(
                f"--dataset_dir={self.folder}: {count}. Mend or remove them, or go on without them with "
                "--dataset.skip_unreadable."
            )
        warn(printable(f"images: left out: {count}"))


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def images(
    dataset_dir: Path,
    size: Annotated[int, About("height and width of the images, in pixels", at_least=1, at_most=2048)] = 32,
    channels: Annotated[Literal[1, 3], About("1: grey, 3: colour")] = 3,
    split_seed: Annotated[int, About("of the random split, where there is no train and test", at_least=0)] = 0,
    test_share: Annotated[float, About("of each class, for that split", above=0, at_most=0.9)] = 0.2,
    skip_unreadable: Annotated[bool, About("leave out files that cannot be read as pictures")] = False,
    normalize: Normalize = "unit",
) -> PictureSource:
    """A folder of your own pictures (--dataset_dir): train/CLASS/FILE and test/CLASS/FILE, or CLASS/FILE

    Files are PNG, JPEG, WebP, BMP, TIFF or GIF, of any size: the middle is scaled to `size`. Classes are sorted by
    name. The order is random, the same on every machine. Raises InputError where the folder is not
    of this form.
    """
    train, test = _parts(dataset_dir, split_seed, test_share)
    names = sorted({*train, *test})
    if len(names) < 2:
        found = f"one class, {names[0]}" if names else "no class"
        raise InputError(
            f"--dataset_dir={dataset_dir}: holds {found}. It must hold a folder of pictures for each class, or train "
            "and test with such folders."
        )
    decisive = (_VERSION, size, channels, split_seed, skip_unreadable, train, test)
    labelled = [[(file.path, names.index(name)) for name in part for file in part[name]] for part in (train, test)]
    # In random order: the last training images may be held out, and the first test images are shown on pages.
    train_files, test_files = (_shuffled(files, [split_seed, part]) for part, files in enumerate(labelled))
    return PictureSource(
        Spec(
            name="images",
            description=f"pictures of {len(names):,} classes",
            image_shape=(size, size, channels),
            classes=tuple(map(printable, names)),
            train_examples=len(train_files),
            test_examples=len(test_files),
        ),
        version=hashlib.sha256(repr(decisive).encode()).hexdigest()[:16],
        cache_name=f"images-{hashlib.sha256(os.fsencode(dataset_dir.absolute())).hexdigest()[:16]}",
        normalize=normalize,
        is_checked=True,
        folder=dataset_dir,
        train=train_files,
        test=test_files,
        beside=_beside(dataset_dir),
        skip_unreadable=skip_unreadable,
    )


def _shuffled(files: Sequence[tuple[str, int]], seed: list[int]) -> tuple[tuple[str, int], ...]:
    return tuple(files[index] for index in np.random.default_rng(seed).permutation(len(files)))


def _parts(dataset_dir: Path, split_seed: int, test_share: float) -> tuple[Classes, Classes]:
    """The files of the training and of the test part. Raises InputError."""
    parts = {name.lower(): name for name in _folders(dataset_dir, "") if name.lower() in _PARTS}
    classes = {part: _classes(dataset_dir, name) for part, name in parts.items()}
    if len(classes) == 2:
        return classes["train"], classes["test"]
    if any(classes.values()):
        [there], [missing] = classes, set(_PARTS) - classes.keys()
        raise InputError(f"--dataset_dir={dataset_dir}: there is a folder {there} of classes, but no folder {missing}.")
    found = _classes(dataset_dir, "")
    if alone := next((name for name, files in found.items() if len(files) < 2), None):
        raise InputError(
            f"--dataset_dir={dataset_dir}: {alone} has one picture, but one to train on and one to test on are needed."
        )
    return _split(found, split_seed, test_share)


def _beside(dataset_dir: Path) -> tuple[str, ...]:
    """The folders beside `train` and `test`, as `val`; none where the folders are classes."""
    names = _folders(dataset_dir, "")
    others = [name for name in names if name.lower() not in _PARTS]
    return tuple(others) if len(names) - len(others) == len(_PARTS) else ()


def _split(classes: Classes, seed: int, test_share: float) -> tuple[Classes, Classes]:
    """Each class divided at random; of two files or more, at least one is on each side.

    A file's name decides where it goes: a new file moves at most one other.
    """
    train, test = Classes(), Classes()
    for name, files in classes.items():
        mixed = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(f"{seed} {file.path}")).digest())
        number = min(max(1, round(test_share * len(files))), len(files) - 1)
        test[name], train[name] = sorted(mixed[:number]), sorted(mixed[number:])
    return train, test


def _classes(dataset_dir: Path, part: str) -> Classes:
    """The files of each class in a part of the dataset, or of the whole one; both in alphabetical order."""
    found = Classes()
    for name in _folders(dataset_dir, part):
        entries = _listed(dataset_dir, os.path.join(part, name))
        found[name] = []
        for entry in entries:
            if entry.is_dir():
                raise InputError(
                    f"--dataset_dir={dataset_dir}: {os.path.join(part, name, entry.name)} is a folder inside a class. "
                    "The pictures must lie in the folder of their class."
                )
            found[name].append(_picture_file(os.path.join(part, name, entry.name), entry))
    return {name: files for name, files in found.items() if files}


def _picture_file(path: str, entry: os.DirEntry) -> PictureFile:
    try:
        status = entry.stat()
    except OSError:  # a broken link: reading it will say so
        return PictureFile(path, 0, 0)
    return PictureFile(path, status.st_size, status.st_mtime_ns)


def _folders(dataset_dir: Path, part: str) -> list[str]:
    return [entry.name for entry in _listed(dataset_dir, part) if entry.is_dir()]


def _listed(dataset_dir: Path, below: str) -> list[os.DirEntry]:
    """The entries of a folder in alphabetical order, without hidden ones and those that systems leave."""
    folder = dataset_dir / below
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError:
        raise InputError(f"--dataset_dir={folder}: is a file. Name a folder of pictures.") from None
    except OSError as error:
        raise InputError(f"--dataset_dir={folder}: cannot be read: {error.strerror}.") from None
    return [entry for entry in found if not is_of_the_system(Path(entry.name))]
