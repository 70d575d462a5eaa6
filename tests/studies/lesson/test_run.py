"""The lesson computes every part, documents every array, and is a page that needs nothing else."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import InputError, MachineError
from cnn_jax.experiment import Experiment
from cnn_jax.models import receptive_field
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.lesson import functional, learned, permutation, short_run
from cnn_jax.studies.lesson import run as lesson
from cnn_jax.studies.lesson.parts import documented_arrays
from cnn_jax.studies.lesson.run import run as make_lesson
from tests.browser import Browser, require_sound

TINY = Experiment().vary(experiment="tiny", widths=(4, 8), train_examples=320, epochs=2)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lesson of seconds: the same computations on fewer images, filters, seeds and probes."""
    for module in (permutation, functional, short_run):
        monkeypatch.setattr(module, "TRAIN_EXAMPLES", 128)
        monkeypatch.setattr(module, "EPOCHS", 1)
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
    assert page.count("<section") == 9
    assert "my-run" in page
    assert len(page.encode()) < 6_000_000
    require_sound(browser, folder / "lesson.html")
    documented = [re.sub(r"[A-Z]+", "[^/]+", name) for name in documented_arrays()]
    with np.load(folder / "lesson.npz", allow_pickle=False) as arrays:
        undocumented = [n for n in arrays.files if not any(re.fullmatch(pattern, n) for pattern in documented)]
        assert undocumented == []
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


def test_short_run_stands_in_where_none_is_given(drawn_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_run, "TRAIN_EXAMPLES", 128)
    monkeypatch.setattr(short_run, "EPOCHS", 1)
    experiment, variables, [run] = short_run.trained_network(drawn_digits)
    assert (experiment.config.train_examples, len(run.rows), run.parameters) == (128, 1, 104_202)
    assert variables["params"]["Conv_0"]["kernel"].shape == (3, 3, 1, 32)
    assert run.test_accuracy == np.mean(run.logits.argmax(axis=-1) == drawn_digits.test.labels)


@pytest.fixture
def run_on_other_images(finished_run: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(finished_run, tmp_path / "other"))
    with np.load(copy / "predictions.npz") as arrays:
        np.savez(copy / "predictions.npz", logits=arrays["logits"][::-1], labels=arrays["labels"][::-1])
    return copy


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


@pytest.mark.long
def test_lesson_as_typed_on_real_mnist(run_py: Callable, mnist_data_dir: Path, tmp_path: Path) -> None:
    finished = run_py("--mode=lesson", "--workdir=lesson", f"--data_dir={mnist_data_dir}")
    assert finished.returncode == 0, finished.stderr
    assert "z = 0.37" in (tmp_path / "lesson/lesson.html").read_text()
