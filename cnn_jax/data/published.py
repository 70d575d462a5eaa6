"""A dataset of tensorflow_datasets that is read from its authors' files by numpy and kept in the cache alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_jax.data import originals
from cnn_jax.data.dataset import Spec, Split, check
from cnn_jax.data.source import Source, Warn
from cnn_jax.data.tfds_order import tfds_order
from cnn_jax.errors import InputError
from cnn_jax.files import machine_errors, require_writable

# the files of a dataset and its spec -> training split and test split, in the order of the files; raises InputError
Read = Callable[[Sequence[Path], Spec], tuple[Split, Split]]


@dataclass(frozen=True, kw_only=True)
class PublishedSource(Source):
    """Files that are read as they are. `spec.name`, and `version` up to a dash, are those of tfds.

    The images have the order of tfds: where the files are sorted, the first and the last images of a split are still
    of all classes. tfds itself prepares these datasets only with TensorFlow.
    """

    read: Read

    def check(self, manual_dir: Path) -> None:
        originals.find(manual_dir, self.originals)

    def original_index(self) -> np.ndarray:
        return tfds_order("test", self.spec.test_examples)

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        if manual_dir:
            files = originals.find(manual_dir, self.originals)
        else:
            require_writable(folder, flag="data_dir")
            # Our folder is inside tfds's own data folder: what tfds has downloaded is not downloaded again.
            with machine_errors(folder):
                files = originals.gather(self.spec.name, self.originals, folder, folder.parent / "downloads", warn)
        warn(f"{self.spec.name}: reading {', '.join(path.name for path in files)}. This is done once")
        train, test = self.read(files, self.spec)
        try:
            check(self.spec, train, test)
        except ValueError as error:
            raise InputError(f"--dataset={self.spec.name}: not the original images: {error}.") from None
        return _ordered(train, "train"), _ordered(test, "test")


def _ordered(split: Split, name: str) -> Split:
    order = tfds_order(name, len(split))
    return Split(split.images[order], split.labels[order])
