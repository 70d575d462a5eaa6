"""Arrays in a user's files are a dataset, or are refused with what to do."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_jax import data
from cnn_jax.data.arrays import KERAS_NAMES, NAMES
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 8, 6, 3), dtype=np.uint8)
LABELS = np.arange(60) % 4
PARTS = (IMAGES[:40], LABELS[:40], IMAGES[40:], LABELS[40:])


def load(path: Path, **settings: object) -> Dataset:
    return data.load("arrays", dataset_dir=path, warn=lambda note: None, **settings)


def saved(path: Path, **changed: np.ndarray) -> Path:
    np.savez(path, **{**dict(zip(NAMES, PARTS, strict=True)), **changed})
    return path


@pytest.mark.parametrize("names", [NAMES, KERAS_NAMES])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read_by_either_names(tmp_path: Path, names: tuple[str, ...], save: Callable) -> None:
    save(tmp_path / "a.npz", **dict(zip(names, PARTS, strict=True)), other=np.zeros(3))
    dataset = load(tmp_path / "a.npz")
    assert np.array_equal(dataset.train.images, PARTS[0]) and np.array_equal(dataset.test.labels, PARTS[3])
    assert dataset.spec.classes == ("0", "1", "2", "3")
    assert (dataset.spec.image_shape, dataset.train.labels.dtype) == ((8, 6, 3), np.int32)


def test_npy_files_are_mapped_into_memory_and_give_the_same(tmp_path: Path) -> None:
    for name, array in zip(NAMES, PARTS, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    dataset = load(tmp_path)
    array = dataset.train.images
    while not isinstance(array, np.memmap):
        array = array.base
    assert Path(array.filename) == tmp_path / "train_images.npy"
    assert dataset.fingerprint == load(saved(tmp_path / "same.npz")).fingerprint


def test_grey_images_and_labels_in_a_column_are_read_as_keras_has_them(tmp_path: Path) -> None:
    column = {"train_labels": PARTS[1][:, None], "test_labels": PARTS[3][:, None].astype(np.uint8)}
    grey = {"train_images": PARTS[0][..., 0], "test_images": PARTS[2][..., 0]}
    dataset = load(saved(tmp_path / "a.npz", **column, **grey))
    assert dataset.spec.image_shape == (8, 6, 1)
    assert np.array_equal(dataset.train.labels, PARTS[1])


def test_standard_inputs_have_mean_0_and_deviation_1(tmp_path: Path) -> None:
    dataset = load(saved(tmp_path / "a.npz"), normalize="standard")
    inputs = dataset.spec.inputs(dataset.train.images)
    assert np.allclose(inputs.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    assert np.allclose(inputs.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_channel_that_is_the_same_everywhere_stays_finite(tmp_path: Path) -> None:
    images = PARTS[0].copy()
    images[..., 1] = 7
    dataset = load(saved(tmp_path / "a.npz", train_images=images), normalize="standard")
    assert np.allclose(dataset.spec.inputs(dataset.train.images)[..., 1], 0, atol=1e-6)


ONE_HOT = np.eye(4, dtype=np.uint8)[PARTS[1]]

WRONG: Mapping[str, tuple[dict[str, np.ndarray], str]] = {
    "labels from 1": (
        {"train_labels": PARTS[1] + 1, "test_labels": PARTS[3] + 1},
        "from 1 to 4, expected classes from 0: give labels - 1",
    ),
    "labels of -1": ({"train_labels": PARTS[1] - 1}, "train_labels: from -1 to 2, expected classes from 0"),
    "one-hot labels": ({"train_labels": ONE_HOT}, "one-hot labels, .* give labels.argmax"),
    "labels as floats": ({"train_labels": PARTS[1] * 1.0}, "float64 .*, expected integers.* Give labels.astype"),
    "labels as names": ({"train_labels": np.array(list("abcd"))[PARTS[1]]}, "give np.unique.* the names as classes"),
    "pixels that are true or false": (
        {"train_images": PARTS[0] > 99},
        r"Give images \* np.uint8\(255",
    ),
    "pixels divided by 255": ({"train_images": (PARTS[0] / 255).astype(np.float32)}, r"from 0 to 1: give np.rint\(255"),
    "bytes divided by 255": ({"train_images": PARTS[0] // 255}, "the largest value is 1. Bytes from 0 to 255"),
    "pixels as integers": ({"train_images": PARTS[0].astype(np.int64)}, "from 0 to 255: give images.astype"),
    "pixels from -1 to 1": (
        {"train_images": (PARTS[0] / 127.5 - 1).astype(np.float32)},
        r"give np.rint\(255 \* \(images",
    ),
    "pixels that are no numbers": ({"train_images": np.full((40, 8, 6, 3), np.nan)}, "Some are not finite"),
    "labels with large gaps": ({"train_labels": PARTS[1] * 1_000_000}, "up to 3,000,000 for 60 images"),
    "channels first": ({"train_images": PARTS[0].transpose(0, 3, 1, 2)}, "channels come last.*transpose"),
    "flat images": ({"train_images": PARTS[0].reshape(40, -1)}, r"expected uint8 of the shape \[N, H, W\]"),
    "more labels than images": ({"train_labels": LABELS}, "40 images: each image needs one label"),
    "no image": ({"test_images": PARTS[2][:0], "test_labels": PARTS[3][:0]}, "test_images"),
    "one class": (
        {"train_labels": PARTS[1] * 0, "test_labels": PARTS[3] * 0},
        "all are 0. A network needs two classes",
    ),
    "another shape in test": ({"test_images": PARTS[2][:, :5]}, r"images \(20, 5, 6, 3\), expected"),
    "objects": ({"train_labels": np.array([{}] * 40)}, "Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.usefixtures("nothing_is_unpickled")
def test_wrong_arrays_are_refused_with_what_to_do(tmp_path: Path, what: str) -> None:
    changed, message = WRONG[what]
    with pytest.raises(InputError, match=message) as caught:
        load(saved(tmp_path / "a.npz", **changed))
    assert str(caught.value).startswith(f"--dataset_dir={tmp_path / 'a.npz'}: ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": 4}, "classes=4: must be names"),
        ({"classes": {0: "a", 1: "b", 2: "c", 3: "d"}}, "must be names in the order"),
        ({"classes": list("abca")}, "classes: a is there twice"),
        ({"scale": np.ones(2)}, "arrays: scale=.*must be a finite number, or 3 of them"),
        ({"scale": float("nan")}, "arrays: scale=nan: must be a finite number"),
        ({"offset": "unit"}, "arrays: offset='unit': must be a finite number"),
    ],
)
def test_names_and_scales_that_cannot_be_meant_are_refused(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset.from_arrays(*PARTS, **given)


def test_names_and_scales_may_be_arrays() -> None:
    found = Dataset.from_arrays(*PARTS, classes=np.array([3, 5, 7, 9]), scale=np.full(3, 0.5), offset=np.float32(2))
    assert found.spec.classes == ("3", "5", "7", "9")
    assert (found.spec.scale, found.spec.offset) == ((0.5, 0.5, 0.5), 2.0)
    assert json.dumps(found.spec.as_mapping()) and repr(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "it is no .npz file"),
        (b"<html>a web page</html>", "it is no .npz file"),
    ],
)
def test_file_that_holds_no_arrays_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "a.npz")


def test_missing_array_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=PARTS[0], images=PARTS[0])
    with pytest.raises(InputError, match=r"has train_images. Expected are train_images, .* or x_train"):
        load(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"has none of these. Expected are"):
        load(tmp_path)


def test_duplicates_and_classes_without_images_are_said(tmp_path: Path) -> None:
    notes: list[str] = []
    images = np.concatenate([PARTS[2][:-2], PARTS[0][:2]])
    labels = np.where(PARTS[3] == 3, 5, PARTS[3])
    path = saved(tmp_path / "a.npz", test_images=images, test_labels=labels)
    data.load("arrays", dataset_dir=path, warn=notes.append)
    assert notes == [
        "arrays: no training image shows 4, 5",
        "arrays: no test image shows 3, 4",
        "arrays: 2 of 20 test images are training images too: the test accuracy is too high",
    ]


def _bytes_of_an_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict(zip(NAMES, (IMAGES[:4], LABELS[:4], IMAGES[4:6], LABELS[:2]), strict=True)))
    return stream.getvalue()


WHOLE = _bytes_of_an_npz()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


@pytest.mark.slow
@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | damaged())
def test_array_file_by_somebody_else_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    try:
        assert load(path).train.images.dtype == np.uint8
    except InputError as error:
        assert "--dataset_dir=" in str(error)
