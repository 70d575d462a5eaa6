"""Where images come from: `load(name)` gives a dataset's arrays. Importing this room loads numpy and nothing larger."""

import os
import re
from pathlib import Path

from cnn_jax.data import cache, glyphs, mnist, notes, originals, scenes, x_and_o
from cnn_jax.data.dataset import Dataset, Spec, fingerprint
from cnn_jax.data.notes import Warn
from cnn_jax.data.source import Source
from cnn_jax.errors import InputError, unknown_name

SOURCES: tuple[Source, ...] = (
    mnist.MNIST,
    mnist.FASHION_MNIST,
    mnist.KMNIST,
    glyphs.GLYPHS,
    x_and_o.X_AND_O,
    scenes.RGB200,
)


def names() -> list[str]:
    """The datasets that `load` knows, in alphabetical order."""
    return sorted(source.spec.name for source in SOURCES)


def spec(name: str) -> Spec:
    """What is known of a dataset without reading any of it. Raises InputError on an unknown name."""
    return _source(name).spec


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    glyph_seed: int = 0,
    warn: Warn = notes.to_stderr,
) -> Dataset:
    """A dataset's arrays, read-only: from the cache in a fraction of a second, or else from their source.

    data_dir, manual_dir: as tensorflow_datasets means them; data_dir is by default $TFDS_DATA_DIR, or else
    ~/tensorflow_datasets. Everything of ours is in its sub-folder `cnn_jax`; the rest of it is left as it is.
    manual_dir: the original files, checked before anything else. glyph_seed: what glyphs are drawn with; other
    datasets do without. warn: receives notes for the user, a line each.

    Raises InputError where the arguments, the network or the folders' permissions are in the way, MachineError where
    the disk is full or the prepared data are damaged.
    """
    source = _source(name).seeded(glyph_seed)
    folder = _data_folder(data_dir) / "cnn_jax"
    given = Path(manual_dir).expanduser() if manual_dir else None
    if given and source.originals:
        originals.check(given, source.originals)
    path = folder / name / f"{name}-{source.version}.npz"
    try:
        cached = cache.read(path, source.spec, source.version)
    except cache.UnusableCache as error:
        warn(f"{name}: the cache {path} is unusable ({error}) and is made anew")
        cached = None
    return cached if cached is not None else _produce(source, folder, given, path, warn)


def _produce(source: Source, folder: Path, manual_dir: Path | None, cache_path: Path, warn: Warn) -> Dataset:
    """The dataset from its source, put into the cache."""
    train, test = source.produce(folder, manual_dir, warn)
    for array in (train.images, train.labels, test.images, test.labels):
        array.flags.writeable = False  # as from the cache
    dataset = Dataset(source.spec, train, test, fingerprint(train, test))
    try:
        cache.write(cache_path, dataset, source.version)
    except OSError as error:
        reason = error.strerror or error
        warn(f"{source.spec.name}: the cache {cache_path} cannot be written ({reason}); the next start is slow again")
    return dataset


def _source(name: str) -> Source:
    for source in SOURCES:
        if source.spec.name == name:
            return source
    raise unknown_name("--dataset", name, "dataset", names())


def _data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Raises InputError on an address such as gs://bucket, which tfds would take."""
    given = os.fspath(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if re.match(r"\w{2,}:/", given):
        raise InputError(f"--data_dir={given}: must be a folder of this machine.")
    return Path(given).expanduser()
