"""Training from Python: no file is written, each epoch is told, and a run on disk is the same kind of object."""

import math
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image, ImageDraw

from cnn_jax import Config, Dataset, Experiment, InputError, Part, TrainedRun, load_run, train
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.data.pictures import as_image
from cnn_jax.experiment import build
from cnn_jax.report.console import Console
from cnn_jax.runs import train as train_command
from cnn_jax.runs.execute import execute
from cnn_jax.runs.history import History
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result


def letters() -> Dataset:
    """Bright and dark images, of two classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 96)
    images = np.uint8(rng.integers(0, 50, (96, 9, 9)) + 200 * labels[:, None, None])
    return Dataset.from_arrays(images[:64], labels[:64], images[64:], labels[64:])


def experiment(**fields: object) -> Experiment:
    fields = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2, **fields}
    config = Config(dataset=Part("letters"), model=Part("dense", widths=(8,)), **fields)
    return Experiment(config, datasets={"letters": letters}, metrics={"largest": lambda logits, _: logits.max(axis=-1)})


@pytest.fixture(scope="module")
def trained() -> TrainedRun:
    return train(experiment())


def test_training_in_memory_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(experiment(epochs=10))
    assert list(tmp_path.iterdir()) == []
    assert run.test_accuracy > 0.9
    assert run.params.keys() == {"Dense_0", "Dense_1"}


@pytest.mark.slow
def test_on_epoch_gets_every_row_with_norms_and_metrics(trained: TrainedRun) -> None:
    rows: list[dict] = []
    train(experiment(validation_examples=8), on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    named = {f"{split}_{number}" for split in ("train", "validation") for number in ("loss", "accuracy", "largest")}
    assert rows[0].keys() >= named | {"learning_rate", "seconds", "gradient_norm", "parameter_norm"}
    norm = math.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(trained.params)))
    assert trained.history[-1]["parameter_norm"] == pytest.approx(norm, rel=1e-5)


@pytest.mark.slow
def test_on_epoch_may_stop_the_training() -> None:
    run = train(experiment(), on_epoch=lambda row: "stop" if row["epoch"] == 2 else None)
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert 0 <= run.test_accuracy <= 1


@pytest.mark.slow
def test_gradient_norm_is_that_of_the_mean_loss() -> None:
    """One step over all images: the norm of the gradient of the loss that the epoch reports."""
    one_step = experiment(epochs=1, batch_size=64)
    run = train(one_step)
    learner, data = build(one_step), letters()
    initial = jax.jit(learner.create_state)(0).variables

    def loss(params: dict) -> jax.Array:
        logits = learner.apply({"params": params}, data.train.images)
        return learner.measures.loss(logits, data.train.labels).mean()

    gradients = jax.tree.leaves(jax.grad(loss)(initial["params"]))
    norm = math.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in gradients))
    assert run.history[0]["gradient_norm"] == pytest.approx(norm, rel=1e-4)


def test_fit_goes_on_with_the_bits_of_one_training_of_all_epochs(trained: TrainedRun) -> None:
    start = train(experiment(epochs=1))
    before = jax.tree.map(np.copy, start.variables)
    for _ in range(2):  # as a cell that is run again
        more = start.fit(epochs=2)
        jax.tree.map(np.testing.assert_array_equal, more.variables, trained.variables)
        assert [row["train_loss"] for row in more.history] == trained.history["train_loss"]
        assert [row["step"] for row in more.history] == trained.history["step"]
        assert (more.test_loss, more.experiment.config) == (trained.test_loss, trained.experiment.config)
    assert len(start.history) == 1
    jax.tree.map(np.testing.assert_array_equal, start.variables, before)


@pytest.mark.parametrize(
    ("fields", "epochs", "message"),
    [
        ({}, 0, "^fit: epochs=0: must be a whole number, at least 1"),
        ({"schedule": "cosine"}, 1, r"^fit: this run was planned for 1 epoch, and its cosine schedule depends on"),
        ({"keep": "best", "validation_examples": 8}, 1, "^fit: this run chose among its epochs by held-out images"),
    ],
)
def test_run_that_cannot_go_on_says_why(fields: dict, epochs: int, message: str) -> None:
    run = TrainedRun(experiment(epochs=1, **fields), {}, History([{"epoch": 1}]), 0.0, 0.0, {}, _trainer="in memory")
    with pytest.raises(InputError, match=message):
        run.fit(epochs)


def test_run_from_a_folder_is_trained_on_there() -> None:
    with pytest.raises(InputError, match=r"^fit: this run comes from a folder"):
        TrainedRun(experiment(), {}, History([{"epoch": 1}]), 0.0, 0.0, {}).fit()


def test_own_picture_becomes_an_image_that_the_model_knows(trained: TrainedRun, tmp_path: Path) -> None:
    page = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(page).line([(90, 40), (90, 160)], fill="black", width=12)
    page.save(tmp_path / "one.png")
    photograph = trained.read_picture(tmp_path / "one.png")
    assert (photograph.shape, photograph.dtype) == ((9, 9, 1), np.uint8)
    np.testing.assert_array_equal(photograph, as_image(tmp_path / "one.png", (9, 9, 1)))
    digit = TrainedRun(Experiment(), {}, History(), 0.0, 0.0, {}).read_picture(str(tmp_path / "one.png"))
    np.testing.assert_array_equal(digit, as_mnist(np.asarray(page)))


def test_picture_that_cannot_be_used_is_named(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for name, reason in (("empty.png", "the file is empty"), ("none.png", "no such file")):
        with pytest.raises(InputError, match=rf"{name}: {reason}\.$"):
            trained.read_picture(tmp_path / name)


def test_variants_from_python_get_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter count that is changed twice must not meet the run of another config."""
    folders = []

    def noted(experiment: Experiment, options: RunOptions, *_: object) -> Result:
        folders.append(str(options.workdir))
        raise InputError("enough")

    monkeypatch.setattr(train_command, "execute", noted)
    base = Experiment().vary(dataset="x_and_o")
    for varied in (base, base.vary(widths=(8, 16)), base.vary(widths=(4, 16)), base.vary(model="dense", widths=(9,))):
        for options in (RunOptions(), RunOptions(command_line=("--dataset=x_and_o",), changed=("dataset",))):
            with pytest.raises(InputError, match="enough"):
                train_command.run(varied, options)
    from_python, from_command_line = folders[::2], folders[1::2]
    assert from_python == [
        f"runs/lecture_cnn-x_and_o-seed0{settings}"
        for settings in ("", "-model.widths=8,16", "-model.widths=4,16", "-model=dense-model.widths=9")
    ]
    assert set(from_command_line) == {"runs/lecture_cnn-x_and_o-seed0"}  # it says itself what it has changed


