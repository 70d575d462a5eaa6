"""CIFAR's binary archives are read exactly, without unpacking them to the disk, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.errors import InputError
from tests.data import archives


def test_a_record_is_the_label_and_then_the_red_the_green_and_the_blue_rows(tmp_path: Path) -> None:
    """From the description on the authors' page: 1 byte, then 1024 bytes of each colour in row-major order."""
    archive = archives.make("cifar10", tmp_path)
    red, green, blue = (np.full((32, 32), value, np.uint8) for value in (1, 2, 3))
    red[0, 1] = 200  # the second byte of the red ones is the second pixel of the first row
    record = bytes([7]) + red.tobytes() + green.tobytes() + blue.tobytes()
    members = archives.cifar10_members(archive.train, archive.test)
    members["cifar-10-batches-bin/test_batch.bin"] = record * archives.TEST
    archives.write_tar(tmp_path / "cifar-10-binary.tar.gz", members)
    _, test = archive.source.read([tmp_path / "cifar-10-binary.tar.gz"], archive.source.spec)
    assert set(test.labels) == {7}
    assert test.images[0, 0, :3].tolist() == [[1, 2, 3], [200, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_cifar100_has_fine_labels_or_coarse_ones(labels: str, tmp_path: Path) -> None:
    """The other label byte is 255 in the generated file."""
    archive = archives.make("cifar100", tmp_path, labels=labels)
    train, test = archive.source.read([tmp_path / "cifar-100-binary.tar.gz"], archive.source.spec)
    np.testing.assert_array_equal(train.labels, archive.train.labels)
    np.testing.assert_array_equal(test.images, archive.test.images)


def test_classes_are_in_alphabetical_order_as_in_the_archives() -> None:
    for labels, number in (("fine", 100), ("coarse", 20)):
        classes = data.source("cifar100", labels=labels).spec.classes
        assert len(set(classes)) == number
        assert list(classes) == sorted(classes)
    assert data.spec("cifar10").classes[3] == "cat"


@pytest.mark.parametrize(
    ("name", "size"), [("data_batch_1.bin", "30,730,000"), ("data_batch_5.bin", "30,730,000"), ("test_batch.bin", "")]
)
def test_a_missing_file_is_named_with_its_size(name: str, size: str, tmp_path: Path) -> None:
    """30,730,000 bytes: from the authors' page."""
    archive = archives.make("cifar10", tmp_path)
    members = archives.cifar10_members(archive.train, archive.test)
    del members[f"cifar-10-batches-bin/{name}"]
    path = tmp_path / "cifar-10-binary.tar.gz"
    archives.write_tar(path, members)
    with pytest.raises(InputError, match=rf"{path}: holds no file cifar-10-batches-bin/{name} of"):
        archive.source.read([path], archive.source.spec)
    if size:
        with pytest.raises(InputError, match=rf"data_batch_1.bin of {size} bytes"):
            archive.source.read([path], data.spec("cifar10"))


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    archive = archives.make("cifar10", tmp_path)
    members = archives.cifar10_members(archive.train, archive.test)
    members["cifar-10-batches-bin/test_batch.bin"] += b"x"
    path = tmp_path / "cifar-10-binary.tar.gz"
    archives.write_tar(path, members)
    with pytest.raises(InputError, match=r"holds no file cifar-10-batches-bin/test_batch.bin of 36,876 bytes"):
        archive.source.read([path], archive.source.spec)


def test_a_link_in_the_archive_is_not_followed(tmp_path: Path) -> None:
    archive = archives.make("cifar10", tmp_path)
    members = archives.cifar10_members(archive.train, archive.test)
    name = "cifar-10-batches-bin/test_batch.bin"
    content = members.pop(name)
    (tmp_path / "outside").write_bytes(content)
    path = tmp_path / "cifar-10-binary.tar.gz"
    archives.write_tar(path, members)
    with archives.tarfile.open(path, "w:gz") as file:
        link = archives.tarfile.TarInfo(name)
        link.type, link.linkname, link.size = archives.tarfile.SYMTYPE, str(tmp_path / "outside"), len(content)
        file.addfile(link)
    with pytest.raises(InputError):
        archive.source.read([path], archive.source.spec)
