"""`load` from the outside: real MNIST, the other two by generated files, and everything that can be in the way."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data import download, idx
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.source import Source, Warn
from cnn_jax.errors import InputError, MachineError, OutOfReachError

REPOSITORY = Path(__file__).parents[2]


def snapshot(folder: Path) -> dict[Path, tuple]:
    """Everything below a folder: types, permissions, times, content."""
    return {
        path: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


# Real MNIST


def test_mnist_is_the_published_one(mnist_data_dir: Path, mnist_dir: Path) -> None:
    dataset = data.load("mnist", data_dir=mnist_data_dir)
    for split, part, examples in ((dataset.train, "train", 60_000), (dataset.test, "t10k", 10_000)):
        assert (split.images.shape, split.images.dtype) == ((examples, 28, 28, 1), np.uint8)
        assert (split.labels.shape, split.labels.dtype) == ((examples,), np.int32)
        images = idx.read(mnist_dir / f"{part}-images-idx3-ubyte.gz", (examples, 28, 28))
        labels = idx.read(mnist_dir / f"{part}-labels-idx1-ubyte.gz", (examples,))
        ours = sorted(zip(split.labels, map(bytes, split.images), strict=True))
        assert ours == sorted(zip(labels, map(bytes, images), strict=True))
    assert data.spec("mnist").classes == tuple("0123456789")


def test_mnist_has_the_order_of_tfds_and_so_a_known_fingerprint(mnist_data_dir: Path) -> None:
    """From tensorflow_datasets 4.9.10's own decoding of its prepared mnist 3.0.1, example by example."""
    known = "f9c06810942f7249d2e73254bd06c88cf1b91794486483b9ea86e9cdd111d722"
    assert data.load("mnist", data_dir=mnist_data_dir).fingerprint == known


