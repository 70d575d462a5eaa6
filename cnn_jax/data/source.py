"""What the loader needs of a dataset. A new dataset is a file with a `Source`, and a line in `DATASETS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.settings import About

Warn = Callable[[str], None]  # receives notes for the user, one line each

Normalize = Annotated[
    Literal["unit", "standard"],
    About("unit: inputs from 0 to 1; standard: mean 0 and standard deviation 1 in each channel"),
]


@dataclass(frozen=True)
class Original:
    """A file as its authors published it and as tensorflow_datasets registers it. size: bytes.

    content_sha256: of what is packed in a gzip file, where it is known.
    """

    url: str
    size: int
    sha256: str
    content_sha256: str | None = None

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Source(ABC):
    """A dataset: its description, and a function that gives its two splits.

    version: what the cache is of. A source that starts to give other arrays needs another version. originals: the files
    that it reads, if any. cache_name: of the cache's file; None means name and version. normalize: `unit` leaves scale
    and offset as the description has them; `standard` makes mean 0 and standard deviation 1 in each channel.
    is_checked: what a user should know of the images is said when they are read first. skip_unreadable: `produce` may
    give fewer images than the description says.
    """

    spec: Spec
    version: str
    originals: tuple[Original, ...] = ()
    cache_name: str | None = None
    normalize: str = "unit"
    is_checked: bool = False
    skip_unreadable: bool = False

    def check(self, manual_dir: Path) -> None:  # noqa: B027 - most sources read no files
        """Raises InputError unless the folder holds what the source reads. One that reads no files takes any folder."""

    def original_index(self) -> np.ndarray | None:
        """The number of each test image in the original files, from 0: int64 [N]. None where there are no files."""
        return None

    @abstractmethod
    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        """The training and the test split, as `spec` describes them. It may take long: the result is cached.

        folder: where the source may keep files. manual_dir: a folder with the originals, already checked; None means
        that the source finds or downloads them. Raises InputError, MachineError.
        """


@dataclass(frozen=True, kw_only=True)
class DrawnSource(Source):
    """A dataset that is drawn and needs no file. Image i has label i % classes, so that every part is balanced.

    draw: a pure function of labels, int32 [N], and a seed; returns uint8 [N, height, width, channels]. is_slow: the
    user is told to wait.
    """

    draw: Callable[[np.ndarray, int], np.ndarray]
    seed: int = 0
    is_slow: bool = False

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        train, total = self.spec.train_examples, self.spec.train_examples + self.spec.test_examples
        if self.is_slow:
            warn(f"{self.spec.name}: drawing {total:,} images. This is done once and takes some seconds")
        labels = np.arange(total, dtype=np.int32) % len(self.spec.classes)
        images = self.draw(labels, self.seed)
        return Split(images[:train], labels[:train]), Split(images[train:], labels[train:])
