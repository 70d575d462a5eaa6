"""An evaluation finds the scores that runs recorded, also for several seeds, and writes only where it is asked to."""

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax import data, load_run
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report.classification import confusion_matrix
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.evaluation import calibration
from cnn_jax.studies.evaluation.run import run as evaluate_runs
from cnn_jax.training.metrics import log_softmax

SEEDS = (0, 1, 2)
NAMES = {"logistic": {"model": "logistic"}, "dense": {"model": "dense", "widths": (8,)}}
Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def trained(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs: a folder of seeds for each model, and a single run; tests leave them as they are."""
    root = tmp_path_factory.mktemp("trained")
    for name, settings in NAMES.items():
        for seed in SEEDS:
            train(root / name / f"seed-{seed}", drawn_data_dir, experiment=name, seed=seed, **settings)
    train(root / "fashion", drawn_data_dir, experiment="fashion", model="logistic", dataset="fashion_mnist")
    return root


def train(workdir: Path, data_dir: Path, **settings: Any) -> None:
    experiment = Experiment().vary(train_examples=300, epochs=1, **settings)
    execute(experiment, RunOptions(workdir=workdir, data_dir=data_dir), Console(progress=False))


@pytest.fixture
def evaluated(drawn_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    monkeypatch.chdir(tmp_path)

    def evaluate(workdir: Path | None = None, *, overwrite: bool = False, **arguments: Any) -> dict[str, Any]:
        options = RunOptions(workdir=workdir, data_dir=drawn_data_dir, overwrite=overwrite)
        return evaluate_runs(options, **arguments)

    return evaluate


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_seed_is_found_again_and_nothing_is_written(trained: Path, evaluated: Evaluate, tmp_path: Path) -> None:
    before = content(trained)
    [run] = evaluated(workdir=trained / "dense")["runs"]
    by_class = np.zeros((10, 10), int)
    for row in run["seeds"]:
        folder = trained / f"dense/seed-{row['seed']}"
        result = json.loads((folder / "result.json").read_text())
        assert (row["loss"], row["accuracy"]) == (result["test_loss"], result["test_accuracy"])
        stored = np.load(folder / "predictions.npz")
        probabilities = np.exp(log_softmax(stored["logits"]))
        assert row["calibration_error"] == calibration.expected_calibration_error(probabilities, stored["labels"])
        by_class += confusion_matrix(stored["labels"], stored["logits"].argmax(axis=-1), 10)
    assert run["classification"][0]["confusion"] == by_class.tolist()
    assert [row["seed"] for row in run["seeds"]] == [*SEEDS]
    assert run["mean"]["accuracy"]["mean"] == pytest.approx(np.mean([row["accuracy"] for row in run["seeds"]]))
    low, high = run["mean"]["accuracy"]["interval"]
    # Student's t of two degrees of freedom is 4.303 at 97.5 %.
    assert (high - low) / 2 == pytest.approx(4.303 * run["mean"]["accuracy"]["std"] / 3**0.5, rel=1e-3)
    assert [row["members"] for row in run["ensembles"]] == [1, 2, 3]
    assert content(trained) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_several_runs_share_one_table_and_one_page(trained: Path, evaluated: Evaluate, tmp_path: Path) -> None:
    runs = [trained / "logistic", trained / "dense" / "seed-1"]
    record = evaluated(runs=runs, corruptions=["occlusion"], output=tmp_path / "out")
    assert [run["name"] for run in record["runs"]] == ["logistic", "dense"]
    assert [np.shape(run["accuracy"]["occlusion"]) for run in record["corruptions"]["runs"]] == [(6, 3), (6, 1)]
    assert record["corruptions"]["runs"][1]["mean"]["occlusion"][0]["interval"] is None
    page = (tmp_path / "out/evaluation.html").read_text()
    assert page.count("<td>occlusion</td>") == 3  # what its strengths are, and a row for each run
    assert "Ensembles of logistic" in page
    stored = json.loads((tmp_path / "out/corruptions.json").read_text())
    assert stored["runs"] == json.loads(json.dumps(record["corruptions"]["runs"]))


@pytest.mark.slow
def test_variants_of_the_images_are_scored_beside_the_images_which_keep_their_scores(
    trained: Path, evaluated: Evaluate, tmp_path: Path, drawn_data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = evaluated(workdir=trained / "dense")
    record = evaluated(
        workdir=trained / "dense", test_augment=["shift", "flip"], shift_pixels=1, output=tmp_path / "out"
    )
    assert {**record, "test_augmentation": 0, "machine": 0} == {**plain, "test_augmentation": 0, "machine": 0}
    found = json.loads((tmp_path / "out/evaluation.json").read_text())["test_augmentation"]
    assert found == json.loads(json.dumps(record["test_augmentation"]))
    test = data.load("mnist", data_dir=drawn_data_dir).test
    probabilities = np.zeros((len(test), 10))
    run = load_run(trained / "dense/seed-1")
    for images in (test.images, test.images[:, :, ::-1]):
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        for top, left in itertools.product(range(3), repeat=2):
            probabilities += run.predict(padded[:, top : top + 28, left : left + 28]) / 18
    of_seed = found["runs"][0]["seeds"][1]
    assert of_seed["loss"] == pytest.approx(-np.log(probabilities[np.arange(len(test)), test.labels]).mean(), rel=1e-4)
    assert of_seed["accuracy"] == pytest.approx((probabilities.argmax(axis=-1) == test.labels).mean(), abs=2e-3)
    printed = capsys.readouterr()
    assert "dense" in printed.out and "18 variants" in printed.out
    assert "scoring 18 variants of each image" in printed.err and "a mirrored one is wrong" in printed.err


def test_one_run_needs_no_corruptions_for_a_page(trained: Path, evaluated: Evaluate, tmp_path: Path) -> None:
    evaluated(workdir=trained / "fashion", output=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluation.json", "evaluation.html"}
    page = (tmp_path / "out/evaluation.html").read_text()
    assert "corrupt" not in page.lower()
    assert "fashion on fashion_mnist: confusion matrix" in page and "T-shirt/top predicted as" in page


def test_runs_of_different_datasets_are_refused_or_scored_on_one(trained: Path, evaluated: Evaluate) -> None:
    runs = [trained / "fashion", trained / "dense" / "seed-0"]
    with pytest.raises(InputError, match=r"different datasets .*fashion_mnist.*mnist.*--dataset=NAME"):
        evaluated(runs=runs)
    assert len(evaluated(runs=runs, dataset="mnist")["runs"]) == 2


def test_runs_of_one_experiment_are_named_by_their_folders(trained: Path, evaluated: Evaluate) -> None:
    runs = [trained / "dense" / "seed-0", trained / "dense" / "seed-1"]
    assert [run["name"] for run in evaluated(runs=runs)["runs"]] == [str(path) for path in runs]


def test_seed_without_a_checkpoint_is_named(trained: Path, evaluated: Evaluate, tmp_path: Path) -> None:
    shutil.copytree(trained / "dense", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/seed-1/checkpoints")
    with pytest.raises(InputError, match=r"seed-1/checkpoints: there is no checkpoint of step 5"):
        evaluated(workdir=tmp_path / "copy", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_is_refused_before_any_work(
    trained: Path, evaluated: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(InputError, match="cannot be written"):
            evaluated(workdir=trained / "fashion", output=output)
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.slow
def test_existing_evaluation_is_kept_without_overwrite(trained: Path, evaluated: Evaluate, tmp_path: Path) -> None:
    arguments = {"workdir": trained / "fashion", "output": tmp_path / "out"}
    evaluated(**arguments)
    before = content(tmp_path / "out")
    with pytest.raises(InputError, match=r"evaluation.json exists already"):
        evaluated(**arguments)
    assert content(tmp_path / "out") == before
    evaluated(**arguments, overwrite=True)


@pytest.mark.slow
def test_model_with_several_outputs_is_scored_by_its_main_output_and_shows_every_output(
    drawn_data_dir: Path, evaluated: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        several: dict[str, Any] = {"model": "two_inputs_two_outputs", "task": "with_metadata", "widths": (4, 8)}
        train(tmp_path / f"run/seed-{seed}", drawn_data_dir, seed=seed, **several)
    results = [json.loads((tmp_path / f"run/seed-{seed}/result.json").read_text()) for seed in (0, 1)]
    [run] = evaluated(tmp_path / "run/seed-0")["runs"]
    printed = capsys.readouterr().out
    for name, recorded in results[0]["outputs"].items():
        score = run["seeds"][0]["outputs"][name]
        assert (score["loss"], score["accuracy"]) == (recorded["test_loss"], recorded["test_accuracy"])
        assert f"  {name} test loss {score['loss']:.4f}" in printed
    digit = results[0]["outputs"]["digit"]
    assert (run["seeds"][0]["loss"], run["seeds"][0]["accuracy"]) == (digit["test_loss"], digit["test_accuracy"])
    assert run["recorded"] == {"loss": digit["test_loss"], "accuracy": digit["test_accuracy"]}
    assert "several outputs; its scores are those of digit" in printed

    record = evaluated(tmp_path / "run", corruptions=["shift"], test_augment=["shift"], output=tmp_path / "out")
    assert len(record["test_augmentation"]["runs"][0]["seeds"]) == 2
    accuracies = [result["outputs"]["digit"]["test_accuracy"] for result in results]
    assert record["corruptions"]["runs"][0]["accuracy"]["shift"][0] == accuracies
    assert "has several outputs; its scores are those of digit." in (tmp_path / "out/evaluation.html").read_text()


@pytest.mark.slow
def test_held_out_images_are_those_that_training_did_not_see(
    drawn_data_dir: Path, evaluated: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, examples in (("some", 100), ("other", 50), ("none", 0)):
        train(tmp_path / name, drawn_data_dir, model="logistic", validation_examples=examples)
    row = json.loads((tmp_path / "some/metrics.jsonl").read_text().splitlines()[-1])

    record = evaluated(tmp_path / "some", held_out=True, test_augment=["shift"], output=tmp_path / "out")
    [run] = record["runs"]
    assert record["test_examples"] == 100 == np.sum(run["classification"][0]["confusion"])
    [seed] = run["seeds"]
    assert seed["accuracy"] == row["validation_accuracy"]
    assert seed["loss"] == pytest.approx(row["validation_loss"], rel=1e-6)
    assert "recorded" not in run, "the run has recorded the scores of test images, not these"
    assert re.search(r"^mnist held-out loss .* of 100\)$", capsys.readouterr().out, re.MULTILINE)
    page = (tmp_path / "out/evaluation.html").read_text()
    assert "100 held-out images of mnist" in page
    assert not re.search("test (accuracy|loss|set)", page), "these are no test images"

    with pytest.raises(InputError, match=r"^--held_out: .*none held out no image\. Train it with --validation_exam"):
        evaluated(tmp_path / "none", held_out=True)
    with pytest.raises(InputError, match=r"^--held_out: the runs held out different numbers .*some 100, .*other 50"):
        evaluated(runs=[tmp_path / "some", tmp_path / "other"], held_out=True)
    with pytest.raises(InputError, match=r"^--held_out: the runs held out images of mnist, not of fashion_mnist"):
        evaluated(tmp_path / "some", held_out=True, dataset="fashion_mnist")
