"""A run on disk: its files are the contract with other commands and with users' scripts."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.config import read_config
from cnn_jax.errors import DivergedError, InputError, MachineError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import numbered
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.studies.evaluation import run as evaluate
from cnn_jax.training import metrics
from cnn_jax.training.loop import Progress

TINY = Experiment().vary(
    experiment="tiny",
    dataset="x_and_o",
    widths=(4, 8),
    train_examples=300,
    validation_examples=100,
    epochs=2,
    batch_size=32,
)

ROW = (
    "seed epoch step train_loss train_accuracy validation_loss validation_accuracy learning_rate gradient_norm "
    "parameter_norm seconds images_per_second"
)
RESULT = (
    "status experiment dataset model parameters seed epochs steps train_loss train_accuracy best_epoch best_step "
    "best_validation_loss best_validation_accuracy test_loss test_accuracy test_examples test_metrics outputs "
    "main_output compile_seconds train_seconds host_seconds saving_seconds evaluate_seconds images_per_second "
    "device"
)


@pytest.fixture
def train(drawn_data_dir: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(experiment: Experiment = TINY, *, workdir: Path = tmp_path / "run", **place: Any) -> Result:
        options = RunOptions(workdir=workdir, data_dir=drawn_data_dir, **place)
        return execute(experiment, options, Console(progress=False))

    return run


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir, command_line=("--a",)), Console(progress=False))
    return workdir


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scores(**arguments: Any) -> list[dict[str, Any]]:
    """What an evaluation says of each seed of a run."""
    dataset = arguments.pop("dataset", None)
    [run] = evaluate.run(RunOptions(**arguments, compilation_cache=False), dataset=dataset)["runs"]
    return run["seeds"]


def test_run_directory_has_every_promised_file_and_field(finished_run: Path, drawn_data_dir: Path) -> None:
    assert {path.name.partition(".out")[0] for path in finished_run.glob("[!.]*")} == {
        *("config.json", "machine.json", "metrics.jsonl", "predictions.npz", "result.json", "checkpoints", "events")
    }
    assert read_config(finished_run / "config.json") == TINY.config
    result = json.loads((finished_run / "result.json").read_text())
    assert " ".join(result) == RESULT
    assert (result["status"], result["epochs"], result["steps"], result["test_examples"]) == ("done", 2, 20, 2_000)
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    assert [" ".join(row) for row in rows] == [ROW, ROW]
    assert (rows[-1]["train_loss"], rows[-1]["step"]) == (result["train_loss"], result["steps"])
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    machine = json.loads((finished_run / "machine.json").read_text())
    assert machine["command_line"] == ["--a"]
    assert machine["data_fingerprint"] == data.load("x_and_o", data_dir=drawn_data_dir).fingerprint
    assert machine["versions"]["jax"] == jax.__version__


def test_predictions_hold_what_the_result_says(finished_run: Path) -> None:
    result = json.loads((finished_run / "result.json").read_text())
    with np.load(finished_run / "predictions.npz", allow_pickle=False) as predictions:
        assert sorted(predictions) == ["labels", "logits"]  # drawn images are in no original file
        score = metrics.score(predictions["logits"], predictions["labels"])
    assert (score.loss, score.accuracy) == (result["test_loss"], result["test_accuracy"])


def test_tensorboard_events_hold_the_rows(finished_run: Path) -> None:
    [events] = finished_run.glob("events.out.tfevents.*")
    text = events.read_bytes()
    assert all(name.encode() in text for name in ROW.split()[3:])


def test_finished_run_is_not_trained_again(
    train: Callable[..., Result], finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(finished_run)
    result = train(workdir=finished_run)
    assert dataclasses.asdict(result) == json.loads(before["result.json"])
    assert content(finished_run) == before
    assert "--overwrite" in capsys.readouterr().err


def test_run_of_another_config_is_refused_and_the_fields_named(
    train: Callable[..., Result], finished_run: Path
) -> None:
    before = content(finished_run)
    with pytest.raises(InputError, match=r"epochs: 2 there, 3 now; batch_size: 32 there, 64 now"):
        train(TINY.vary(epochs=3, batch_size=64), workdir=finished_run)
    assert content(finished_run) == before


def test_overwrite_deletes_the_run_and_nothing_else(train: Callable[..., Result], tmp_path: Path) -> None:
    train()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    train(TINY.vary(epochs=1), overwrite=True)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    assert len(list((tmp_path / "run").glob("events.*"))) == 1
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_folder_without_a_run_is_never_touched(train: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds files, but no run"):
            train(overwrite=overwrite)
    assert content(tmp_path) == {"run/result.json": b"{}"}


@pytest.mark.slow
def test_same_config_gives_the_same_bits(train: Callable[..., Result], finished_run: Path, tmp_path: Path) -> None:
    train()
    one, other = content(tmp_path / "run"), content(finished_run)
    assert one["predictions.npz"] == other["predictions.npz"]


def test_diverged_run_says_so(train: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"epoch \d at step \d"):
        train(TINY.vary(optimizer="sgd", learning_rate=1e30))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["test_loss"]) == ("diverged", None)


def test_evaluate_finds_the_recorded_numbers_again(finished_run: Path, drawn_data_dir: Path) -> None:
    before, result = content(finished_run), json.loads((finished_run / "result.json").read_text())
    [score] = scores(workdir=finished_run, data_dir=drawn_data_dir)
    assert (score["loss"], score["accuracy"]) == (result["test_loss"], result["test_accuracy"])
    assert content(finished_run) == before


@pytest.mark.slow
def test_evaluate_changes_when_one_weight_does(
    train: Callable[..., Result], drawn_data_dir: Path, tmp_path: Path
) -> None:
    recorded = train()
    folder = tmp_path / "run" / "checkpoints"
    saved = checkpoint.load_step(folder, 20, build(TINY).abstract_state)
    kernel = saved.state.params["Conv_0"]["kernel"]
    saved.state.params["Conv_0"]["kernel"] = kernel.at[1, 1, 0, 0].add(0.5)
    shutil.rmtree(folder / "20")
    progress = Progress(
        state=saved.state,
        sums=saved.sums,
        step=20,
        epoch_steps=10,
        images=600,
        clock=saved.clock,
        scores=(None,),
        diverged_at=(None,),
    )
    with checkpoint.Writer([folder], keep=3, note=print) as writer:
        writer.save(progress, [saved.rows])
        writer.finish()
    [score] = scores(workdir=tmp_path / "run", data_dir=drawn_data_dir)
    assert score["loss"] != recorded.test_loss


@pytest.mark.slow
def test_evaluate_scores_another_dataset(train: Callable[..., Result], drawn_data_dir: Path, tmp_path: Path) -> None:
    train(Experiment().vary(model="logistic", train_examples=300, epochs=1))
    arguments = {"workdir": tmp_path / "run", "data_dir": drawn_data_dir}
    [own], [other] = scores(**arguments), scores(**arguments, dataset="fashion_mnist")
    assert other["loss"] != own["loss"]


@pytest.mark.parametrize("damage", ["truncated", "one bit flipped", "deleted", "no manifest"])
def test_damaged_checkpoint_is_refused(finished_run: Path, drawn_data_dir: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(finished_run, tmp_path / "copy")
    largest = max((tmp_path / "copy" / "checkpoints").rglob("*/d/*"), key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    middle = len(whole) // 2
    match damage:
        case "truncated":
            largest.write_bytes(whole[:middle])
        case "one bit flipped":
            largest.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        case "deleted":
            largest.unlink()
        case "no manifest":
            (tmp_path / "copy" / "checkpoints" / "20" / "manifest.sha256").unlink()
    with pytest.raises(MachineError, match="damaged"):
        evaluate.run(RunOptions(workdir=tmp_path / "copy", data_dir=drawn_data_dir, compilation_cache=False))


def test_numbered_opens_the_next_free_directory(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = numbered(tmp_path, "run")
        path.mkdir()
        names.append(path.name)
    assert names == ["run", "run-2", "run-3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "mnist", "train_examples": 60_001, "validation_examples": 0}, "has only 60,000 training images"),
        (
            {"dataset": "mnist", "train_examples": 60_000, "validation_examples": 1},
            "has only 59,999 training images beside the 1 held out",
        ),
        (
            {"dataset": "mnist", "train_examples": None, "validation_examples": 60_000},
            "some of them must remain to train on",
        ),
        ({"model": "denze"}, "Did you mean dense"),
        ({"dataset": "mnits"}, "Did you mean mnist"),
        ({"kernel_size": 10}, "too small for its filters"),
    ],
)
def test_bad_settings_leave_nothing_behind(
    train: Callable[..., Result], tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(TINY.vary(**settings))
    assert not (tmp_path / "run").exists()
