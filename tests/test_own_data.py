"""A user's own pictures, in colour and of any size: every mode works on them, and a wrong folder is one clear line."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import cnn_jax
from cnn_jax import Config, Experiment, Part, data
from cnn_jax.config import read_config
from cnn_jax.errors import InputError
from tests.browser import Browser, require_sound

pytestmark = pytest.mark.usefixtures("compiled_quickly")

Run = Callable[..., subprocess.CompletedProcess[str]]

KINDS = ("png", "jpg", "webp", "bmp", "gif", "tiff")
SMALL = ("--model=dense", "--model.widths=8", "--epochs=2", "--batch_size=16", "--dataset.size=12")


def draw_shapes(folder: Path, number: int = 60) -> Path:
    """Pictures as people have them: squares, disks and bars of any colour, size, kind of file and aspect."""
    rng = np.random.default_rng(0)
    for index in range(number):
        name = ("bar", "disk", "square")[index % 3]
        (folder / name).mkdir(parents=True, exist_ok=True)
        width, height = rng.integers(40, 90, 2).tolist()
        background, ink = (tuple(colour.tolist()) for colour in rng.integers(0, 256, (2, 3)))
        image = Image.new("RGB", (width, height), background)
        canvas, (x, y) = ImageDraw.Draw(image), (width // 4, height // 4)
        draw = canvas.ellipse if name == "disk" else canvas.rectangle
        draw((x, y, 3 * x, 3 * y if name != "bar" else y + 6), ink)
        image.save(folder / name / f"{name} {index}.{KINDS[index % len(KINDS)]}")
    return folder


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("own") / "my [shapes]")


@pytest.fixture
def trained(run_py: Run, shapes: Path, tmp_path: Path) -> Path:
    """A finished run on the pictures."""
    finished = run_py("--dataset=images", f"--dataset_dir={shapes}", *SMALL, "--workdir=run")
    assert finished.returncode == 0, finished.stderr
    return tmp_path / "run"


@pytest.mark.slow
def test_run_on_a_folder_keeps_what_its_images_are(trained: Path, shapes: Path) -> None:
    machine = json.loads((trained / "machine.json").read_text())
    assert machine["dataset_dir"] == str(shapes)
    assert machine["data"]["classes"] == ["bar", "disk", "square"]
    assert machine["data"]["image_shape"] == [12, 12, 3]
    assert str(shapes) not in (trained / "config.json").read_text()  # a Config says what the numbers depend on
    assert json.loads((trained / "result.json").read_text())["test_examples"] == 12


@pytest.mark.slow
def test_modes_of_a_finished_run_find_the_pictures_again(
    run_py: Run, trained: Path, shapes: Path, tmp_path: Path, browser: Browser
) -> None:
    scored = run_py("--mode=evaluate", "--workdir=run", "--corruptions=rotation", "--output=scores")
    assert scored.returncode == 0, scored.stderr
    require_sound(browser, tmp_path / "scores/evaluation.html")
    predicted = run_py("--mode=predict", "--workdir=run", f"--images={shapes / 'disk'}", "--output=answers")
    assert predicted.returncode == 0, predicted.stderr
    rows = list(csv.DictReader((tmp_path / "answers/predictions.csv").read_text().splitlines()))
    assert len(rows) == 20
    assert {row["class"] for row in rows} <= {"bar", "disk", "square"}
    require_sound(browser, tmp_path / "answers/predictions.html")
    exported = run_py("--mode=export", "--workdir=run", "--format=stablehlo")
    assert exported.returncode == 0, exported.stderr


@pytest.mark.slow
def test_answer_to_a_picture_is_that_to_its_image_in_the_dataset(run_py: Run, tmp_path: Path) -> None:
    """A picture is prepared for prediction as it was for training, also a large JPEG, which is read in part."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for part in ("train", "test"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for index in range(3):
                small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
                small.resize((800, 600)).save(tmp_path / "photos" / part / name / f"{name}{index}.jpg")
    command = ("--dataset=images", "--dataset_dir=photos", *SMALL, "--dataset.size=16", "--workdir=run")
    assert run_py(*command).returncode == 0
    answered = run_py("--mode=predict", "--workdir=run", "--images=photos/test/a", "--output=out")
    assert answered.returncode == 0, answered.stderr
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").read_text().splitlines()))
    config = read_config(tmp_path / "run/config.json")
    test = data.load_from(Experiment(config, dataset_dir=tmp_path / "photos").data, data_dir=tmp_path / "data").test
    logits = cnn_jax.load_run(tmp_path / "run").logits(test.images[test.labels == 0])
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (probabilities / probabilities.sum(axis=1, keepdims=True)).max(axis=1)
    assert np.allclose(sorted(float(row["probability"]) for row in rows), sorted(expected), atol=1e-5)


