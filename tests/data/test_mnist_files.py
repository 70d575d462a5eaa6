"""MNIST's files are accepted in every form in which people have them, if their content is the original's."""

import gzip
import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data import mnist_files
from cnn_jax.errors import InputError
from tests.data.conftest import SmallDataset, generate

IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def mnist(tmp_path: Path) -> SmallDataset:
    """A few generated images in the place of MNIST's."""
    folder = tmp_path / "originals"
    folder.mkdir()
    return generate("mnist", folder)


def read(small: SmallDataset) -> list[np.ndarray]:
    shapes = [(n, *size) for n in (48, 16) for size in ((28, 28), ())]
    return mnist_files.read(small.folder, small.source.originals, shapes)


def each(folder: Path, change: Callable[[Path], object]) -> None:
    for path in [*folder.iterdir()]:
        change(path)


def unpack(path: Path, name: str = "") -> Path:
    unpacked = path.parent / (name or path.name.removesuffix(".gz"))
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    content = gzip.decompress(path.read_bytes())
    path.unlink()
    unpacked.write_bytes(content)
    return unpacked


def pack_again(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))


def keras(folder: Path, name: str = "mnist.npz", **changes: np.ndarray) -> None:
    """Keras's file, in the place of the four."""
    arrays = {}
    for path, key in zip(sorted(folder.iterdir()), ("x_test", "y_test", "x_train", "y_train"), strict=True):
        content = gzip.decompress(path.read_bytes())
        shape = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
        arrays[key] = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)
        path.unlink()
    np.savez_compressed(folder / name, **(arrays | changes))


def torchvision(folder: Path, below: str = "MNIST/raw") -> None:
    """The packed files and the unpacked ones, beside those of another dataset under the same names."""
    for place in (below, "FashionMNIST/raw"):
        (folder / place).mkdir(parents=True)
    for path in [*folder.glob("*.gz")]:
        (folder / "FashionMNIST/raw" / path.name).write_bytes(gzip.compress(b"of another dataset"))
        (folder / "FashionMNIST/raw" / path.stem).write_bytes(b"of another dataset")
        path.rename(folder / below / path.name)
        (folder / below / path.stem).write_bytes(gzip.decompress((folder / below / path.name).read_bytes()))


