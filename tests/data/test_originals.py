"""Original files are used only when they are, byte for byte, those that tensorflow_datasets registers."""

import concurrent.futures
import dataclasses
import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from cnn_jax import data
from cnn_jax.data import download, originals
from cnn_jax.data.source import Original
from cnn_jax.errors import InputError, OutOfReachError
from tests.data.conftest import Handler, RangeHandler, serving


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


def find(small) -> tuple[Path, ...]:
    return originals.find(small.folder, small.source.originals)


def test_the_complete_folder_is_accepted(small) -> None:
    assert find(small) == tuple(small.folder / original.filename for original in small.source.originals)


def test_files_in_folders_below_and_in_another_case_are_found_and_the_right_one_of_several(small) -> None:
    below = small.folder / "a/b/c"
    below.mkdir(parents=True)
    names = [original.filename for original in small.source.originals]
    for name in names[1:]:
        (small.folder / name).rename(below / name.upper())
    (small.folder / "a" / names[1]).write_bytes(b"of another dataset")
    assert find(small) == (small.folder / names[0], *(below / name.upper() for name in names[1:]))
    (small.folder / "deeper").mkdir()
    (small.folder / "a").rename(small.folder / "deeper/a")
    with pytest.raises(InputError, match="not the original"):
        find(small)


def test_a_circle_of_links_is_not_followed(small) -> None:
    (small.folder / "again").symlink_to(small.folder)
    assert len(list(originals.files(small.folder))) == 4


def test_a_wrong_file_is_named_with_its_hash_and_the_expected_one(small) -> None:
    original = small.source.originals[2]
    path = small.folder / original.filename
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError) as refusal:
        find(small)
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
        originals.find(small.folder, small.source.originals)


@pytest.mark.parametrize("folder", ["missing", "train-labels-idx1-ubyte.gz"])
def test_a_missing_folder_is_named_and_so_are_the_files_to_put_there(small, folder: str) -> None:
    with pytest.raises(InputError, match="no such folder") as refusal:
        originals.find(small.folder / folder, small.source.originals)
    for original in small.source.originals:
        assert original.filename in str(refusal.value)


def gather(small, folder: Path, notes: list[str]) -> tuple[Path, ...]:
    return originals.gather("fashion_mnist", small.source.originals, folder, folder.parent / "downloads", notes.append)


