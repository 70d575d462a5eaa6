"""Small copies of the files that authors published: the exact formats, with a few generated images."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy import io as scipy_io

from cnn_jax import data
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.published import PublishedSource
from cnn_jax.data.source import Original

TRAIN, TEST = 40, 12


@dataclasses.dataclass(frozen=True)
class Archive:
    """A dataset of a few images, its files in a folder, and its splits in the order of the files."""

    source: PublishedSource
    folder: Path
    train: Split
    test: Split

    def rewritten(self, change: Callable[[bytes], bytes] = lambda content: content) -> "Archive":
        """The same dataset, after its first file was changed and the new content registered."""
        first, *others = self.source.originals
        path = self.folder / first.filename
        path.write_bytes(change(path.read_bytes()))
        source = dataclasses.replace(self.source, originals=(_registered(first, path), *others))
        return dataclasses.replace(self, source=source)


def make(name: str, folder: Path, **settings: str) -> Archive:
    """A small copy of a dataset. settings: those of its source."""
    source = data.source(name, **settings)
    assert isinstance(source, PublishedSource)
    spec = dataclasses.replace(source.spec, train_examples=TRAIN, test_examples=TEST)
    train, test = _random(spec, TRAIN, 0), _random(spec, TEST, 1)
    write = {"cifar10": _write_cifar10, "cifar100": _write_cifar100, "svhn_cropped": _write_svhn}.get(name)
    folder.mkdir(exist_ok=True)
    if write:
        write(folder, train, test, **settings)
    else:
        _write_emnist(folder, train, test, **settings)
    originals = tuple(_registered(original, folder / original.filename) for original in source.originals)
    return Archive(dataclasses.replace(source, spec=spec, originals=originals), folder, train, test)


def _registered(original: Original, path: Path) -> Original:
    content = path.read_bytes()
    return dataclasses.replace(original, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _random(spec: Spec, examples: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(examples, dtype=np.int32) % len(spec.classes))
    return Split(rng.integers(0, 256, (examples, *spec.image_shape), np.uint8), labels)


def write_tar(path: Path, members: Mapping[str, bytes]) -> None:
    """A .tar.gz file with folders before the files in them, as tar writes it."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name.endswith("/"):
                member.type, member.size = tarfile.DIRTYPE, 0
            archive.addfile(member, io.BytesIO(content))


def cifar_records(split: Split, *label_bytes: np.ndarray) -> bytes:
    """Label bytes, then the red, the green and the blue pixels, of each image."""
    pixels = split.images.transpose(0, 3, 1, 2).reshape(len(split), -1)
    return np.concatenate([*(label.astype(np.uint8)[:, None] for label in label_bytes), pixels], axis=1).tobytes()


def cifar10_members(train: Split, test: Split) -> dict[str, bytes]:
    part = len(train) // 5
    batches = {
        f"data_batch_{i + 1}.bin": cifar_records(train[i * part :][:part], train.labels[i * part :][:part])
        for i in range(5)
    }
    contents = {
        "": b"",
        "batches.meta.txt": b"airplane\n",
        **batches,
        "readme.html": b"<html>",
        "test_batch.bin": cifar_records(test, test.labels),
    }
    return {f"cifar-10-batches-bin/{name}": content for name, content in contents.items()}


def _write_cifar10(folder: Path, train: Split, test: Split) -> None:
    write_tar(folder / "cifar-10-binary.tar.gz", cifar10_members(train, test))


def _write_cifar100(folder: Path, train: Split, test: Split, labels: str = "fine") -> None:
    """The label byte that is not asked for is 255."""

    def records(split: Split) -> bytes:
        other = np.full(len(split), 255)
        return cifar_records(split, *((other, split.labels) if labels == "fine" else (split.labels, other)))

    contents = {"": b"", "train.bin": records(train), "test.bin": records(test), "fine_label_names.txt": b"apple\n"}
    members = {f"cifar-100-binary/{name}": content for name, content in contents.items()}
    write_tar(folder / "cifar-100-binary.tar.gz", members)


def _write_svhn(folder: Path, train: Split, test: Split) -> None:
    for name, split in (("train", train), ("test", test)):
        labels = np.where(split.labels == 0, 10, split.labels).astype(np.uint8)[:, None]
        images = np.moveaxis(split.images, 0, -1)
        scipy_io.savemat(folder / f"{name}_32x32.mat", {"X": images, "y": labels}, do_compression=True)


def idx_gz(array: np.ndarray) -> bytes:
    """A gzip-compressed IDX file."""
    return gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def emnist_members(train: Split, test: Split, split: str) -> dict[str, bytes]:
    """The images are stored column by column, and the labels of the letters are from 1 to 26."""
    members = {f"gzip/emnist-{split}-mapping.txt": b"1 65 97\n"}
    for part, content in (("train", train), ("test", test)):
        labels = content.labels.astype(np.uint8) + (split == "letters")
        members[f"gzip/emnist-{split}-{part}-images-idx3-ubyte.gz"] = idx_gz(
            np.ascontiguousarray(content.images[..., 0].swapaxes(1, 2))
        )
        members[f"gzip/emnist-{split}-{part}-labels-idx1-ubyte.gz"] = idx_gz(labels)
    return members


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _write_emnist(folder: Path, train: Split, test: Split, split: str = "letters") -> None:
    write_zip(folder / "gzip.zip", emnist_members(train, test, split))
