"""Datasets that come from tensorflow_datasets."""

import os
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.data import disk, originals
from cnn_jax.data.dataset import Split
from cnn_jax.data.notes import Warn
from cnn_jax.data.source import Source


@dataclass(frozen=True)
class TfdsSource(Source):
    """A dataset of tensorflow_datasets in four IDX files. `spec.name` and `version` are tfds's.

    originals: training images, training labels, test images, test labels.
    """

    def prepared_folder(self, folder: Path) -> Path:
        """Where tfds keeps the prepared dataset below the data folder."""
        return folder / self.spec.name / self.version

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        from cnn_jax.data import prepared  # imports tensorflow_datasets, which a start from the cache does without

        if not os.path.isdir(self.prepared_folder(folder)):
            disk.require_writable(folder)
            with disk.errors_named(folder):
                manual_dir = manual_dir or self._gather(folder, warn)
                warn(f"{self.spec.name}: preparing it in {folder}, once; this takes about half a minute")
                prepared.prepare(self, folder, manual_dir)
        return prepared.read(self, folder)

    def _gather(self, folder: Path, warn: Warn) -> Path:
        # Ours is a folder inside tfds's own data folder: what tfds has there already is not downloaded again.
        return originals.gather(self.spec.name, self.originals, folder, folder.parent / "downloads", warn)
