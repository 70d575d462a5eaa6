"""Predict reads files of all kinds, gives every file a row, and shows the parts that decided each answer."""

import csv
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import run
from cnn_jax import compilation, data
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.data.pictures import read
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.shipped import load_shipped
from cnn_jax.studies.predict.run import SomeUnusable
from cnn_jax.studies.predict.run import run as predict
from tests.browser import Browser, require_sound

RunPy = Callable[..., subprocess.CompletedProcess[str]]
NASTY = "<img src=x onerror=alert(1)>.png"
TINY = Experiment().vary(experiment="tiny", widths=(8, 16), train_examples=640, epochs=1)


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir, checkpoint_every=0), Console(progress=False))
    return workdir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures with ink, and four files without."""
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for name in (NASTY, "=1+1.png", "four.jpg", os.fsdecode(b"\xff\x1b[2J\n.png")):
        pixels = np.full((90, 120, 3), 250, np.uint8)
        pixels[30:60, 40:46] = pixels[54:60, 40:70] = 20
        Image.fromarray(pixels).save(folder / name)
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("just words")
    (folder / "truncated.jpg").write_bytes((folder / "four.jpg").read_bytes()[:-200])
    (folder / ".hidden.png").write_text("hidden")
    (folder / "nowhere.png").symlink_to("moved.png")
    (folder / "predictions.csv").write_text("of an earlier prediction, into another folder now")
    return folder


def test_without_a_run_the_shipped_network_answers_and_page_and_console_say_whose_it_is(
    run_py: RunPy, folder: Path, tmp_path: Path
) -> None:
    finished = run_py("--mode=predict", f"--images={folder / 'four.jpg'}")
    assert finished.returncode == 0, finished.stderr
    assert "the network is lecture_cnn, which ships with this project; --workdir=RUN uses a run" in finished.stdout
    page = (tmp_path / "runs/predict/predictions.html").read_text(encoding="utf-8")
    assert "Model: lecture_cnn on mnist, seed 0, test accuracy 99.14 %; shipped with this project: one run of" in page
    [row] = csv.DictReader((tmp_path / "runs/predict/predictions.csv").read_text().splitlines())
    assert row["class"] == str(
        load_shipped("lecture_cnn").predict(as_mnist(read(folder / "four.jpg", background=None))[None]).argmax()
    )


@pytest.mark.slow
def test_every_file_gets_a_row_and_bad_ones_their_reason(
    run_py: RunPy, finished_run: Path, folder: Path, tmp_path: Path
) -> None:
    finished = run_py("--mode=predict", f"--workdir={finished_run}", f"--images={folder}", "--output=out")
    assert finished.returncode == 1
    assert finished.stderr == "run.py: 5 of 9 files could not be read; the first: blank.png: " + (
        "blank: no ink stands out from the paper.\n"
    )
    assert "\x1b" not in finished.stdout
    with (tmp_path / "out/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class", "probability", "second_class", "second_probability", "error"]
    reasons = {row["file"]: row["error"] for row in rows if row["error"]}
    assert list(reasons) == ["blank.png", "empty.png", "notes.txt", "nowhere.png", "truncated.jpg"]
    assert [reasons[name].split()[0] for name in reasons] == ["blank:", "the", "no", "no", "truncated"]
    named = {row["file"]: row for row in rows if not row["error"]}
    assert set(named) == {NASTY, "./=1+1.png", "four.jpg", r"\udcff\x1b[2J\n.png"}
    for row in named.values():
        assert row["class"] in "0123456789"
        assert row["second_class"] not in ("", row["class"])
        assert 1 >= float(row["probability"]) >= float(row["second_probability"]) >= 0
    html = (tmp_path / "out/predictions.html").read_text(encoding="utf-8")
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;.png") >= 1
    assert html.count('<img src="data:image/') == 3 * 4
    assert all(reason in html for reason in reasons.values())


@pytest.mark.slow
def test_good_pictures_end_with_0_in_the_run_s_folder_and_can_be_predicted_again(
    run_py: RunPy, finished_run: Path, folder: Path
) -> None:
    for _ in range(2):
        finished = run_py("--mode=predict", f"--workdir={finished_run}", f"--images={folder / 'four.jpg'}")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert "four.jpg" in finished.stdout
    assert len((finished_run / "predictions.csv").read_text().splitlines()) == 2


def test_page_is_sound_in_a_browser(browser: Browser, finished_run: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SomeUnusable):
        predict(RunOptions(workdir=finished_run), images=folder, output=tmp_path / "out")
    require_sound(browser, tmp_path / "out/predictions.html")


def test_page_shows_a_limited_number_of_files_and_the_table_all(
    finished_run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnn_jax.studies.predict.run.SHOWN", 2)
    with pytest.raises(SomeUnusable):
        predict(RunOptions(workdir=finished_run), images=folder, output=tmp_path)
    html = (tmp_path / "predictions.html").read_text(encoding="utf-8")
    assert "the first 2 of 9 files" in html
    assert html.count('<article class="card">') == 2
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 10


def test_folder_of_pictures_may_be_the_output_too(finished_run: Path, folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(SomeUnusable, match="5 of 9"):
            predict(RunOptions(workdir=finished_run), images=folder, output=folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images=not_there"], "--images=not_there: no such file or folder"),
        (["--images=nothing_in_it"], "the folder has no files"),
        (["--images=/dev/null"], "neither a file nor a folder"),
        (["--images=pictures", "--output=words.txt"], "--output=words.txt: cannot be written"),
        (["--images=pictures", "--output=/proc/out"], "--output=/proc/out: cannot be written"),
        (["--images=pictures", "--dataset=mnist"], "--dataset: has no meaning"),
    ],
)
def test_bad_input_is_one_clear_line_exit_2_and_nothing_written(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    finished_run: Path,
    folder: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "nothing_in_it").mkdir()
    (tmp_path / "words.txt").touch()
    before = sorted([*tmp_path.rglob("*"), *finished_run.rglob("*")])
    monkeypatch.chdir(tmp_path)
    assert run.main(["--mode=predict", f"--workdir={finished_run}", "--nocompilation_cache", *arguments]) == 2
    said_all = capfd.readouterr().err
    assert said in said_all
    assert said_all.count("\n") == 1
    assert sorted([*tmp_path.rglob("*"), *finished_run.rglob("*")]) == before


@pytest.mark.slow
def test_trained_model_recognizes_most_digits_on_pages(mnist_data_dir: Path, tmp_path: Path) -> None:
    compilation.start(persistent_cache=True)
    experiment = Experiment().vary(experiment="tiny", widths=(8, 16), train_examples=12_800, epochs=2)
    execute(experiment, RunOptions(workdir=tmp_path / "run", data_dir=mnist_data_dir), Console(progress=False))
    test = data.load("mnist", data_dir=mnist_data_dir).test
    rng, pages = np.random.default_rng(0), tmp_path / "pages"
    pages.mkdir()
    for index in range(40):
        size, top, left = rng.integers(60, 200), rng.integers(0, 200), rng.integers(0, 300)
        page = np.zeros((400, 500))
        digit = Image.fromarray(test.images[index, ..., 0]).resize((size, size), Image.Resampling.BICUBIC)
        page[top : top + size, left : left + size] = np.asarray(digit) / 255
        page = 0.9 - 0.7 * page if index % 2 else 0.1 + 0.7 * page
        Image.fromarray(np.uint8(255 * page)).save(pages / f"{index:02}.{('png', 'jpg')[index % 3 == 0]}")
    rows = predict(RunOptions(workdir=tmp_path / "run"), images=pages, output=tmp_path)
    hits = sum(row["class"] == str(label) for row, label in zip(rows, test.labels, strict=False))
    assert hits >= 34
