"""Datasets that are read from their authors' files: from a folder or a network, checked, cached, in tfds's order."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io

from cnn_jax import data
from cnn_jax.data.published import PublishedSource
from cnn_jax.data.tfds_order import tfds_order
from cnn_jax.errors import InputError
from tests.data import archives
from tests.data.archives import Archive
from tests.data.conftest import RangeHandler, serving

NAMES = ("cifar10", "cifar100", "emnist", "svhn_cropped")


of_every_dataset = pytest.mark.parametrize("archive", NAMES, indirect=True)


@pytest.fixture
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return archives.make(request.param, tmp_path / "originals")


@pytest.mark.parametrize("name", NAMES)
def test_addresses_sizes_hashes_and_versions_are_tfds_own(name: str) -> None:
    source, builder = data.source(name), tfds.builder_cls(name)
    registered = builder.url_infos
    for original in source.originals:
        info = registered[original.url]
        assert (original.size, original.sha256, original.filename) == (info.size, info.checksum, info.filename)
    assert source.version.partition("-")[0] == str(builder.VERSION)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn_cropped"])
def test_shapes_and_numbers_of_classes_are_tfds_own(name: str, tmp_path: Path) -> None:
    features = tfds.builder_cls(name)(data_dir=tmp_path).info.features
    spec = data.spec(name)
    assert spec.image_shape == features["image"].shape
    assert len(spec.classes) == len(set(spec.classes)) == features["label"].num_classes


@of_every_dataset
def test_images_and_labels_are_those_of_the_files_in_tfds_order(archive: Archive, tmp_path: Path) -> None:
    notes: list[str] = []
    dataset = data.load_from(archive.source, data_dir=tmp_path, manual_dir=archive.folder, warn=notes.append)
    assert len(notes) == 1
    assert "This is done once" in notes[0]
    for name, split, original in (("train", dataset.train, archive.train), ("test", dataset.test, archive.test)):
        order = tfds_order(name, len(original))
        np.testing.assert_array_equal(split.images, original.images[order])
        np.testing.assert_array_equal(split.labels, original.labels[order])
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(archive.source.original_index(), tfds_order("test", archives.TEST))


@of_every_dataset
def test_a_second_start_reads_the_cache_alone(archive: Archive, tmp_path: Path) -> None:
    first = data.load_from(archive.source, data_dir=tmp_path, manual_dir=archive.folder, warn=lambda note: None)
    for path in archive.folder.iterdir():
        path.unlink()
    second = data.load_from(archive.source, data_dir=tmp_path, warn=pytest.fail)
    assert first.fingerprint == second.fingerprint
    assert [path.suffix for path in tmp_path.glob("cnn_jax/**/*") if path.is_file()] == [".npz"]


@of_every_dataset
def test_what_is_missing_is_downloaded_once(archive: Archive, tmp_path: Path) -> None:
    with serving(archive.folder, RangeHandler) as (address, starts):
        archive = moved(archive, address)
        notes: list[str] = []
        dataset = data.load_from(archive.source, data_dir=tmp_path, warn=notes.append)
        assert ["downloading" in note for note in notes] == [True] * len(archive.source.originals) + [False]
        (cache,) = (tmp_path / "cnn_jax").glob("*/*.npz")
        cache.unlink()
        again = data.load_from(archive.source, data_dir=tmp_path, warn=notes.append)
    assert again.fingerprint == dataset.fingerprint
    assert starts == [0] * len(archive.source.originals)


def moved(archive: Archive, address: str) -> Archive:
    originals = tuple(
        dataclasses.replace(original, url=f"{address}/{original.filename}") for original in archive.source.originals
    )
    return dataclasses.replace(archive, source=dataclasses.replace(archive.source, originals=originals))


@of_every_dataset
def test_a_missing_file_is_named_and_nothing_is_written(archive: Archive, tmp_path: Path) -> None:
    name = archive.source.originals[0].filename
    (archive.folder / name).unlink()
    with pytest.raises(InputError, match=rf"--manual_dir={archive.folder}: {name} is missing"):
        data.load_from(archive.source, data_dir=tmp_path / "data", manual_dir=archive.folder)
    assert not (tmp_path / "data").exists()


@of_every_dataset
def test_a_file_with_one_byte_changed_is_refused_with_its_hash(archive: Archive, tmp_path: Path) -> None:
    original = archive.source.originals[0]
    path = archive.folder / original.filename
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{original.filename} is not the original: SHA-256 .*{original.sha256}"):
        data.load_from(archive.source, data_dir=tmp_path / "data", manual_dir=archive.folder)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) * 9 // 10],
        lambda content: b"<!DOCTYPE html><html><body>This page has moved.</body></html>",
        lambda content: b"",
    ],
    ids=["half", "most", "a page", "nothing"],
)
@of_every_dataset
def test_another_structure_is_one_line_that_names_the_file(
    archive: Archive, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """As if this content were the registered one: reading must not depend on the hash alone."""
    archive = archive.rewritten(change)
    with pytest.raises(InputError) as refusal:
        data.load_from(archive.source, data_dir=tmp_path, manual_dir=archive.folder, warn=lambda note: None)
    assert str(archive.folder / archive.source.originals[0].filename) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.glob("cnn_jax/**/*.npz"))


def test_labels_that_the_dataset_does_not_have_are_refused(tmp_path: Path) -> None:
    archive = archives.make("cifar10", tmp_path / "originals")
    train = archives.Split(archive.train.images, archive.train.labels + 5)
    members = archives.cifar10_members(train, archive.test)
    archives.write_tar(archive.folder / "cifar-10-binary.tar.gz", members)
    archive = archive.rewritten()
    with pytest.raises(InputError, match="--dataset=cifar10: not the original images: labels outside 0 to 9"):
        data.load_from(archive.source, data_dir=tmp_path, manual_dir=archive.folder, warn=lambda note: None)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Archive, bytes]]:
    """The small datasets with the content of their first file; SVHN's is not compressed, so that damage reaches it."""
    made = {name: archives.make(name, tmp_path_factory.mktemp(name)) for name in NAMES}
    svhn = made["svhn_cropped"].folder / "train_32x32.mat"
    io.savemat(svhn, {name: array for name, array in io.loadmat(svhn).items() if name in ("X", "y")})
    return {
        name: (archive, (archive.folder / archive.source.originals[0].filename).read_bytes())
        for name, archive in made.items()
    }