@pytest.mark.slow
def test_every_mode_that_trains_normalizes_alike(run_py: Run, shapes: Path, tmp_path: Path) -> None:
    """Mean and deviation are known only once the images are read."""
    given = ("--dataset=images", f"--dataset_dir={shapes}", "--model=logistic", "--epochs=2", "--batch_size=16")
    given += ("--dataset.size=12", "--normalize=standard")
    assert run_py(*given, "--validation_examples=8", "--workdir=run").returncode == 0
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    swept = run_py(
        "--mode=sweep", *given, "--validation_examples=8", "--seeds=1", "--sweep=epochs=2", "--workdir=sweep"
    )
    assert swept.returncode == 0, swept.stderr
    trial = json.loads((tmp_path / "sweep/sweep.jsonl").read_text().splitlines()[0])
    assert np.isclose(trial["validation_loss"], row["validation_loss"], rtol=1e-5)
    shown = run_py("--mode=overfitting", *given[:2], *given[3:], "--experiments=logistic", "--sizes=48", "--seeds=1")
    assert shown.returncode == 0, shown.stderr
    [record] = list(tmp_path.glob("runs/*/overfitting.json"))
    [result] = json.loads(record.read_text())["learners"]
    [rows] = list(tmp_path.glob("runs/*/logistic/*/seed-*/metrics.jsonl"))
    last = json.loads(rows.read_text().splitlines()[-1])
    assert abs(result["train_accuracy"]["mean"] - last["train_accuracy"]) < 0.15  # the row's is during the epoch
    losses = [run_py("--mode=check", *given[:-1], f"--normalize={how}").stdout for how in ("standard", "unit")]
    assert losses[0].rpartition("one step")[2] != losses[1].rpartition("one step")[2]


def test_run_is_not_scored_on_other_pictures_unless_they_are_named(run_py: Run, tmp_path: Path) -> None:
    draw_shapes(tmp_path / "here")
    assert run_py("--dataset=images", "--dataset_dir=here", *SMALL, "--workdir=run").returncode == 0
    first = next((tmp_path / "here/bar").iterdir())
    (tmp_path / "here/bar/new.png").write_bytes(first.read_bytes())
    refused = run_py("--mode=evaluate", "--workdir=run")
    assert (refused.returncode, "was trained on other data than images is now" in refused.stderr) == (2, True)
    on_purpose = run_py("--mode=evaluate", "--workdir=run", "--dataset_dir=here")
    assert on_purpose.returncode == 0, on_purpose.stderr
    assert "the run itself recorded" not in on_purpose.stdout
    (tmp_path / "here/bar").rename(tmp_path / "here/apple")
    renamed = run_py("--mode=evaluate", "--workdir=run", "--dataset_dir=here")
    assert (renamed.returncode, "its classes are others: apple where the run had bar" in renamed.stderr) == (2, True)


