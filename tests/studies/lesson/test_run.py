"""The lesson computes every part, documents every array, and is a page that needs nothing else."""

import csv
import dataclasses
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.errors import InputError, MachineError
from cnn_jax.experiment import Experiment
from cnn_jax.models import receptive_field
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.lesson import functional, learned, networks, permutation
from cnn_jax.studies.lesson import run as lesson
from cnn_jax.studies.lesson.followed import of_a_picture
from cnn_jax.studies.lesson.live import moments
from cnn_jax.studies.lesson.run import run as make_lesson
from tests.browser import Browser, require_sound

TINY = Experiment().vary(experiment="tiny", widths=(4, 8), train_examples=320, epochs=2)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lesson of seconds: the same computations on fewer images, filters, seeds and probes."""
    for module in (permutation, functional, networks):
        monkeypatch.setattr(module, "TRAIN_EXAMPLES", 128)
        monkeypatch.setattr(module, "EPOCHS", 1)
    monkeypatch.setattr(moments, "TRAIN_EXAMPLES", 128)
    monkeypatch.setattr(permutation, "TEST_EXAMPLES", 100)
    monkeypatch.setattr(functional, "TEST_EXAMPLES", 100)
    monkeypatch.setitem(permutation._MODELS, "CNN", {"model": "cnn", "widths": (4, 8)})
    monkeypatch.setitem(permutation._MODELS, "dense network", {"model": "dense", "widths": (8,)})
    monkeypatch.setitem(permutation.compute.__kwdefaults__, "seeds", 2)
    monkeypatch.setitem(learned.compute.__kwdefaults__, "seeds", 2)
    monkeypatch.setitem(learned.compute.__kwdefaults__, "sizes", (20, 40))
    monkeypatch.setattr(receptive_field, "PROBES", 16)


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "my-run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir, checkpoint_every=0), Console(progress=False))
    return workdir


@pytest.mark.slow
@pytest.mark.usefixtures("small", "nothing_is_unpickled")
def test_lesson_of_a_finished_run_is_one_sound_page_with_every_array_documented(
    finished_run: Path, drawn_data_dir: Path, tmp_path: Path, browser: Browser
) -> None:
    folder = tmp_path / "lesson"
    make_lesson(RunOptions(workdir=folder, data_dir=drawn_data_dir), runs=[finished_run], test_image=3)
    page = (folder / "lesson.html").read_text()
    assert page.count("<section id=") == 20
    assert "my-run: the run in " in page
    assert len(page.encode()) < 6_000_000
    require_sound(browser, folder / "lesson.html")
    with (folder / "lesson_arrays.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["name"]: row for row in csv.DictReader(file)}
    with np.load(folder / "lesson.npz", allow_pickle=False) as arrays:
        assert list(listed) == arrays.files
        for name, row in listed.items():
            shape = " x ".join(f"{size:,}" for size in arrays[name].shape)
            assert (row["dtype"], row["shape"]) == (str(arrays[name].dtype), shape)
            assert row["content"]
        test = data.load("mnist", data_dir=drawn_data_dir).test
        np.testing.assert_array_equal(arrays["features/image"], test.images[3])
        assert arrays["templates/x_maps"].shape == (3, 7, 7)
    with pytest.raises(InputError, match=r"lesson.html exists already"):
        make_lesson(RunOptions(workdir=folder, data_dir=drawn_data_dir))


def test_disk_that_fills_up_leaves_the_earlier_lesson_and_nothing_else(tmp_path: Path, full_disk: Callable) -> None:
    earlier = {"lesson.npz": b"arrays", "lesson.html": b"page"}
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)
    noise = np.random.default_rng(0).random(1000)
    with full_disk(1000), pytest.raises(MachineError, match="cannot be written: File too large"):
        lesson._write(tmp_path, {"templates": {"noise": noise}}, "another page")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier


@pytest.mark.slow
def test_short_run_stands_in_where_the_shipped_networks_know_other_images(
    drawn_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "TRAIN_EXAMPLES", 128)
    monkeypatch.setattr(networks, "EPOCHS", 1)
    _, origin, experiment, variables, run = networks.short_network(drawn_digits)
    assert origin == "trained for this page, 1 epoch on 128 images of mnist"
    assert (experiment.config.train_examples, len(run.rows), run.parameters) == (128, 1, 104_202)
    assert variables["params"]["Conv_0"]["kernel"].shape == (3, 3, 1, 32)
    assert run.test_accuracy == np.mean(run.logits.argmax(axis=-1) == drawn_digits.test.labels)


@pytest.fixture
def run_on_other_images(finished_run: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(finished_run, tmp_path / "other"))
    with np.load(copy / "predictions.npz") as arrays:
        np.savez(copy / "predictions.npz", logits=arrays["logits"][::-1], labels=arrays["labels"][::-1])
    return copy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda run, other: {"runs": [run], "dataset": "kmnist"}, "was trained on mnist"),
        (lambda run, other: {"runs": [run.parent]}, "holds no run"),
        (lambda run, other: {"runs": [run / "nowhere"]}, "holds no run"),
        (lambda run, other: {"runs": [run, other]}, "was scored on other test images"),
        (lambda run, other: {"test_image": 10_000}, "--test_image=10000: mnist has 10,000 test images, from 0"),
        (lambda run, other: {"workdir": run / "config.json"}, "config.json is a file"),
        (lambda run, other: {"dataset": "mnits"}, "Did you mean mnist"),
        (lambda run, other: {"images": run / "nothing.png"}, "nothing.png: no such file"),
        (lambda run, other: {"images": run}, "is a folder. The lesson follows one picture: name a file"),
        (lambda run, other: {"images": run / "config.json"}, "config.json: no PNG, JPEG"),
        (lambda run, other: {"images": run / "config.json", "test_image": 3}, "follows one of them. Name one"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    finished_run: Path,
    run_on_other_images: Path,
    drawn_data_dir: Path,
    tmp_path: Path,
    arguments: Callable[[Path, Path], dict],
    said: str,
) -> None:
    given = {"workdir": tmp_path / "lesson"} | arguments(finished_run, run_on_other_images)
    options = RunOptions(workdir=given.pop("workdir"), data_dir=drawn_data_dir)
    with pytest.raises(InputError, match=re.escape(said)):
        make_lesson(options, **given)
    assert not (tmp_path / "lesson").exists()


def test_images_without_ten_classes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--dataset=x_and_o: the lesson needs images of ten classes"):
        make_lesson(RunOptions(workdir=tmp_path / "lesson", data_dir=tmp_path), dataset="x_and_o")


def test_shipped_networks_are_shown_for_digits_in_the_form_of_mnist_alone(drawn_digits: Dataset) -> None:
    fits = {name: networks.fit_the_shipped(data.spec(name)) for name in ("mnist", "glyphs", "fashion_mnist", "kmnist")}
    assert fits == {"mnist": True, "glyphs": True, "fashion_mnist": False, "kmnist": False}


def test_shipped_network_is_scored_on_the_images_of_the_lesson(drawn_digits: Dataset) -> None:
    few = dataclasses.replace(drawn_digits, test=drawn_digits.test[:20])
    network = networks.shipped_networks(few, ("dense",))[0]
    assert network.run.test_accuracy == np.mean(network.run.logits.argmax(axis=-1) == few.test.labels)
    assert (network.name, network.run.parameters, len(network.run.rows)) == ("dense", 407_050, 5)
    assert network.origin.startswith("shipped with this project: one run of dense on mnist, seed 0")


def test_own_picture_is_followed_in_the_form_of_mnist(tmp_path: Path) -> None:
    pixels = np.full((90, 120, 3), 250, np.uint8)
    pixels[30:60, 40:46] = pixels[54:60, 40:70] = 20
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    image, words, original = of_a_picture(tmp_path / "mine.png", data.spec("mnist"))
    np.testing.assert_array_equal(image, as_mnist(pixels))
    assert words == "your picture mine.png"
    assert original is not None and Image.open(io.BytesIO(original)).size == (120, 90)


@pytest.mark.long
def test_lesson_as_typed_on_real_mnist(run_py: Callable, mnist_data_dir: Path, tmp_path: Path) -> None:
    finished = run_py("--mode=lesson", "--workdir=lesson", f"--data_dir={mnist_data_dir}")
    assert finished.returncode == 0, finished.stderr
    page = (tmp_path / "lesson/lesson.html").read_text()
    assert "z = 0.37" in page
    assert "the networks are those that ship with this project" in finished.stdout
    assert "lecture_cnn: shipped with this project: one run of lecture_cnn on mnist" in page