FORMS = {
    "the originals": lambda folder: None,
    "unpacked": lambda folder: each(folder, unpack),
    "Kaggle's names": lambda folder: each(folder, lambda path: unpack(path, path.stem.replace("-idx", ".idx"))),
    "folders of the same names": lambda folder: each(folder, lambda path: unpack(path, f"{path.stem}/{path.stem}")),
    "capital letters": lambda folder: each(folder, lambda path: path.rename(path.with_name(path.name.upper()))),
    "packed again": lambda folder: each(
        folder, lambda path: path.write_bytes(gzip.compress(unpack(path).read_bytes()))
    ),
    "torchvision's root": torchvision,
    "the folder above it": lambda folder: torchvision(folder, "data/MNIST/raw"),
    "torchvision's root, unpacked alone": lambda folder: (
        torchvision(folder),
        [path.unlink() for path in (folder / "MNIST/raw").glob("*.gz")],
    ),
    "Keras's file": keras,
    "Keras's file below": lambda folder: (
        keras(folder),
        (folder / "datasets").mkdir(),
        (folder / "mnist.npz").rename(folder / "datasets/MNIST.npz"),
    ),
    "a damaged file beside a good one": lambda folder: (
        each(folder, lambda path: unpack(path, f"a/{path.stem}")),
        (folder / IMAGES).write_bytes(b"x"),
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_arrays_are_read_from_every_form(mnist: SmallDataset, form: Callable[[Path], object]) -> None:
    form(mnist.folder)
    train, train_labels, test, test_labels = read(mnist)
    np.testing.assert_array_equal(train, mnist.train.images[..., 0])
    np.testing.assert_array_equal(train_labels, mnist.train.labels)
    np.testing.assert_array_equal(test, mnist.test.images[..., 0])
    np.testing.assert_array_equal(test_labels, mnist.test.labels)


def test_mnist_is_prepared_from_keras_file_to_the_same_bits(mnist: SmallDataset, register, tmp_path: Path) -> None:
    register(mnist)
    from_originals, _ = mnist.load(tmp_path / "a", mnist.folder)
    keras(mnist.folder)
    from_keras_file, _ = mnist.load(tmp_path / "b", mnist.folder)
    assert from_keras_file == from_originals


def damage(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


REFUSED = {
    "unpacked, another byte": lambda folder: (
        path := unpack(folder / f"{IMAGES}.gz"),
        path.write_bytes(damage(path.read_bytes())),
    ),
    "unpacked, a byte more": lambda folder: (
        path := unpack(folder / f"{IMAGES}.gz"),
        path.write_bytes(path.read_bytes() + b"x"),
    ),
    "packed again, another byte": lambda folder: (
        path := folder / f"{IMAGES}.gz",
        path.write_bytes(gzip.compress(damage(gzip.decompress(path.read_bytes())))),
    ),
    "packed, cut short": lambda folder: (
        path := folder / f"{IMAGES}.gz",
        path.write_bytes(path.read_bytes()[:-1000]),
    ),
    "not readable": lambda folder: (
        path := unpack(folder / f"{IMAGES}.gz"),
        path.write_bytes(b"\x1f\x8b"),
    ),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_another_content_is_refused_with_file_and_hashes(mnist: SmallDataset, change: Callable) -> None:
    change(mnist.folder)
    with pytest.raises(InputError) as refusal:
        read(mnist)
    (path,) = (path for path in mnist.folder.iterdir() if path.name.startswith(IMAGES))
    original = mnist.source.originals[0]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    words = (f"--manual_dir={mnist.folder}: {path.name}", found, original.sha256, str(original.content_sha256))
    assert all(word in str(refusal.value) for word in words)


class Trap:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((48, 28, 28), np.uint8),
        np.zeros((48, 28, 28), np.int64),
        np.zeros((48, 28, 27), np.uint8),
        np.asfortranarray(np.zeros((48, 28, 28), np.uint8)),
        np.array([Trap()], object),
    ],
    ids=["other pixels", "other type", "other shape", "other order", "pickled"],
)
def test_keras_file_with_other_arrays_is_refused(
    mnist: SmallDataset, array: np.ndarray, nothing_is_unpickled: None
) -> None:
    keras(mnist.folder, x_train=array)
    with pytest.raises(InputError, match=rf"mnist\.npz does not hold the content of {IMAGES}.gz"):
        read(mnist)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip file"])
def test_a_file_that_is_only_called_like_keras_is_refused(mnist: SmallDataset, content: bytes) -> None:
    keras(mnist.folder)
    (mnist.folder / "mnist.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"mnist\.npz does not hold the content"):
        read(mnist)


def test_a_compressed_bomb_in_keras_file_is_not_read(mnist: SmallDataset) -> None:
    keras(mnist.folder)
    header = {"shape": (48, 28, 28), "fortran_order": False, "descr": "|u1"}
    with (
        zipfile.ZipFile(mnist.folder / "mnist.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x_train.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(50_000_000))
    with pytest.raises(InputError, match="does not hold the content"):
        read(mnist)


def test_what_cannot_be_checked_is_refused_with_what_to_do(small: SmallDataset) -> None:
    """Of Fashion-MNIST the hash of the packed file alone is registered."""
    unpack(small.folder / f"{IMAGES}.gz")
    with pytest.raises(InputError, match=rf"{IMAGES} cannot be checked: only the SHA-256 of {IMAGES}.gz is known"):
        read(small)


def test_qmnist_is_not_taken_for_mnist(mnist: SmallDataset) -> None:
    each(mnist.folder, lambda path: path.rename(path.with_name(f"qmnist-{path.name}")))
    with pytest.raises(InputError, match=f"{IMAGES}.gz is missing"):
        read(mnist)


def test_hashes_are_those_of_what_is_in_mnists_files(mnist_dir: Path) -> None:
    for original in data.source("mnist").originals:
        content = gzip.decompress((mnist_dir / original.filename).read_bytes())
        assert hashlib.sha256(content).hexdigest() == original.content_sha256


def test_real_mnist_is_accepted_unpacked(mnist_dir: Path, tmp_path: Path) -> None:
    for original in data.source("mnist").originals:
        content = gzip.decompress((mnist_dir / original.filename).read_bytes())
        (tmp_path / original.filename.removesuffix(".gz")).write_bytes(content)
    data.source("mnist").check(tmp_path)