def test_seeds_of_other_pictures_are_not_added_where_the_shared_record_is_lost(run_py: Run, tmp_path: Path) -> None:
    draw_shapes(tmp_path / "here")
    command = ("--dataset=images", "--dataset_dir=here", *SMALL, "--workdir=runs3")
    assert run_py(*command, "--seeds=1").returncode == 0
    (tmp_path / "runs3/machine.json").unlink()
    (tmp_path / "here/bar/new.png").write_bytes(next((tmp_path / "here/bar").iterdir()).read_bytes())
    refused = run_py(*command, "--seeds=2")
    assert refused.returncode == 2
    assert "machine.json: missing or damaged" in refused.stderr and "other data" in refused.stderr


def test_moved_folder_is_named_and_gives_the_same_scores(run_py: Run, tmp_path: Path) -> None:
    draw_shapes(tmp_path / "here")
    assert run_py("--dataset=images", "--dataset_dir=here", *SMALL, "--workdir=run").returncode == 0
    (tmp_path / "here").rename(tmp_path / "there")
    lost = run_py("--mode=evaluate", "--workdir=run")
    assert lost.returncode == 2
    assert f"--dataset_dir={tmp_path / 'here'}" in lost.stderr
    again = run_py("--mode=evaluate", "--workdir=run", "--dataset_dir=there")
    assert again.returncode == 0, again.stderr
    recorded, scored = (json.loads((tmp_path / "run/result.json").read_text()), again.stdout)
    assert f"{100 * recorded['test_accuracy']:.2f} %" in scored


def test_same_command_finds_its_run_finished_and_other_pictures_are_refused(run_py: Run, tmp_path: Path) -> None:
    draw_shapes(tmp_path / "here")
    command = ("--dataset=images", "--dataset_dir=here", *SMALL, "--workdir=run")
    assert run_py(*command).returncode == 0
    assert "holds this run, finished" in run_py(*command).stderr
    draw_shapes(tmp_path / "other", 90)
    other = run_py("--dataset=images", "--dataset_dir=other", *SMALL, "--epochs=3", "--workdir=run")
    assert (other.returncode, "other data" in other.stderr) == (2, True)


@pytest.mark.slow
def test_models_are_compared_on_pictures(run_py: Run, shapes: Path, tmp_path: Path, browser: Browser) -> None:
    given = ("--dataset=images", f"--dataset_dir={shapes}", "--dataset.size=12", "--epochs=1", "--seeds=2")
    compared = run_py("--mode=compare", "--experiments=dense,logistic", *given, "--workdir=out")
    assert compared.returncode == 0, compared.stderr
    require_sound(browser, tmp_path / "out/compare.html")


def test_summary_and_check_know_the_shape(run_py: Run, shapes: Path) -> None:
    given = (
        "--dataset=images",
        f"--dataset_dir={shapes}",
        "--dataset.size=20",
        "--dataset.channels=1",
        "--model=dense",
    )
    assert "(None, 512)" in run_py("--mode=summary", *given).stdout
    checked = run_py("--mode=check", *given)
    assert (checked.returncode, "[60, 20, 20, 1]" in checked.stdout or "20, 20, 1]" in checked.stdout) == (0, True)


def test_file_of_arrays_trains_and_resumes(run_py: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 9, 11), dtype=np.uint8), np.arange(80) % 3
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels[:, None], x_test=images[:20], y_test=labels[:20])
    command = ("--dataset=arrays", "--dataset_dir=mine.npz", "--normalize=standard", "--model=dense", "--workdir=run")
    first = run_py(*command, "--epochs=1")
    assert first.returncode == 0, first.stderr
    assert "20 of 20 test images are training images too" in first.stderr
    assert run_py(*command, "--epochs=2").returncode == 0
    data = json.loads((tmp_path / "run/machine.json").read_text())["data"]
    assert np.isclose(1 / data["scale"][0], images.std(), rtol=1e-6)
    assert np.isclose(-data["offset"][0] / data["scale"][0], images.mean(), rtol=1e-6)
    assert run_py("--mode=evaluate", "--workdir=run").returncode == 0


