"""EMNIST's zip file is read exactly, images upright and letters from 0, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cnn_jax import data
from cnn_jax.errors import InputError
from tests.data import archives

SPLITS = ("letters", "balanced", "byclass", "bymerge", "digits", "mnist")


@pytest.mark.parametrize("split", SPLITS)
def test_each_split_is_read_from_its_own_files(split: str, tmp_path: Path) -> None:
    archive = archives.make("emnist", tmp_path, split=split)
    path = tmp_path / "gzip.zip"
    found = archive.source.read([path], archive.source.spec)
    for part, expected in zip(found, (archive.train, archive.test), strict=True):
        np.testing.assert_array_equal(part.images, expected.images)
        np.testing.assert_array_equal(part.labels, expected.labels)


@pytest.mark.parametrize("split", SPLITS)
def test_numbers_are_tfds_own_but_for_the_letters(split: str) -> None:
    """For the letters, tfds has those of a table in the paper. The authors' page has 145,600 images of 26 letters."""
    config = next(config for config in tfds.builder_cls("emnist").BUILDER_CONFIGS if config.name == split)
    spec = data.source("emnist", split=split).spec
    theirs = (config.class_number, config.train_examples, config.test_examples)
    ours = (len(spec.classes), spec.train_examples, spec.test_examples)
    assert ours == ((26, 124_800, 20_800) if split == "letters" else theirs)


def test_classes_are_the_characters() -> None:
    """As in the file's own mapping: 36 is `a`, and 46 is `t` where letters are merged."""
    assert "".join(data.spec("emnist").classes) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    merged = data.source("emnist", split="balanced").spec.classes
    assert (merged[10], merged[35], merged[36], merged[46]) == ("A", "Z", "a", "t")
    assert merged == data.source("emnist", split="bymerge").spec.classes
    every = data.source("emnist", split="byclass").spec.classes
    assert (every[9], every[10], every[36], every[61]) == ("9", "A", "a", "z")


def test_images_are_upright(tmp_path: Path) -> None:
    """The files hold an image's columns one after the other."""
    archive = archives.make("emnist", tmp_path)
    upright = np.zeros((28, 28), np.uint8)
    upright[2, 20] = 255  # in row 2, column 20
    stored = np.zeros((archives.TEST, 28 * 28), np.uint8)
    stored[:, 20 * 28 + 2] = 255
    members = archives.emnist_members(archive.train, archive.test, "letters")
    name = "gzip/emnist-letters-test-images-idx3-ubyte.gz"
    members[name] = archives.idx_gz(stored.reshape(-1, 28, 28))
    archives.write_zip(tmp_path / "gzip.zip", members)
    _, test = archive.source.read([tmp_path / "gzip.zip"], archive.source.spec)
    np.testing.assert_array_equal(test.images[0, :, :, 0], upright)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda members, name: members.pop(name), "There is no item named"),
        (lambda members, name: members.update({name: members[name][:-10]}), "not a readable gzip file"),
        (lambda members, name: members.update({name: b"not packed"}), "not a readable gzip file"),
        (
            lambda members, name: members.update({name: archives.idx_gz(np.zeros(archives.TEST + 1, np.uint8))}),
            f"not an IDX file of {archives.TEST} bytes",
        ),
    ],
)
def test_a_missing_or_wrong_file_in_the_archive_is_named(change, says: str, tmp_path: Path) -> None:
    archive = archives.make("emnist", tmp_path)
    members = archives.emnist_members(archive.train, archive.test, "letters")
    name = "gzip/emnist-letters-test-labels-idx1-ubyte.gz"
    change(members, name)
    archives.write_zip(tmp_path / "gzip.zip", members)
    with pytest.raises(InputError, match=f"{tmp_path}/gzip.zip.*{says}") as refusal:
        archive.source.read([tmp_path / "gzip.zip"], archive.source.spec)
    assert name in str(refusal.value)
