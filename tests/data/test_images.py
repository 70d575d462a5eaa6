"""A folder of pictures is a dataset: what is read, in which order, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def draw(folder: Path, number: int, seed: int = 0) -> None:
    """Pictures of one colour and some noise, a folder for each class."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for index in range(number):
            noise = rng.integers(0, 60, (20, 24, 3))
            pixels = np.clip(np.array(colour) + noise - 30, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:03}.png")


@pytest.fixture
def split(tmp_path: Path) -> Path:
    draw(tmp_path / "pictures/train", 6)
    draw(tmp_path / "pictures/test", 2, seed=1)
    return tmp_path / "pictures"


@pytest.fixture
def unsplit(tmp_path: Path) -> Path:
    draw(tmp_path / "pictures", 10)
    return tmp_path / "pictures"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    """Loads a folder, with its notes in `load.notes`."""

    def loaded(folder: Path, **settings: object) -> Dataset:
        loaded.notes = []  # type: ignore[attr-defined]
        notes: list[str] = loaded.notes  # type: ignore[attr-defined]
        return data.load("images", dataset_dir=folder, data_dir=tmp_path / "data", warn=notes.append, **settings)

    return loaded


def colours_of(dataset: Dataset) -> list[tuple[str, ...]]:
    """The strongest channel of each image and the class of its label."""
    strongest = np.array(["red", "green", "blue"])
    return [
        (strongest[image.mean(axis=(0, 1)).argmax()], dataset.spec.classes[label])
        for part in (dataset.train, dataset.test)
        for image, label in zip(part.images, part.labels, strict=True)
    ]


def test_labels_are_those_of_the_folders(split: Path, load: Callable[..., Dataset]) -> None:
    dataset = load(split, size=16)
    assert dataset.spec.classes == ("blue", "green", "red")
    assert dataset.spec.image_shape == (16, 16, 3)
    assert (len(dataset.train), len(dataset.test)) == (18, 6)
    assert all(seen == meant for seen, meant in colours_of(dataset))
    assert load.notes == []  # type: ignore[attr-defined]


def test_training_images_are_mixed_so_that_the_last_ones_can_be_held_out(split: Path, load: Callable) -> None:
    labels = load(split).train.labels
    assert len(set(labels[-6:])) > 1
    assert not np.array_equal(labels, np.sort(labels))


def test_images_may_be_grey(split: Path, load: Callable[..., Dataset]) -> None:
    dataset = load(split, channels=1, size=8)
    assert dataset.spec.image_shape == (8, 8, 1)
    assert (
        dataset.train.images[dataset.train.labels == 1].mean() > dataset.train.images[dataset.train.labels == 0].mean()
    )


def test_classes_without_train_and_test_are_split_at_random_by_the_seed(unsplit: Path, load: Callable) -> None:
    one, again, other = load(unsplit), load(unsplit), load(unsplit, split_seed=1)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    for dataset in (one, other):
        assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
        assert np.bincount(dataset.train.labels).tolist() == [8, 8, 8]
        assert all(seen == meant for seen, meant in colours_of(dataset))
    everything = {image.tobytes() for part in (one.train, one.test) for image in part.images}
    assert len(everything) == 30


def test_new_picture_moves_at_most_one_other(unsplit: Path, load: Callable) -> None:
    before = {image.tobytes() for image in load(unsplit).test.images}
    Image.new("RGB", (24, 20), (0, 0, 180)).save(unsplit / "blue/new.png")
    after = {image.tobytes() for image in load(unsplit).test.images}
    assert len(before - after) <= 1


def test_train_and_test_may_be_written_in_capitals(split: Path, load: Callable) -> None:
    before = load(split).fingerprint
    for name in ("train", "test"):
        (split / name).rename(split / name.upper())
    assert load(split).fingerprint == before


def test_fingerprint_is_that_of_the_pictures_wherever_they_are(unsplit: Path, load: Callable) -> None:
    before = load(unsplit).fingerprint
    moved = unsplit.rename(unsplit.with_name("elsewhere [1]"))
    for path in moved.glob("*/*"):
        os.utime(path, (1, 1))
    assert load(moved).fingerprint == before


def test_second_start_reads_no_picture(unsplit: Path, load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(unsplit).fingerprint
    monkeypatch.setattr("cnn_jax.data.pictures.read", lambda *_, **__: pytest.fail("a picture is read"))
    assert load(unsplit).fingerprint == before


def test_changed_picture_is_read_again(unsplit: Path, load: Callable) -> None:
    before = load(unsplit).fingerprint
    Image.new("RGB", (24, 20), (0, 0, 200)).save(unsplit / "blue/000.png")
    assert load(unsplit).fingerprint != before
    assert "It is written again" in load.notes[0]  # type: ignore[attr-defined]


def test_what_systems_leave_in_folders_is_passed_over(split: Path, load: Callable) -> None:
    before = load(split).fingerprint
    for folder in (split, split / "train", split / "train/red"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png"):
            (folder / name).write_bytes(b"left by a system")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (split / "train" / name).mkdir()
    (split / "README.txt").write_text("about these pictures")
    assert load(split).fingerprint == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"words", "no PNG, JPEG, WebP"), (b"\x89PNG\r\n\x1a\n", "truncated|no PNG")],
)
def test_file_that_is_no_picture_is_named_and_stops(split: Path, load: Callable, content: bytes, reason: str) -> None:
    (split / "train/red/001.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"1 of 24 files cannot be read as pictures: train/red/001.png: .*({reason})"):
        load(split)
    for _ in range(2):  # from the pictures, and from the cache
        dataset = load(split, skip_unreadable=True)
        assert (dataset.spec.train_examples, len(dataset.train), len(dataset.test)) == (17, 17, 6)
        assert all(seen == meant for seen, meant in colours_of(dataset))


def test_truncated_picture_is_named_with_how_many_more(split: Path, load: Callable) -> None:
    for path in (split / "train/red").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"6 of 24 .*red/000.png: truncated.*red/002.png.*; and 3 more\. .*skip_unre"):
        load(split)