def test_normalization_of_training_is_that_of_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, as in a notebook: the mean is known only once the images are read."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8), np.arange(64) % 2
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    config = Config(dataset=Part("arrays", normalize="standard"), model=Part("logistic"), epochs=1)
    monkeypatch.setenv("HOME", str(tmp_path))
    run = cnn_jax.train(Experiment(config, dataset_dir="~/a.npz"))
    inputs = (images - images.mean((0, 1, 2))) / images.std((0, 1, 2))
    kernel, bias = run.params["Dense_0"]["kernel"], run.params["Dense_0"]["bias"]
    logits = inputs.reshape(64, -1).astype(np.float32) @ kernel + bias
    assert np.allclose(run.logits(images), logits, atol=1e-4)
    assert np.isclose(run.test_accuracy, (logits.argmax(axis=1) == labels).mean())


def test_own_dataset_function_may_take_the_folder(run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('''"""Mine."""
import numpy as np
from cnn_jax import Config, Dataset, Experiment


def raw(dataset_dir, level: int = 200):
    images = np.fromfile(dataset_dir / "pixels.raw", np.uint8).reshape(-1, 6, 6)
    labels = np.arange(len(images)) % 2
    return Dataset.from_arrays(np.minimum(images, level), labels, images, labels)


def experiment():
    return Experiment(Config(dataset="raw", model="dense", epochs=1), datasets={"raw": raw})
''')
    (tmp_path / "pixels.raw").write_bytes(np.random.default_rng(0).integers(0, 256, 36 * 20, dtype=np.uint8).tobytes())
    without = run_py("--experiment=mine.py", "--workdir=run")
    assert (without.returncode, without.stderr) == (
        2,
        "run.py: --dataset=raw: name its folder or file with --dataset_dir=PATH.\n",
    )
    assert run_py("--experiment=mine.py", "--dataset_dir=.", "--dataset.level=100", "--workdir=run").returncode == 0
    help_text = run_py("--experiment=mine.py", "--help").stdout
    assert "--dataset.level=200" in help_text and "--dataset.dataset_dir" not in help_text


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--dataset=images",), "--dataset=images: name its folder or file with --dataset_dir=PATH."),
        (
            ("--dataset=x_and_o", "--dataset_dir=."),
            "with --dataset=x_and_o. These read it: --dataset=arrays, --dataset=images.",
        ),
        (("--dataset=images", "--dataset_dir=none"), "--dataset_dir=none: cannot be read: No such file or directory."),
        (("--dataset=arrays", "--dataset_dir=none"), "No such file or directory."),
        (("--dataset=images", "--dataset_dir=.", "--dataset.channels=2"), "must be one of 1, 3."),
        (("--dataset=images", "--dataset_dir=.", "--dataset.test_share=1"), "must be at most 0.9."),
        (("--dataset=images", "--dataset_dir=.", "--normalize=mean"), "must be one of unit, standard."),
    ],
)
@pytest.mark.parametrize("mode", ["train", "check"])
def test_bad_input_is_one_line_and_nothing_is_written(
    run_py: Run, tmp_path: Path, mode: str, flags: tuple[str, ...], line: str
) -> None:
    finished = run_py(f"--mode={mode}", *flags)
    assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (2, "", 1)
    assert finished.stderr.startswith("run.py: ") and finished.stderr.endswith(f"{line}\n")
    assert list(tmp_path.iterdir()) == []


NAMES = st.sampled_from(["train", "test", "a", "b c", "[1]", ".hidden", "Thumbs.db", "é", "\udcff", "x.png", "y.jpg"])
GOOD = [
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
]
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map(tuple), st.sampled_from([*GOOD, b"", b"no"]), max_size=8
)


@pytest.mark.fuzz
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_folder_by_somebody_else_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, ...], bytes]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for parts, content in tree.items():
        path = folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:  # a file where a folder is needed, or the other way round
            continue
    try:
        source = Experiment(Config(dataset=Part("images", size=4)), dataset_dir=folder).data
        train, test = source.produce(folder, None, lambda note: None)
        assert len(train) and len(test) and len(source.spec.classes) > 1
    except InputError as error:
        assert "--dataset_dir=" in str(error)