def second_start(data_dir: Path, manual_dir: Path) -> tuple[float, set[str]]:
    """Loads cached MNIST in a new process: the processor's seconds, and the packages that were imported."""
    program = f"""
import sys, time
from cnn_jax import data
began = time.process_time()
data.load("mnist", data_dir={str(data_dir)!r}, manual_dir={str(manual_dir)!r})
print(time.process_time() - began)
print(*sorted(set(name.partition(".")[0] for name in sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=REPOSITORY, capture_output=True)
    assert (finished.returncode, finished.stderr) == (0, b"")
    seconds, modules = finished.stdout.decode().splitlines()
    return float(seconds), set(modules.split())


def test_a_second_start_imports_no_large_library_and_says_nothing(mnist_data_dir: Path, mnist_dir: Path) -> None:
    _, modules = second_start(mnist_data_dir, mnist_dir)
    assert not {"tensorflow_datasets", "tensorflow", "jax", "matplotlib", "PIL", "requests"} & modules


@pytest.mark.long
def test_a_second_start_takes_less_than_half_a_second(mnist_data_dir: Path, mnist_dir: Path) -> None:
    assert min(second_start(mnist_data_dir, mnist_dir)[0] for _ in range(3)) < 0.5  # the machine may be busy


# Names, folders and files that the user gives


OWN = {"arrays", "images"}  # of a user's own files


def test_the_datasets_are_known_and_importing_the_room_reads_and_loads_nothing() -> None:
    published = {"cifar10", "cifar100", "emnist", "fashion_mnist", "kmnist", "mnist", "svhn_cropped"}
    assert {*data.names()} >= published | OWN | {"glyphs", "rgb200", "x_and_o"}
    assert data.names() == sorted(data.names())
    assert [data.spec(name).name for name in data.names() if name not in OWN] == sorted({*data.names()} - OWN)
    program = "import sys, cnn_jax.data; print(*set(name.partition('.')[0] for name in sys.modules))"
    output = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"jax", "tensorflow_datasets", "matplotlib", "PIL", "requests"} & set(output.stdout.split())


@pytest.mark.parametrize("name", ["mnits", "../../etc", "", "mnist/3.0.1", "MNIST", "cifar-10"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    for ask in (data.spec, lambda name: data.load(name, data_dir=tmp_path)):
        with pytest.raises(InputError, match=r"--dataset=.*Known: arrays, .*fashion_mnist, glyphs, .*kmnist, mnist"):
            ask(name)
    assert list(tmp_path.iterdir()) == []


def test_a_near_miss_is_named() -> None:
    with pytest.raises(InputError, match="Did you mean mnist"):
        data.spec("mnits")


def test_a_bucket_is_refused_as_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--data_dir=gs://bucket/tfds: must be a folder on this machine"):
        data.load("mnist", data_dir="gs://bucket/tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket")
    with pytest.raises(InputError, match="gs://bucket"):
        data.load("mnist")


def test_a_wrong_manual_dir_is_refused_first_and_nothing_is_written(small, register, tmp_path: Path, prepared) -> None:
    register(small)
    (small.folder / "train-labels-idx1-ubyte.gz").write_bytes(b"not labels")
    for data_dir in (tmp_path / "new", prepared[1]):
        before = snapshot(data_dir)
        with pytest.raises(InputError, match=r"train-labels-idx1-ubyte.*SHA-256"):
            data.load("fashion_mnist", data_dir=data_dir, manual_dir=small.folder)
        assert snapshot(data_dir) == before
    assert not (tmp_path / "new").exists()


def test_a_wrong_manual_dir_is_refused_although_the_cache_would_do(prepared, register, tmp_path: Path) -> None:
    register(prepared[0])
    with pytest.raises(InputError, match="no such folder"):
        data.load("kmnist", data_dir=prepared[1], manual_dir=tmp_path / "nothing")


def test_the_data_folder_is_the_given_one_or_tfds_data_dir_or_tfds_own_default(
    prepared, register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, data_dir = prepared
    register(small)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
    assert data.load("kmnist", data_dir=data_dir)
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert data.load("kmnist")
    monkeypatch.delenv("TFDS_DATA_DIR")
    shutil.copytree(data_dir, tmp_path / "tensorflow_datasets")
    assert data.load("kmnist")
    assert data.load("kmnist", data_dir="~/tensorflow_datasets")


# Preparing


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "mnist"])
def test_each_dataset_is_prepared_from_its_files(name: str, small, register, tmp_path: Path) -> None:
    source = data.source(name)
    originals = tuple(
        dataclasses.replace(ours, url=theirs.url)
        for ours, theirs in zip(small.source.originals, source.originals, strict=True)
    )
    spec = dataclasses.replace(small.source.spec, name=name, classes=source.spec.classes)
    register(dataclasses.replace(small, source=dataclasses.replace(source, spec=spec, originals=originals)))
    notes: list[str] = []
    first = data.load(name, data_dir=tmp_path, manual_dir=small.folder, warn=notes.append)
    second = data.load(name, data_dir=tmp_path, warn=notes.append)
    assert len(notes) == 1
    assert "half a minute" in notes[0]
    assert sorted(map(bytes, first.train.images)) == sorted(map(bytes, small.train.images))
    assert sorted(first.test.labels) == sorted(small.test.labels)
    assert first.fingerprint == second.fingerprint
    assert not first.train.images.flags.writeable


@pytest.mark.slow
@pytest.mark.parametrize("is_installed", [False, True])
def test_no_tensorflow_no_network_and_nothing_on_the_console_but_our_notes(
    small, tmp_path: Path, *, is_installed: bool
) -> None:
    if is_installed:
        (tmp_path / "tensorflow").mkdir()
        (tmp_path / "tensorflow/__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    outcome = small.load_in_process(tmp_path / "data", small.folder, env=environment)
    assert outcome.fingerprint
    assert "tensorflow_datasets" in outcome.modules
    assert "tensorflow" not in outcome.modules
    assert outcome.forbidden == []
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith("fashion_mnist: preparing")


def test_another_programs_tfrecords_are_left_as_they_are(small, register, tmp_path: Path) -> None:
    register(small)
    theirs = tmp_path / "data/fashion_mnist/3.0.1"
    theirs.mkdir(parents=True)
    (theirs / "dataset_info.json").write_text('{"fileFormat": "tfrecord", "name": "fashion_mnist", "version": "3.0.1"}')
    (theirs / "fashion_mnist-train.tfrecord-00000-of-00001").write_bytes(b"their records")
    before = snapshot(tmp_path / "data")
    small.load(tmp_path / "data", small.folder)
    after = snapshot(tmp_path / "data")
    ours = {path for path in after if path.is_relative_to(tmp_path / "data/cnn_jax")}
    assert {path: state for path, state in after.items() if path not in ours} == before


@pytest.mark.slow
def test_two_processes_that_prepare_at_once_both_get_the_data(small, register, tmp_path: Path) -> None:
    register(small)
    processes = [small.start(tmp_path / "data", small.folder) for _ in range(2)]
    fingerprints = {small.outcome(process).fingerprint for process in processes}
    assert len(fingerprints - {""}) == 1
    left = {path.name for path in (tmp_path / "data/cnn_jax/fashion_mnist").iterdir()}
    assert left == {"3.0.1", "fashion_mnist-3.0.1.npz"}
    assert small.load(tmp_path / "data")[0] in fingerprints


def test_an_interrupted_preparation_leaves_nothing_half(small, register, tmp_path: Path) -> None:
    register(small)
    process = small.start(tmp_path / "data", small.folder)
    assert process.stderr is not None
    assert "preparing" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert small.load(tmp_path / "data", small.folder)[0]


# The cache


@dataclasses.dataclass(frozen=True)
class Drawn(Source):
    """A source that reads no files."""

    times: list[int] = dataclasses.field(default_factory=list)

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        self.times.append(1)
        pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
        labels = np.array([0, 1, 0], np.int32)
        return Split(pixels, labels), Split(pixels[:1].copy(), labels[:1].copy())


def test_a_source_of_another_kind_is_one_class_and_cached_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Drawn(Spec("drawn", "two pixels square", (2, 2, 1), ("a", "b"), train_examples=3, test_examples=1), "1")
    monkeypatch.setattr(data, "DATASETS", {**data.DATASETS, "drawn": lambda: drawn})
    assert "drawn" in data.names()
    first = data.load("drawn", data_dir=tmp_path)
    second = data.load("drawn", data_dir=tmp_path, manual_dir=tmp_path / "has nothing to do with it")
    assert len(drawn.times) == 1
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.train.images, second.train.images)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"\x07", b"\x08", 1)),
        lambda path: path.write_bytes(b""),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_cache_is_made_anew_and_that_is_said(prepared, register, tmp_path: Path, damage: Callable) -> None:
    small, source_dir = prepared
    register(small)
    data_dir = Path(shutil.copytree(source_dir, tmp_path / "data"))
    path = data_dir / "cnn_jax/kmnist/kmnist-3.0.1.npz"
    expected, _ = small.load(data_dir)
    damage(path)
    fingerprint, notes = small.load(data_dir)
    assert fingerprint == expected
    assert str(path) in notes[0]
    assert "written again" in notes[0]
    if path.is_file():
        assert small.load(data_dir) == (expected, [])
    else:
        assert "cannot be written" in notes[1]


def test_a_damaged_prepared_folder_does_not_matter_while_the_cache_is_whole(prepared, register, tmp_path: Path) -> None:
    small, source_dir = prepared
    register(small)
    data_dir = Path(shutil.copytree(source_dir, tmp_path / "data"))
    (data_dir / "cnn_jax/kmnist/3.0.1/dataset_info.json").unlink()
    assert small.load(data_dir)[1] == []
    (data_dir / "cnn_jax/kmnist/kmnist-3.0.1.npz").unlink()
    with pytest.raises(MachineError, match=str(data_dir / "cnn_jax/kmnist/3.0.1")):
        small.load(data_dir)


# Folders that cannot be written


@pytest.fixture
def readonly() -> Iterator[Callable[[Path], Path]]:
    """Takes the permission to write from a folder and all that is below; gives it back in the end."""
    changed: list[Path] = []

    def protect(folder: Path) -> Path:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o555)
                changed.append(path)
        return folder

    yield protect
    for path in changed:
        path.chmod(0o755)


def test_a_readonly_data_folder_works_when_all_is_there(prepared, tmp_path: Path, readonly: Callable) -> None:
    small, source_dir = prepared
    data_dir = readonly(Path(shutil.copytree(source_dir, tmp_path / "data")))
    outcome = small.load_in_process(data_dir, is_unprivileged=True)
    assert outcome.fingerprint
    assert outcome.notes == []


@pytest.mark.slow
def test_a_readonly_data_folder_without_cache_works_slowly_and_says_so(
    prepared, tmp_path: Path, readonly: Callable
) -> None:
    small, source_dir = prepared
    data_dir = Path(shutil.copytree(source_dir, tmp_path / "data"))
    (data_dir / "cnn_jax/kmnist/kmnist-3.0.1.npz").unlink()
    outcome = small.load_in_process(readonly(data_dir), is_unprivileged=True)
    assert outcome.fingerprint
    assert len(outcome.notes) == 1
    assert "cannot be written (Permission denied)" in outcome.notes[0]


@pytest.mark.slow
def test_a_readonly_data_folder_in_which_nothing_is_prepared_is_refused(
    small, tmp_path: Path, readonly: Callable
) -> None:
    (tmp_path / "data").mkdir()
    data_dir = readonly(tmp_path / "data")
    outcome = small.load_in_process(data_dir, small.folder, is_unprivileged=True)
    assert outcome.error == "InputError"
    assert str(data_dir) in outcome.text
    assert f"--data_dir={data_dir}" in outcome.text
    assert "no permission to write" in outcome.text
    assert list(data_dir.iterdir()) == []


def test_a_file_in_the_place_of_the_data_folder_is_refused(small, register, tmp_path: Path) -> None:
    register(small)
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match=r"--data_dir=.* cannot be written: .* is a file. Name a folder"):
        data.load("fashion_mnist", data_dir=tmp_path / "data", manual_dir=small.folder)
    assert (tmp_path / "data").read_text() == "mine"


# Full disks


@pytest.mark.parametrize("largest_file", [100, 60_000])
def test_a_disk_that_is_full_while_preparing_is_a_machines_error_and_leaves_nothing_half(
    small, register, tmp_path: Path, full_disk, largest_file: int
) -> None:
    register(small)
    with full_disk(largest_file), pytest.raises(MachineError):
        small.load(tmp_path / "data", small.folder)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_a_disk_that_is_full_while_downloading_is_a_machines_error_that_names_the_folder(
    small, register, file_server: str, tmp_path: Path, full_disk
) -> None:
    small = small.served_from(file_server)
    register(small)
    with (
        full_disk(100),
        pytest.raises(MachineError, match=f"{tmp_path / 'data/cnn_jax'}: cannot be written: File too large"),
    ):
        small.load(tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == [
        "train-images-idx3-ubyte.gz.partial"
    ]
    assert small.load(tmp_path / "data")[0]


def test_a_disk_that_is_full_while_caching_costs_only_the_cache(prepared, register, tmp_path: Path, full_disk) -> None:
    small, source_dir = prepared
    register(small)
    data_dir = Path(shutil.copytree(source_dir, tmp_path / "data"))
    (data_dir / "cnn_jax/kmnist/kmnist-3.0.1.npz").unlink()
    with full_disk(20_000):
        fingerprint, notes = small.load(data_dir)
    assert fingerprint
    assert "cannot be written" in notes[0]
    assert [path.name for path in (data_dir / "cnn_jax/kmnist").iterdir()] == ["3.0.1"]


# The network


def test_what_is_missing_is_downloaded_once(small, register, file_server: str, tmp_path: Path) -> None:
    small = small.served_from(file_server)
    register(small)
    fingerprint, notes = small.load(tmp_path / "data")
    assert ["downloading" in note for note in notes] == [True, True, True, True, False]
    shutil.rmtree(tmp_path / "data/cnn_jax/fashion_mnist")
    again, notes = small.load(tmp_path / "data")
    assert again == fingerprint
    assert len(notes) == 1


@pytest.mark.parametrize("kind", ["silent_server", "stalling_server", "refusing_address"])
def test_an_unreachable_network_is_a_clear_answer_and_leaves_no_file_but_what_has_arrived(
    small, register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(kind)
    small = small.served_from(address)
    register(small)
    monkeypatch.setattr(download, "SILENCE", 0.6)
    with pytest.raises(OutOfReachError) as refusal:
        small.load(tmp_path / "data")
    for word in (address, "--manual_dir=FOLDER", *(original.filename for original in small.source.originals)):
        assert word in str(refusal.value)
    left = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert left == (["train-images-idx3-ubyte.gz.partial"] if kind == "stalling_server" else [])
    assert (tmp_path / "data").exists() == bool(left)


@pytest.mark.long
def test_an_unreachable_network_is_answered_within_fifteen_seconds(
    small, tmp_path: Path, silent_server: str, stalling_server: str, refusing_address: str
) -> None:
    addresses = (silent_server, stalling_server, refusing_address)
    began = time.monotonic()
    processes = [small.served_from(address).start(tmp_path / str(i)) for i, address in enumerate(addresses)]
    errors = [small.outcome(process).error for process in processes]
    assert time.monotonic() - began < 15
    assert errors == ["OutOfReachError"] * 3