def test_broken_link_is_named(split: Path, load: Callable) -> None:
    (split / "test/red/link.png").symlink_to(split / "nowhere.png")
    with pytest.raises(InputError, match=r"test/red/link.png"):
        load(split)


def test_pictures_of_any_mode_and_size_are_read(split: Path, load: Callable) -> None:
    for index, mode in enumerate(["L", "P", "RGBA", "CMYK", "1"]):
        Image.new("RGB", (300 + index, 200), (255, 0, 0)).convert(mode).save(split / f"train/red/more{index}.tiff")
    assert len(load(split, size=24).train) == 23


def test_class_in_one_part_alone_is_said(split: Path, load: Callable) -> None:
    (split / "train/red").rename(split / "train/orange")
    assert load(split).spec.classes == ("blue", "green", "orange", "red")
    assert load.notes == [  # type: ignore[attr-defined]
        "images: no training image shows red",
        "images: no test image shows orange",
    ]


def test_folder_beside_train_and_test_is_said_to_be_unread(split: Path, load: Callable) -> None:
    draw(split / "val", 2, seed=2)
    dataset = load(split)
    assert len(dataset.train) == 18 and len(dataset.test) == 6
    assert load.notes == [  # type: ignore[attr-defined]
        "images: folders beside train and test are not read: val. --validation_examples holds out training images"
    ]


def test_picture_in_both_parts_is_counted(split: Path, load: Callable) -> None:
    for name in ("000.png", "001.png"):
        (split / f"test/red/copy of {name}").write_bytes((split / "train/red" / name).read_bytes())
    load(split)
    assert load.notes == [  # type: ignore[attr-defined]
        "images: 2 of 8 test images are training images too: the test accuracy is too high"
    ]


def no_folder(folder: Path) -> None:
    folder.rename(folder.with_name("away"))


def a_file(folder: Path) -> None:
    no_folder(folder)
    folder.write_bytes(b"PK")


def no_test(folder: Path) -> None:
    (folder / "test").rename(folder.with_name("test"))


def one_class(folder: Path) -> None:
    for part in ("train", "test"):
        for name in ("red", "green"):
            (folder / part / name).rename(folder.with_name(f"{part}-{name}"))


def nested(folder: Path) -> None:
    (folder / "train/red/more").mkdir()


def only_pictures(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part).rename(folder.with_name(part))
    Image.new("RGB", (9, 9)).save(folder / "a.png")


def one_picture(folder: Path) -> None:
    only = folder / "train/red/000.png"
    (folder / "blue").mkdir()
    only.rename(folder / "blue/only.png")
    for part in ("train", "test"):
        (folder / part).rename(folder.with_name(part))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_picture, "blue has one picture, but one to train on and one to test on are needed"),
        (no_folder, "cannot be read: No such file or directory"),
        (a_file, "is a file. Name a folder of pictures"),
        (no_test, "there is a folder train of classes, but no folder test"),
        (one_class, "holds one class, blue. It must hold a folder of pictures for each class"),
        (nested, "train/red/more is a folder inside a class"),
        (only_pictures, "holds no class"),
    ],
)
def test_folder_of_another_form_is_refused(split: Path, load: Callable, change: Callable, message: str) -> None:
    change(split)
    with pytest.raises(InputError, match="--dataset_dir=") as caught:
        load(split)
    assert message in str(caught.value)


def test_names_in_any_script_are_classes(tmp_path: Path, load: Callable) -> None:
    draw(tmp_path / "p", 5)
    (tmp_path / "p/red").rename(tmp_path / "p/красный [1]")
    os.rename(tmp_path / "p/blue", os.fsencode(tmp_path / "p") + b"/bl\xffe")
    assert load(tmp_path / "p").spec.classes == ("bl\\udcffe", "green", "красный [1]")


def test_standard_inputs_have_mean_0_and_deviation_1_in_each_channel(unsplit: Path, load: Callable) -> None:
    for _ in range(2):  # from the pictures, and from the cache
        dataset = load(unsplit, normalize="standard")
        inputs = dataset.spec.inputs(dataset.train.images)
        assert np.allclose(inputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
        assert np.allclose(inputs.std(axis=(0, 1, 2)), 1, atol=1e-4)
    assert load(unsplit).fingerprint == dataset.fingerprint


def test_standard_inputs_are_so_without_a_home_folder_too(
    unsplit: Path, load: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is no cache."""
    expected = load(unsplit, normalize="standard").spec
    monkeypatch.setattr(data, "_data_folder", lambda data_dir: None)
    assert load(unsplit, normalize="standard").spec == expected
    assert expected.scale != load(unsplit).spec.scale
