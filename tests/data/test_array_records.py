"""Preparing and reading through tensorflow_datasets: tfds's content and order, quietly, and never half."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cnn_jax.data import array_records
from cnn_jax.errors import MachineError

TRAIN_RECORDS = "kmnist-train.array_record-00000-of-00001"


@pytest.fixture
def copy(prepared, tmp_path: Path) -> Path:
    """The data folder's own part, with kmnist prepared, to be damaged."""
    return Path(shutil.copytree(prepared[1] / "cnn_jax", tmp_path / "cnn_jax"))


def test_images_and_labels_are_those_of_the_originals_in_tfds_order(prepared, copy: Path) -> None:
    small, _ = prepared
    builder = tfds.builder_cls("kmnist")(data_dir=copy, file_format="array_record")
    for name, split, original in zip(
        ("train", "test"),
        array_records.read(small.source, small.source.prepared_folder(copy)),
        (small.train, small.test),
        strict=True,
    ):
        by_tfds = list(builder.as_data_source(name))
        np.testing.assert_array_equal(split.images, [example["image"] for example in by_tfds])
        np.testing.assert_array_equal(split.labels, [example["label"] for example in by_tfds])
        pairs = [(image.tobytes(), label) for image, label in zip(split.images, split.labels, strict=True)]
        expected = [(image.tobytes(), label) for image, label in zip(original.images, original.labels, strict=True)]
        assert pairs != expected, "tfds shuffles"
        assert sorted(pairs) == sorted(expected)


def test_tfds_recognises_the_prepared_folder_as_its_own(prepared, copy: Path) -> None:
    assert tfds.builder_cls("kmnist")(data_dir=copy).is_prepared()


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def flip_a_byte(content: bytes) -> bytes:
    at = len(content) // 8
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (TRAIN_RECORDS, Path.unlink),
        (TRAIN_RECORDS, rewrite(lambda content: content[:-1])),
        (TRAIN_RECORDS, rewrite(lambda content: content[: len(content) // 2])),
        (TRAIN_RECORDS, rewrite(lambda content: b"")),
        (TRAIN_RECORDS, rewrite(flip_a_byte)),
        ("dataset_info.json", Path.unlink),
        ("dataset_info.json", rewrite(lambda content: content[:-20])),
        ("dataset_info.json", rewrite(lambda content: content.replace(b'"48"', b'"47"'))),
        ("dataset_info.json", rewrite(lambda content: content.replace(b"array_record", b"tfrecord"))),
    ],
)
def test_a_damaged_folder_is_named_with_what_to_do_and_left_as_it_is(
    prepared, copy: Path, file: str, damage: Callable[[Path], None]
) -> None:
    small, _ = prepared
    folder = small.source.prepared_folder(copy)
    damage(folder / file)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(MachineError) as refusal:
        array_records.read(small.source, small.source.prepared_folder(copy))
    assert str(folder) in str(refusal.value)
    assert "Move that folder" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_empty_folder_is_a_damaged_one(prepared, tmp_path: Path) -> None:
    small, _ = prepared
    small.source.prepared_folder(tmp_path).mkdir(parents=True)
    with pytest.raises(MachineError, match="Move that folder"):
        array_records.read(small.source, small.source.prepared_folder(tmp_path))


def test_seeding_pythons_random_does_not_make_two_processes_share_an_unfinished_folder(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tfds draws the names of its unfinished folders from there."""
    folders = []
    monkeypatch.setattr(
        array_records,
        "_move",
        lambda finished, prepared: folders.append(finished.relative_to(prepared.parent).parts[0]),
    )
    for place in ("a", "b"):
        random.seed(0)
        array_records.write(small.source, small.source.prepared_folder(tmp_path / place), small.train, small.test)
    assert folders[0] != folders[1]


HOLD = """
import sys
from pathlib import Path
from cnn_jax.data import array_records
with array_records._staging(Path(sys.argv[1])) as folder:
    (folder / "half.array_record").write_bytes(bytes(10))
    print(folder.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_preparation_left_is_deleted_by_the_next_one_and_a_living_ones_is_not(
    small, tmp_path: Path
) -> None:
    prepared = small.source.prepared_folder(tmp_path)
    (prepared.parent / "incomplete.earlier_version").mkdir(parents=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(prepared.parent)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, living = processes
    names = [process.stdout.readline().strip() for process in processes if process.stdout]
    killed.kill()
    killed.communicate()
    array_records.write(small.source, prepared, small.train, small.test)
    left = {path.name for path in prepared.parent.iterdir()}
    assert left == {prepared.name, names[1], f"{names[1]}.lock"}
    living.communicate("", timeout=60)
    assert [path.name for path in prepared.parent.iterdir()] == [prepared.name]


def test_the_second_of_two_that_finish_keeps_the_first_ones_folder(small, tmp_path: Path) -> None:
    array_records.write(small.source, small.source.prepared_folder(tmp_path), small.train, small.test)
    folder = small.source.prepared_folder(tmp_path)
    before = {path: path.stat() for path in folder.iterdir()}
    array_records.write(small.source, small.source.prepared_folder(tmp_path), small.train, small.test)
    assert {path: path.stat() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_preparing_leaves_the_console_alone_and_tfds_progress_bars_on(
    small, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    array_records.write(small.source, small.source.prepared_folder(tmp_path), small.train, small.test)
    assert capfd.readouterr() == ("", "")
    list(tfds.core.utils.tqdm([1], desc="a bar of somebody else"))
    assert "a bar of somebody else" in capfd.readouterr().err
