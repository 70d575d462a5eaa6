"""Original files are used only when they are, byte for byte, those that tensorflow_datasets registers."""

import os
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from cnn_jax import data
from cnn_jax.data import originals
from cnn_jax.errors import InputError


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "mnist"])
def test_names_sizes_hashes_versions_and_classes_are_tfds_own(name: str, tmp_path: Path) -> None:
    source = data.source(name)
    builder = tfds.builder_cls(name)(data_dir=tmp_path)
    registered = checksums.get_all_url_infos()
    assert len(source.originals) == 4
    for original in source.originals:
        info = registered[original.url]
        assert original.url.startswith(builder.URL)
        assert (original.size, original.sha256, original.filename) == (info.size, info.checksum, info.filename)
    assert source.version == str(builder.version)
    assert list(source.spec.classes) == builder.info.features["label"].names
    assert source.spec.image_shape == builder.info.features["image"].shape


def test_the_complete_folder_is_accepted(small) -> None:
    originals.check(small.folder, small.source.originals)


def test_a_wrong_file_is_named_with_its_hash_and_the_expected_one(small) -> None:
    original = small.source.originals[2]
    path = small.folder / original.filename
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError) as refusal:
        originals.check(small.folder, small.source.originals)
    found = originals.sha256(path)
    for word in (f"--manual_dir={small.folder}", original.filename, original.sha256, found):
        assert word in str(refusal.value)


@pytest.mark.parametrize("instead", ["nothing", "folder", "pipe"])
def test_a_missing_file_is_named(small, instead: str) -> None:
    path = small.folder / "train-labels-idx1-ubyte.gz"
    path.unlink()
    if instead == "folder":
        path.mkdir()
    elif instead == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError, match=rf"--manual_dir={small.folder}: train-labels-idx1-ubyte.gz is missing"):
        originals.check(small.folder, small.source.originals)


@pytest.mark.parametrize("folder", ["missing", "train-labels-idx1-ubyte.gz"])
def test_a_missing_folder_is_named_and_so_are_the_files_to_put_there(small, folder: str) -> None:
    with pytest.raises(InputError, match="no such folder") as refusal:
        originals.check(small.folder / folder, small.source.originals)
    for original in small.source.originals:
        assert original.filename in str(refusal.value)


def gather(small, folder: Path, notes: list[str]) -> Path:
    return originals.gather("fashion_mnist", small.source.originals, folder, folder.parent / "downloads", notes.append)


@pytest.mark.parametrize("kept_in", ["downloads/manual", "downloads/fashion_mnist", "downloads"])
def test_what_tfds_keeps_already_is_not_downloaded_again(
    small, tmp_path: Path, refusing_address: str, kept_in: str
) -> None:
    small = small.served_from(refusing_address)
    kept = tmp_path / kept_in
    kept.mkdir(parents=True)
    (kept / "another.gz").write_bytes(b"x")
    for i, original in enumerate(small.source.originals):
        Path(small.folder, original.filename).rename(kept / f"a_name_of_tfds_own_{i}.gz")
    notes: list[str] = []
    originals.check(gather(small, tmp_path / "ours", notes), small.source.originals)
    assert notes == []


def test_a_download_that_broke_off_goes_on_with_the_files_that_are_missing(
    small, tmp_path: Path, file_server: str
) -> None:
    small = small.served_from(file_server)
    missing = small.folder / "t10k-labels-idx1-ubyte.gz"
    missing.rename(tmp_path / "away")
    notes: list[str] = []
    with pytest.raises(InputError, match="404"):
        gather(small, tmp_path / "ours", notes)
    assert len(notes) == 4
    (tmp_path / "away").rename(missing)
    originals.check(gather(small, tmp_path / "ours", notes), small.source.originals)
    assert len(notes) == 5


def test_a_download_of_other_content_is_refused_and_not_kept(small, tmp_path: Path, file_server: str) -> None:
    small = small.served_from(file_server)
    path = small.folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"not the original.*--manual_dir=FOLDER"):
        gather(small, tmp_path / "ours", [])
    assert not (tmp_path / "ours").exists()
