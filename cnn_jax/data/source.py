"""What the loader asks of a dataset's source. A new one is a file with a subclass, and a line in `SOURCES`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.notes import Warn
from cnn_jax.data.originals import Original


@dataclass(frozen=True)
class Source(ABC):
    """One dataset: what it is, and where its arrays come from.

    version: part of the cache's file name; a source that begins to give other arrays gets another version.
    originals: the files that it reads, if any.
    """

    spec: Spec
    version: str
    originals: tuple[Original, ...] = ()

    def seeded(self, seed: int) -> "Source":
        """The source that draws with this seed; itself, where nothing is drawn."""
        return self

    @abstractmethod
    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        """The training and the test split, as `spec` describes them. May take long: the result is cached.

        folder: where files may be kept. manual_dir: holds the originals, checked; None: they must be found.
        Raises InputError, MachineError.
        """
