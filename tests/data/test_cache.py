"""A cache file gives back exactly what was written, or is refused with a reason."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_jax.data import cache
from cnn_jax.data.cache import UnusableCache
from cnn_jax.data.dataset import Dataset, Spec, Split, fingerprint

SPEC = Spec("digits", "a few", (4, 3, 1), ("a", "b", "c"), train_examples=5, test_examples=2)
VERSION = "1.0.0"


def some_dataset(seed: int = 0, spec: Spec = SPEC) -> Dataset:
    random = np.random.default_rng(seed)
    train, test = (
        Split(random.integers(0, 256, (n, *spec.image_shape), np.uint8), random.integers(0, 3, n).astype(np.int32))
        for n in (spec.train_examples, spec.test_examples)
    )
    return Dataset(spec, train, test, fingerprint(train, test))


DATASET = some_dataset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cache.write(tmp_path / "digits.npz", DATASET, VERSION)
    return tmp_path / "digits.npz"


def test_what_was_written_is_read_back_and_cannot_be_changed(path: Path) -> None:
    dataset = cache.read(path, SPEC, VERSION)
    assert dataset is not None
    assert dataset.spec == SPEC
    assert dataset.fingerprint == fingerprint(dataset.train, dataset.test) == DATASET.fingerprint
    for read, written in ((dataset.train, DATASET.train), (dataset.test, DATASET.test)):
        np.testing.assert_array_equal(read.images, written.images)
        np.testing.assert_array_equal(read.labels, written.labels)
        assert (read.images.dtype, read.labels.dtype) == (np.uint8, np.int32)
        with pytest.raises(ValueError, match="read-only"):
            read.images[0] = 0


def test_the_file_opens_with_numpy_alone_without_pickle(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["train_images"], DATASET.train.images)
        assert arrays["fingerprint"] == DATASET.fingerprint


@pytest.mark.parametrize("missing", ["nothing.npz", "digits.npz/below_a_file.npz"])
def test_no_file_is_no_cache_and_no_error(path: Path, missing: str) -> None:
    assert cache.read(path.parent / missing, SPEC, VERSION) is None


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        (replace(SPEC, name="letters"), VERSION),
        (SPEC, "1.0.1"),
        (replace(SPEC, train_examples=6), VERSION),
        (replace(SPEC, image_shape=(3, 4, 1)), VERSION),
    ],
)
def test_a_file_of_another_dataset_version_or_shape_is_refused(path: Path, spec: Spec, version: str) -> None:
    with pytest.raises(UnusableCache):
        cache.read(path, spec, version)


def test_arrays_that_do_not_have_the_stored_fingerprint_are_refused(tmp_path: Path) -> None:
    """As written by somebody else, each part of the file in order."""
    cache.write(tmp_path / "a.npz", replace(DATASET, fingerprint=some_dataset(1).fingerprint), VERSION)
    with pytest.raises(UnusableCache, match="has changed"):
        cache.read(tmp_path / "a.npz", SPEC, VERSION)


def test_labels_that_the_dataset_does_not_have_are_refused(tmp_path: Path) -> None:
    train = Split(DATASET.train.images, np.full(5, 3, np.int32))
    cache.write(tmp_path / "a.npz", Dataset(SPEC, train, DATASET.test, fingerprint(train, DATASET.test)), VERSION)
    with pytest.raises(UnusableCache, match="labels"):
        cache.read(tmp_path / "a.npz", SPEC, VERSION)


def test_pickled_objects_and_compressed_bombs_are_refused_unread(path: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (pytest.fail, ("unpickled",))

    np.savez(tmp_path / "pickle.npz", dataset=np.array(Trap(), dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in stored.namelist():
            bomb.writestr(name, stored.read(name) + bytes(10_000_000 if name == "train_images.npy" else 0))
    for name in ("pickle.npz", "bomb.npz"):
        with pytest.raises(UnusableCache, match="wrong size"):
            cache.read(tmp_path / name, SPEC, VERSION)


@st.composite
def damage(draw: st.DrawFn):
    """A function of a file's bytes: cut short, changed, or with bytes put in or taken out."""
    where, what = draw(st.floats(0, 1)), draw(st.sampled_from(("cut", "change", "insert", "remove")))
    piece = draw(st.binary(min_size=1, max_size=4))

    def apply(content: bytes) -> bytes:
        at = int(where * len(content))
        kept = {"cut": 0, "change": at + len(piece), "insert": at, "remove": at + len(piece)}
        tail = b"" if what == "cut" else content[kept[what] :]
        return content[:at] + (piece if what in ("change", "insert") else b"") + tail

    return apply


@pytest.mark.fuzz
@settings(suppress_health_check=list(HealthCheck))
@given(damage=damage())
def test_a_truncated_or_changed_file_is_refused_or_still_the_same(path: Path, damage) -> None:
    damaged = path.with_name("damaged.npz")
    damaged.write_bytes(damage(path.read_bytes()))
    try:
        dataset = cache.read(damaged, SPEC, VERSION)
    except UnusableCache as refusal:
        assert str(refusal)
        return
    assert dataset is not None
    assert fingerprint(dataset.train, dataset.test) == DATASET.fingerprint


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path: Path, full_disk) -> None:
    before = path.read_bytes()
    with full_disk(100), pytest.raises(OSError, match="too large"):
        cache.write(path, some_dataset(1), VERSION)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before