@pytest.mark.fuzz
@settings(suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(NAMES),
    where=st.floats(0, 1) | st.floats(0, 0.01),
    kind=st.sampled_from(("cut", "change", "insert", "remove")),
    piece=st.binary(min_size=1, max_size=8),
    is_inside=st.booleans(),
)
def test_an_archive_by_somebody_else_is_read_or_refused(
    contents, name: str, where: float, kind: str, piece: bytes, is_inside: bool
) -> None:
    """As if the content had the registered hash. is_inside: the damage is in what is packed."""
    archive, content = contents[name]
    first, *others = (archive.folder / original.filename for original in archive.source.originals)
    is_packed_tar = is_inside and first.suffix == ".gz"
    damaged = bytearray(gzip.decompress(content) if is_packed_tar else content)
    at = int(where * len(damaged))
    damaged[at : {"cut": None, "change": at + len(piece), "insert": at, "remove": at + len(piece)}[kind]] = (
        piece if kind in ("change", "insert") else b""
    )
    path = archive.folder / f"damaged{first.suffix}"
    path.write_bytes(gzip.compress(damaged, 1) if is_packed_tar else damaged)
    try:
        train, test = archive.source.read([path, *others], archive.source.spec)
    except InputError as refusal:
        assert "\n" not in str(refusal)
        return
    shape = archive.source.spec.image_shape
    assert (train.images.shape, test.images.shape) == ((archives.TRAIN, *shape), (archives.TEST, *shape))


def test_datasets_that_need_their_own_settings_have_caches_of_their_own() -> None:
    sources = [data.source("cifar100", labels=labels) for labels in ("fine", "coarse")]
    sources += [data.source("emnist", split=split) for split in ("letters", "digits", "mnist")]
    assert all(isinstance(source, PublishedSource) for source in sources)
    assert len({(source.spec.name, source.version) for source in sources}) == len(sources)