def contents(paths: Iterable[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kept_in", ["downloads/manual", "downloads/fashion_mnist", "downloads"])
def test_what_tfds_keeps_already_is_used_where_it_is(
    small, tmp_path: Path, refusing_address: str, kept_in: str
) -> None:
    small = small.served_from(refusing_address)
    expected = contents(find(small))
    kept = tmp_path / kept_in
    kept.mkdir(parents=True)
    (kept / "another.gz").write_bytes(b"x")
    for i, original in enumerate(small.source.originals):
        Path(small.folder, original.filename).rename(kept / f"a_name_of_tfds_own_{i}.gz")
    notes: list[str] = []
    assert contents(gather(small, tmp_path / "ours", notes)) == expected
    assert notes == []
    assert not (tmp_path / "ours").exists()


def test_a_download_that_broke_off_goes_on_with_the_files_that_are_missing(
    small, tmp_path: Path, file_server: str
) -> None:
    small = small.served_from(file_server)
    expected = contents(find(small))
    missing = small.folder / "t10k-labels-idx1-ubyte.gz"
    missing.rename(tmp_path / "away")
    notes: list[str] = []
    with pytest.raises(InputError, match="404"):
        gather(small, tmp_path / "ours", notes)
    assert len(notes) == 4
    (tmp_path / "away").rename(missing)
    assert contents(gather(small, tmp_path / "ours", notes)) == expected
    assert len(notes) == 5


@pytest.fixture
def one(tmp_path: Path) -> tuple[Original, bytes, Path]:
    """A file in a folder of its own, and the path where a download keeps what has arrived of it."""
    content = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "served").mkdir()
    (tmp_path / "served/archive.zip").write_bytes(content)
    partial = tmp_path / "ours/downloads/any/archive.zip.partial"
    partial.parent.mkdir(parents=True)
    return Original("archive.zip", len(content), hashlib.sha256(content).hexdigest()), content, partial


def gather_one(original: Original, address: str, tmp_path: Path) -> tuple[bytes, list[str]]:
    """Downloads the file; returns its content and the notes."""
    notes: list[str] = []
    moved = dataclasses.replace(original, url=f"{address}/{original.url}")
    (path,) = originals.gather("any", [moved], tmp_path / "ours", tmp_path / "downloads", notes.append)
    return path.read_bytes(), notes


def test_what_has_arrived_is_kept_and_continued(one, tmp_path: Path, server) -> None:
    original, content, partial = one

    def break_off(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + content[:20_000])

    with server(break_off) as address, pytest.raises(OutOfReachError):
        gather_one(original, address, tmp_path)
    kept = partial.stat().st_size
    assert 19_000 < kept <= 20_000
    with serving(tmp_path / "served", RangeHandler) as (address, starts):
        assert gather_one(original, address, tmp_path)[0] == content
    assert starts == [kept]
    assert files(tmp_path / "ours") == ["archive.zip"]


def test_a_file_that_is_complete_but_was_not_checked_yet_is_not_fetched_again(
    one, tmp_path: Path, refusing_address: str
) -> None:
    original, content, partial = one
    partial.write_bytes(content)
    assert gather_one(original, refusing_address, tmp_path)[0] == content


@pytest.mark.parametrize("kept", [10_000, 50_000, 50_001])
def test_what_is_kept_of_another_file_is_fetched_again_from_the_beginning(one, tmp_path: Path, kept: int) -> None:
    original, content, partial = one
    partial.write_bytes(b"x" * kept)
    with serving(tmp_path / "served", RangeHandler) as (address, starts):
        found, notes = gather_one(original, address, tmp_path)
    assert found == content
    assert starts == ([10_000, 0] if kept == 10_000 else [0])
    assert "from the beginning" in notes[1]


@pytest.mark.parametrize("handler", [Handler, RangeHandler])
@pytest.mark.parametrize(
    "instead",
    [b"<html>This page has moved.</html>", b"x" * 50_000, b"x" * 200_000],
    ids=["a page", "as many bytes", "more bytes"],
)
def test_a_download_of_other_content_is_refused_in_one_line_and_not_kept(
    one, tmp_path: Path, instead: bytes, handler: type[Handler]
) -> None:
    original, *_ = one
    (tmp_path / "served/archive.zip").write_bytes(instead)
    size = f"{min(len(instead), 50_001):,} bytes"
    with (
        serving(tmp_path / "served", handler) as (address, _),
        pytest.raises(InputError, match=rf"--dataset=any: .*not the original.*{size}.*--manual_dir=FOLDER"),
    ):
        gather_one(original, address, tmp_path)
    assert files(tmp_path / "ours") == []


def test_several_that_cannot_download_at_once_all_say_so_and_leave_no_file(
    one, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may remove the empty folder in which the next one is waiting."""

    def fail(*arguments: object, silence: float) -> None:
        raise download.DownloadError("no network")

    def refusal(_: int) -> str:
        with pytest.raises(OutOfReachError) as caught:
            gather_one(one[0], "http://127.0.0.1", tmp_path)
        return str(caught.value)

    monkeypatch.setattr(download, "fetch", fail)
    shutil.rmtree(tmp_path / "ours")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all("no network" in text for text in pool.map(refusal, range(40)))
    assert files(tmp_path) == ["archive.zip"]  # the one that would be served


def test_two_that_download_at_once_fetch_the_file_once(one, tmp_path: Path) -> None:
    original, content, _ = one
    with (
        serving(tmp_path / "served", RangeHandler) as (address, starts),
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        results = list(pool.map(lambda _: gather_one(original, address, tmp_path), range(4)))
    assert [found for found, _ in results] == [content] * 4
    assert starts == [0]
    assert files(tmp_path / "ours") == ["archive.zip"]