@pytest.mark.slow
def test_a_run_on_disk_predicts_as_the_same_run_in_memory(trained: TrainedRun, tmp_path: Path) -> None:
    execute(experiment(), RunOptions(workdir=tmp_path / "run"), Console(progress=False, rows=False))
    loaded, images = load_run(tmp_path / "run", experiment()), letters().test.images
    np.testing.assert_array_equal(loaded.predict(images), trained.predict(images))
    assert (loaded.test_accuracy, loaded.test_loss) == (trained.test_accuracy, trained.test_loss)
    assert loaded.test_metrics == trained.test_metrics
    assert np.mean(loaded.predict(images).argmax(axis=-1) == letters().test.labels) == trained.test_accuracy
    np.testing.assert_allclose(loaded.predict(images).sum(axis=-1), 1, rtol=1e-5)


def test_predictions_do_not_depend_on_how_many_images_are_asked_for(trained: TrainedRun) -> None:
    images = letters().test.images
    for count in (0, 1, 5):
        np.testing.assert_allclose(trained.predict(images[:count]), trained.predict(images)[:count], rtol=1e-5)
    np.testing.assert_array_equal(trained.predict(images[..., 0]), trained.predict(images))


@pytest.mark.parametrize("images", [np.zeros((2, 9, 9)), np.zeros((2, 8, 9), np.uint8), np.zeros((9, 9), np.uint8)])
def test_other_images_are_refused(trained: TrainedRun, images: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^predict: images .*, expected uint8 of the shape \[N, 9, 9, 1\]\.$"):
        trained.predict(images)


def test_run_of_parts_in_no_file_is_not_resumed_after_they_changed(tmp_path: Path) -> None:
    def logits_or_half(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return logits.max(axis=-1) / 2

    options, console = RunOptions(workdir=tmp_path / "run"), Console(progress=False, rows=False)
    first = execute(experiment(), options, console)
    assert execute(experiment(), options, console) == first  # finished, and read
    changed = Experiment(experiment().config, datasets={"letters": letters}, metrics={"largest": logits_or_half})
    with pytest.raises(InputError, match="has changed since this run was started"):
        execute(changed, options, console)
    with pytest.raises(InputError, match=r"its experiment is in no file\. Give the Experiment\."):
        load_run(tmp_path / "run")
