"""The command compares runs that can be compared, and refuses all others before it writes anything."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.errors import InputError, OutOfReachError
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.finished import finished_seeds
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.compare import run as compare
from tests import fabricated

PLAIN = Experiment().vary(experiment="plain", model="logistic")
DEEP = Experiment().vary(experiment="deep", model="dense", widths=(8,))
FEW, MANY = [range(10), range(11), range(12)], [range(60), range(63), range(58)]


@pytest.fixture(autouse=True)
def without_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fabricated runs have no dataset, and the default folder is in the test's own folder."""

    def load(*_: Any, **__: Any) -> None:
        raise OutOfReachError("there are none")

    monkeypatch.setattr(data, "load_from", load)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A better and a worse model, three seeds each."""
    fabricated.seeds(tmp_path / "deep", DEEP, FEW)
    fabricated.seeds(tmp_path / "plain", PLAIN, MANY, train_seconds=5.0)
    return [tmp_path / "deep", tmp_path / "plain"]


def test_record_table_and_page_agree(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    content = compare.run([], RunOptions(workdir=Path("out")), runs=folders)
    assert json.loads(Path("out/compare.json").read_text()) == content
    deep, plain = content["models"]
    assert [deep["parameters"], plain["parameters"]] == [785 * 8 + 9 * 10, 7850]
    assert deep["test_accuracy"]["values"] == [0.99, 0.989, 0.988]
    assert (deep["test_accuracy"]["mean"], deep["test_accuracy"]["std"]) == (pytest.approx(0.989), pytest.approx(0.001))
    [pair] = content["pairs"]
    assert (pair["verdict"], pair["train_seconds_ratio"]["ratio"]) == ("better", pytest.approx(2.0))
    said = "deep is better than plain: +4.93 percentage points of test accuracy"
    printed, page = capsys.readouterr().out, Path("out/compare.html").read_text()
    assert said in printed and said in page
    assert "plain trains 2 times as fast as deep" in printed
    assert "98.90 %" in printed and "98.90 %" in page
    with Path("out/compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["seed"], float(row["test_accuracy"])) for row in rows][2:4] == [
        ("deep", "2", 0.988),
        ("plain", "0", 0.94),
    ]


@pytest.mark.slow
def test_swapping_the_folders_swaps_the_verdict(folders: list[Path]) -> None:
    assert compare.run([], RunOptions(), runs=folders[::-1])["pairs"][0]["verdict"] == "worse"
    assert compare.run([], RunOptions(), runs=folders)["pairs"][0]["verdict"] == "better"
    assert sorted(path.name for path in Path("runs").iterdir()) == ["compare-deep-plain", "compare-plain-deep"]


def test_record_names_the_machines_and_no_folder_and_no_command_line(folders: list[Path]) -> None:
    other = fabricated.MACHINE | {"device": "1 x slide rule", "versions": {"jax": "0.11"}}
    fabricated.run(Path("deep/seed-1"), DEEP.replace(seed=1), FEW[1], machine=other)
    content = compare.run([], RunOptions(workdir=Path("out")), runs=folders)
    assert [machine["runs"] for machine in content["machines"]] == [5, 1]
    assert content["machines_differ_in"] == ["device", "versions"]
    text = Path("out/compare.json").read_text()
    assert "workdir" not in text and "/home" not in text and str(Path.cwd()) not in text
    assert "machine.json files of these runs differ in device, versions" in Path("out/compare.html").read_text()


def test_single_runs_are_compared_as_runs_not_as_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [fabricated.run(tmp_path / "a", DEEP, FEW[0]), fabricated.run(tmp_path / "b", PLAIN, MANY[0])]
    content = compare.run([], RunOptions(), runs=runs)
    assert content["pairs"][0]["mcnemar"]["only_first"] == 50
    assert "This compares two runs, not the models" in capsys.readouterr().out


@pytest.mark.slow
def test_page_without_images_lists_their_indices(folders: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    compare.run([], RunOptions(workdir=Path("out")), runs=folders)
    assert "has no pictures" in capsys.readouterr().err
    page = Path("out/compare.html").read_text()
    assert "<image" not in page
    assert "is not available here" in page


def test_everything_from_files_is_escaped(folders: list[Path]) -> None:
    nasty = fabricated.MACHINE | {"device": "<script>alert(1)</script>", "versions": {"<b>": "<i>"}}
    fabricated.seeds(Path("deep"), DEEP, FEW, machine=nasty)
    compare.run([], RunOptions(workdir=Path("out")), runs=folders)
    page = Path("out/compare.html").read_text()
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;" in page


def other_dataset() -> None:
    fabricated.seeds(Path("plain"), PLAIN.replace(dataset="fashion_mnist"), MANY)


def other_data() -> None:
    fabricated.seeds(Path("plain"), PLAIN, MANY, machine=fabricated.MACHINE | {"data_fingerprint": "0" * 64})


def no_fingerprint() -> None:
    Path("plain/seed-0/machine.json").write_text("[]")


def other_test_images() -> None:
    fabricated.seeds(Path("plain"), PLAIN, MANY, labels=fabricated.LABELS[::-1].copy())


def other_seeds() -> None:
    for seed in range(3):
        fabricated.run(Path(f"plain/seed-{seed + 5}"), PLAIN.replace(seed=seed + 5), [])
        Path(f"plain/seed-{seed}/result.json").unlink()


def unfinished() -> None:
    for file in Path("plain").rglob("result.json"):
        file.unlink()


def missing_predictions() -> None:
    Path("plain/seed-1/predictions.npz").unlink()


def damaged_predictions() -> None:
    file = Path("plain/seed-1/predictions.npz")
    file.write_bytes(file.read_bytes()[:1000])


def pickled_predictions() -> None:
    np.savez(Path("plain/seed-1/predictions.npz"), logits=np.array([{}], object), labels=np.zeros(1, np.int32))


def compressed_predictions() -> None:
    arrays = np.load("plain/seed-1/predictions.npz")
    np.savez_compressed("plain/seed-1/predictions.npz", **arrays)


def predictions_of_another_run() -> None:
    np.savez("plain/seed-1/predictions.npz", logits=np.zeros((1000, 10), np.float32), labels=fabricated.LABELS)


def too_few_classes() -> None:
    np.savez("plain/seed-1/predictions.npz", logits=np.zeros((1000, 9), np.float32), labels=fabricated.LABELS)


def damaged_rows() -> None:
    Path("plain/seed-1/metrics.jsonl").write_text('{"train_loss": NaN}\n')


def no_time() -> None:
    fabricated.seeds(Path("plain"), PLAIN, MANY, train_seconds=0.0)


def beyond_measure() -> None:
    fabricated.seeds(Path("plain"), PLAIN, MANY, loss=1e308)


def a_comparison_there() -> None:
    Path("out").mkdir()
    Path("out/compare.json").touch()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (other_dataset, "trained on fashion_mnist, but .* on mnist. Only runs on the same dataset can be compared"),
        (other_data, "used other data than"),
        (no_fingerprint, "machine.json does not say which data"),
        (other_test_images, "was scored on other test images"),
        (other_seeds, r"no seed in common with another run \(0, 1, 2 here, 5, 6, 7 there\)"),
        (unfinished, "no run in it is finished"),
        (missing_predictions, "predictions.npz: not the predictions of a run"),
        (damaged_predictions, "predictions.npz: not the predictions of a run"),
        (pickled_predictions, "predictions.npz: not the predictions of a run"),
        (compressed_predictions, "compressed; a run does not compress them"),
        (predictions_of_another_run, "predictions.npz and result.json contradict each other"),
        (too_few_classes, "do not match the dataset's 10 classes"),
        (damaged_rows, "not the rows of a run"),
        (no_time, "result.json: train_seconds cannot be 0"),
        (beyond_measure, r"result.json: test_loss cannot be 1e\+308"),
        (a_comparison_there, "compare.json exists already"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_and_nothing_is_written(
    folders: list[Path], damage: Callable[[], None], said: str
) -> None:
    damage()
    before = sorted(Path().rglob("*"))
    with pytest.raises(InputError, match=said):
        compare.run([], RunOptions(workdir=Path("out")), runs=folders)
    assert sorted(Path().rglob("*")) == before


def test_overwrite_replaces_a_comparison(folders: list[Path]) -> None:
    a_comparison_there()
    content = compare.run([], RunOptions(workdir=Path("out"), overwrite=True), runs=folders)
    assert json.loads(Path("out/compare.json").read_text()) == content


@pytest.mark.slow
def test_models_with_several_outputs_are_compared_by_their_main_output(
    monkeypatch: pytest.MonkeyPatch, drawn_data_dir: Path, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    several = Experiment().vary(experiment="several", model="two_inputs_two_outputs", task="with_metadata")
    for experiment in (PLAIN, several.vary(widths=(4, 8))):
        place = RunOptions(workdir=tmp_path / experiment.config.experiment, data_dir=drawn_data_dir)
        execute(experiment.replace(train_examples=256, epochs=1), place, Console(progress=False))
    content = compare.run([], RunOptions(data_dir=drawn_data_dir), runs=[tmp_path / "plain", tmp_path / "several"])
    digit = json.loads((tmp_path / "several/result.json").read_text())["outputs"]["digit"]
    model = content["models"][1]
    assert model["test_accuracy"]["values"] == [digit["test_accuracy"]]
    assert model["test_loss"]["values"] == [digit["test_loss"]]
    assert content["pairs"][0]["mcnemar"] is not None


@pytest.mark.slow
def test_real_runs_are_compared_with_pictures_of_their_images(
    monkeypatch: pytest.MonkeyPatch, drawn_data_dir: Path, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    for name, experiment in (("plain", PLAIN), ("deep", DEEP)):
        for seed in range(2):
            tiny = experiment.replace(train_examples=256, epochs=2, seed=seed)
            place = RunOptions(workdir=tmp_path / name / f"seed-{seed}", data_dir=drawn_data_dir)
            execute(tiny, place, Console(progress=False))
    folders = [tmp_path / name for name in ("plain", "deep")]
    content = compare.run([], RunOptions(data_dir=drawn_data_dir, workdir=tmp_path / "out"), runs=folders)
    results = [run.finished_result().test_accuracy for run in finished_seeds(tmp_path / "deep").values()]
    assert content["models"][1]["test_accuracy"]["values"] == results
    assert len(content["models"][0]["curves"]["train_loss"]) == 2
    page = (tmp_path / "out/compare.html").read_text()
    assert page.count("<image") > 4
    assert len(page) < 2_000_000
