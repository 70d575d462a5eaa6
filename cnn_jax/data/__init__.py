"""Datasets by name: `load(name)` gives a dataset's arrays. Importing this room loads numpy and nothing larger."""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.data import arrays, cache, checks, cifar, emnist, glyphs, images, mnist, scenes, svhn, x_and_o
from cnn_jax.data.dataset import Dataset, Spec, fingerprint
from cnn_jax.data.source import Source, Warn
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.files import local_path
from cnn_jax.settings import settings_of, takes

# settings -> a dataset, or its source. dataset_dir: the user's folder or file, for those that take it.
DATASETS: Mapping[str, Callable[..., Source | Dataset]] = {
    "mnist": mnist.mnist,
    "fashion_mnist": mnist.fashion_mnist,
    "kmnist": mnist.kmnist,
    "emnist": emnist.emnist,
    "cifar10": cifar.cifar10,
    "cifar100": cifar.cifar100,
    "svhn_cropped": svhn.svhn_cropped,
    "glyphs": glyphs.glyphs,
    "x_and_o": lambda: x_and_o.X_AND_O,
    "rgb200": lambda: scenes.RGB200,
    "images": images.images,
    "arrays": arrays.arrays,
}


def names() -> list[str]:
    """The datasets that `load` knows, in alphabetical order."""
    return sorted(DATASETS)


def source(name: str, **settings: Any) -> Source | Dataset:
    """A shipped dataset, or where it comes from. settings: those of its entry in `DATASETS`. Raises InputError."""
    if name not in DATASETS:
        raise unknown_name("--dataset", name, "dataset", names())
    make, place = DATASETS[name], {}
    if takes(make, "dataset_dir"):
        if not settings.get("dataset_dir"):
            raise InputError(f"--dataset={name}: name its folder or file with dataset_dir.")
        place = {"dataset_dir": local_path(settings.pop("dataset_dir"))}
    known = settings_of(make, supplied=("dataset_dir",))
    for setting in settings:
        if setting not in known:
            raise unknown_name(f"--dataset={name}: setting", setting, "setting", known)
    return make(**place, **{key: known[key].check(value, f"dataset.{key}") for key, value in settings.items()})


def spec(name: str) -> Spec:
    """A shipped dataset's description; no file is read. Raises InputError on an unknown name."""
    return source(name).spec


def _print_to_stderr(note: str) -> None:
    print(note, file=sys.stderr)


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    warn: Warn = _print_to_stderr,
    **settings: Any,
) -> Dataset:
    """A shipped dataset's arrays, as `load_from` gives them. settings: as in `source`."""
    return load_from(source(name, **settings), data_dir=data_dir, manual_dir=manual_dir, warn=warn)


def load_from(
    source: Source | Dataset,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    warn: Warn = _print_to_stderr,
) -> Dataset:
    """A dataset's arrays, read-only: from the cache in a fraction of a second, or else from their source.

    Each call reads and hashes all arrays, so load a dataset once and pass it on. A user's images are checked where they
    do not come from the cache.

    data_dir, manual_dir: as in tensorflow_datasets. data_dir is by default $TFDS_DATA_DIR, or else
    ~/tensorflow_datasets; only its sub-folder `cnn_jax` is written. manual_dir: a folder with the original files, or
    one above it; they are checked first. warn: receives notes for the user, one line each.

    Raises OutOfReachError where the files are not on this machine and cannot be downloaded; InputError where an
    argument or a folder's permissions are wrong; MachineError where the disk is full or the prepared data are damaged.
    """
    if isinstance(source, Dataset):
        _remark(source, warn)
        return source
    dataset = _unscaled(source, data_dir, manual_dir, warn)
    return dataset.standardized() if source.normalize == "standard" else dataset


def _unscaled(
    source: Source, data_dir: str | os.PathLike[str] | None, manual_dir: str | os.PathLike[str] | None, warn: Warn
) -> Dataset:
    """The dataset before its inputs are standardized: from the cache, or from its source."""
    name, data_folder = source.spec.name, _data_folder(data_dir)
    if data_folder is None and not source.originals:
        warn(f"{name}: there is no home folder to keep the data in. The next start makes them again")
        return _made(source, Path(), None, warn)
    if data_folder is None:
        raise InputError("There is no home folder to keep the data in. Name one with --data_dir=FOLDER, or set HOME.")
    folder = data_folder / "cnn_jax"
    manual = Path(os.path.expanduser(manual_dir)) if manual_dir else None
    if manual:
        source.check(manual)
    path = folder / name / f"{source.cache_name or f'{name}-{source.version}'}.npz"
    try:
        dataset = cache.read(path, source.spec, source.version, may_lack=source.skip_unreadable)
    except cache.UnusableCache as error:
        warn(f"{name}: the cache {path} cannot be used ({error}). It is written again")
        dataset = None
    return dataset or _produce(source, folder, manual, path, warn)


def _produce(source: Source, folder: Path, manual_dir: Path | None, cache_path: Path, warn: Warn) -> Dataset:
    """Gets the dataset from its source and writes it to the cache."""
    dataset = _made(source, folder, manual_dir, warn)
    try:
        cache.write(cache_path, dataset, source.version)
    except OSError as error:
        reason = error.strerror or error
        warn(f"{source.spec.name}: the cache {cache_path} cannot be written ({reason}). The next start is slow again")
    return dataset


def _made(source: Source, folder: Path, manual_dir: Path | None, warn: Warn) -> Dataset:
    """The dataset from its source, its arrays read-only, as those from the cache are."""
    train, test = source.produce(folder, manual_dir, warn)
    for array in (train.images, train.labels, test.images, test.labels):
        array.flags.writeable = False
    spec = dataclasses.replace(source.spec, train_examples=len(train), test_examples=len(test))
    dataset = Dataset(spec, train, test, fingerprint(train, test))
    if source.is_checked:
        _remark(dataset, warn)
    return dataset


def _remark(dataset: Dataset, warn: Warn) -> None:
    """Says what a user should know of the images before training."""
    train, test = dataset.train, dataset.test
    for remark in checks.remarks(dataset.spec.classes, (train.images, train.labels), (test.images, test.labels)):
        warn(f"{dataset.spec.name}: {remark}")


def _data_folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    """None where there is no home folder. Raises InputError on an address such as gs://bucket, which tfds accepts."""
    folder = os.fspath(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if re.match(r"\w{2,}:/", folder):
        raise InputError(f"--data_dir={folder}: must be a folder on this machine.")
    expanded = os.path.expanduser(folder)
    return None if expanded == folder and folder.startswith("~/") else Path(expanded)
