"""The command line as a user types it."""

import dataclasses
import fcntl
import importlib
import inspect
import itertools
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import run
from cnn_jax import data
from cnn_jax.config import FIELDS
from cnn_jax.data import idx
from cnn_jax.data.arrays import NAMES
from cnn_jax.experiment import TABLES, Experiment
from cnn_jax.report import estimates
from cnn_jax.report.format import percent_estimate
from cnn_jax.runs import checkpoint
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.benchmark import record as benchmark

Run = Callable[..., subprocess.CompletedProcess[str]]
PROJECT = Path(__file__).parents[1]

Start = Callable[..., subprocess.Popen[str]]

# X and O: 2,000 test images of 9 x 9 pixels are scored at once.
SHORT = ("--experiment=x_and_o", "--train_examples=640", "--epochs=1")
ENDLESS = ("--experiment=x_and_o", "--epochs=100000", "--workdir=run")


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until the condition holds; looks whenever the run has printed a line."""
    assert process.stdout is not None
    while not condition():
        assert process.stdout.readline(), process.communicate()


def test_help_shows_every_flag_and_exits_0(run_py: Run) -> None:
    finished = run_py("--help")
    assert finished.returncode == 0
    for name in [*FIELDS, *run.GENERAL_FLAGS, *run.MODE_FLAGS, *run.INFORMATION, "mode"]:
        assert re.search(rf"--(\[no\])?{name}\b", finished.stdout), name
    assert all(mode in finished.stdout for mode in run.MODES)


def test_h_is_help(run_py: Run) -> None:
    assert (run_py("-h").returncode, run_py("-h").stdout) == (0, run_py("--help").stdout)


@pytest.mark.slow
@pytest.mark.parametrize("switch", ["-P", "-I"])
def test_python_that_leaves_out_the_programs_folder_runs_it_too(
    command_environment: dict[str, str], tmp_path: Path, switch: str
) -> None:
    command = [sys.executable, switch, str(PROJECT / "run.py"), "--list"]
    finished = subprocess.run(command, cwd=tmp_path, env=command_environment, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "lecture_cnn_no_pooling" in finished.stdout


def test_helpfull_shows_the_flags_of_jax(run_py: Run) -> None:
    assert "--jax_debug_nans" in run_py("--helpfull").stdout


def test_list_names_experiments_and_every_entry_of_every_table_with_a_description(run_py: Run) -> None:
    finished = run_py("--list")
    assert finished.returncode == 0
    for name in ("lecture_cnn_no_pooling", "smoke", *(name for table in TABLES.values() for name in table.shipped)):
        assert re.search(rf"^  {name} .*[a-z]", finished.stdout, re.MULTILINE), name
    for table in TABLES.values():
        assert f"--{table.field}=\n" in finished.stdout


def test_summary_prints_the_layer_table_without_data(run_py: Run) -> None:
    finished = run_py("--mode=summary", "--data_dir=/not/there")
    assert finished.returncode == 2  # a summary reads no data: the flag has no meaning
    table = run_py("--mode=summary", "--experiment=lecture_cnn_no_pooling").stdout
    for text in ("(None, 26, 26, 32)", "(None, 61952)", "712,202", "47,115,392"):
        assert text in table


def test_summary_draws_every_layer_with_its_shape_into_a_file(run_py: Run, tmp_path: Path) -> None:
    finished = run_py("--mode=summary", "--experiment=lecture_cnn_no_pooling", "--graph=model.svg")
    assert (finished.returncode, finished.stderr) == (0, "")
    root = ElementTree.parse(tmp_path / "model.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    nodes = [("input", "28 x 28 x 1"), ("Conv_0", "26 x 26 x 32"), ("relu", "26 x 26 x 32")]
    nodes += [("Conv_1", "24 x 24 x 64"), ("relu", "24 x 24 x 64"), ("Conv_2", "22 x 22 x 128")]
    nodes += [("relu", "22 x 22 x 128"), ("Flatten_0", "61952"), ("Dense_0", "10"), ("output", "10")]
    assert list(zip(said[::2], said[1::2], strict=True)) == nodes
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["model.svg"]


@pytest.mark.slow
def test_summary_shows_the_augmentations_on_images_of_the_dataset(run_py: Run, tmp_path: Path) -> None:
    command = ("--mode=summary", "--experiment=x_and_o", "--augment=shift,mixup", "--augmentations=sheets.html")
    finished = run_py(*command)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("sheets.html written\n")
    page = (tmp_path / "sheets.html").read_text()
    assert "training images of the dataset x_and_o" in page and page.count('<svg role="img"') == 3
    assert run_py(*command).stderr == "run.py: --augmentations=sheets.html: already exists. Name another file.\n"


@pytest.mark.slow
def test_flipped_digits_are_remarked_before_training(run_py: Run, tmp_path: Path) -> None:
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 10
    images[:, 0, 0], images[:, 1, 1:] = 255, 25 * labels[:, None]
    np.savez(tmp_path / "digits.npz", **dict(zip(NAMES, (images, labels, images[:10] + 1, labels[:10]), strict=True)))
    digits = ("--dataset=arrays", "--dataset_dir=digits.npz", "--model=logistic", "--epochs=1")
    for augment, number in (("flip", 1), ("shift", 0)):
        finished = run_py(*digits, f"--augment={augment}")
        assert finished.returncode == 0, finished.stderr
        assert finished.stderr.count("--augment=flip: if the classes 2, 3, 4, ... are digits") == number


@pytest.mark.slow
def test_training_prints_test_numbers_and_a_second_start_prints_them_again(run_py: Run, tmp_path: Path) -> None:
    first = run_py(*SHORT)
    assert (first.returncode, first.stderr) == (0, "")
    result = json.loads((tmp_path / "runs/x_and_o-x_and_o-seed0-train_examples=640-epochs=1/result.json").read_text())
    printed = f"x_and_o test loss {result['test_loss']:.4f}  accuracy {100 * result['test_accuracy']:.2f} %"
    assert printed in first.stdout
    second = run_py(*SHORT)
    assert second.returncode == 0
    assert printed in second.stdout
    assert "--overwrite" in second.stderr


@pytest.mark.slow
def test_best_epoch_is_printed_and_is_what_evaluate_and_export_read(run_py: Run, tmp_path: Path) -> None:
    best = ("--keep=best", "--patience=1", "--validation_examples=100", "--learning_rate=0.03", "--workdir=run")
    first = run_py(*SHORT, "--model=dense", "--epochs=20", *best)
    assert (first.returncode, first.stderr) == (0, "")
    result = json.loads((tmp_path / "run/result.json").read_text())
    epoch, epochs = result["best_epoch"], result["epochs"]
    assert epoch == epochs - 1 < 19
    printed = f"scored epoch {epoch} of {epochs}, the best on held-out images: validation loss "
    assert f"ends after epoch {epochs} of 20: the last 1 epoch had no better validation accuracy" in first.stdout
    assert printed in first.stdout and printed in run_py(*SHORT, "--model=dense", "--epochs=20", *best).stdout
    assert run_py("--mode=evaluate", "--workdir=run", "--output=again").returncode == 0
    [model] = json.loads((tmp_path / "again/evaluation.json").read_text())["runs"]
    [scored] = model["seeds"]
    assert [result["test_loss"], result["test_accuracy"]] == [scored["loss"], scored["accuracy"]]
    assert run_py("--mode=export", "--workdir=run").returncode == 0
    best_one = checkpoint.load_variables(tmp_path / "run/checkpoints", result["best_step"])
    with np.load(next(tmp_path.rglob("parameters.npz")), allow_pickle=False) as exported:
        np.testing.assert_array_equal(exported["Dense_0/kernel"], best_one["params"]["Dense_0"]["kernel"])


def test_many_seeds_print_mean_and_interval_and_more_can_be_added(run_py: Run, tmp_path: Path) -> None:
    first = run_py(*SHORT, "--seeds=2")
    assert (first.returncode, first.stderr) == (0, "")
    folder = tmp_path / "runs/x_and_o-x_and_o-seeds-from-0-train_examples=640-epochs=1"
    result = json.loads((folder / "result.json").read_text())
    accuracy = percent_estimate(estimates.of_seeds(result, "test_accuracy"))
    assert f"accuracy {accuracy} (95 % CI, n = 2)" in first.stdout
    assert first.stdout.count("An interval of two values says little") == 1
    before = (folder / "seed-1/machine.json").stat().st_mtime_ns
    more = run_py(*SHORT, "--seeds=3")
    assert more.returncode == 0, more.stderr
    assert "(95 % CI, n = 3)" in more.stdout and "two values" not in more.stdout
    assert (folder / "seed-1/machine.json").stat().st_mtime_ns == before
    assert [path.name for path in sorted(folder.glob("seed-*"))] == ["seed-0", "seed-1", "seed-2"]
    assert run_py(*SHORT, "--seeds=2").returncode == 2


@pytest.mark.slow
def test_seeds_that_diverge_exit_3_and_are_named(run_py: Run, tmp_path: Path) -> None:
    finished = run_py(*SHORT, "--optimizer=sgd", "--learning_rate=1e30", "--seeds=2", "--seed=3", "--workdir=run")
    assert finished.returncode == 3
    assert finished.stderr.endswith("run.py: 2 of 2 seeds have diverged: 3, 4. Try a smaller --learning_rate.\n")
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "diverged"


def test_flag_wins_over_the_experiment(run_py: Run, tmp_path: Path) -> None:
    run_py(*SHORT, "--epochs=2", "--widths=4,4", "--nopooling", "--learning_rate=3e-4", "--seed=7", "--workdir=run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert [config[name] for name in ("epochs", "learning_rate", "seed", "experiment")] == [2, 3e-4, 7, "x_and_o"]
    assert config["model"] == {"name": "cnn", "kernel_size": 3, "pooling": False, "widths": [4, 4]}


@pytest.mark.slow
def test_full_and_short_names_of_settings_and_a_config_file_mean_the_same(run_py: Run, tmp_path: Path) -> None:
    for changes in (("--widths=4,4", "--decay=0.8"), ("--model.widths=4,4", "--optimizer.decay", "0.8")):
        assert run_py(*SHORT, *changes).returncode == 0
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name == "x_and_o-x_and_o-seed0-train_examples=640-model.widths=4,4-optimizer.decay=0.8-epochs=1"
    summary = run_py("--mode=summary", f"--config={folder / 'config.json'}", "--model.pooling=false")
    assert "(None, 5, 5, 4)" in summary.stdout, summary.stderr


@pytest.mark.slow
def test_config_file_repeats_a_run_in_a_new_directory(run_py: Run, tmp_path: Path) -> None:
    run_py(*SHORT, "--workdir=one")
    for _ in range(2):
        assert run_py("--config=one/config.json").returncode == 0
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == ["x_and_o-x_and_o-seed0", "x_and_o-x_and_o-seed0-2"]
    predictions = {(folder / "predictions.npz").read_bytes() for folder in (tmp_path / "runs").iterdir()}
    assert predictions == {(tmp_path / "one/predictions.npz").read_bytes()}


def test_evaluate_repeats_the_numbers_and_scores_another_dataset(run_py: Run, tmp_path: Path) -> None:
    run_py("--experiment=logistic", "--train_examples=640", "--epochs=1", "--workdir=run")
    result = json.loads((tmp_path / "run/result.json").read_text())
    with np.load(tmp_path / "run/predictions.npz", allow_pickle=False) as predictions:
        np.testing.assert_array_equal(predictions["original_index"], data.source("mnist").original_index())
    assert f"mnist test loss {result['test_loss']:.4f}" in run_py("--mode=evaluate", "--workdir=run").stdout
    other = run_py("--mode=evaluate", "--workdir=run", "--dataset=fashion_mnist")
    assert re.search(r"fashion_mnist test loss \d", other.stdout), other.stderr


@pytest.mark.slow
def test_evaluate_of_many_seeds_prints_intervals_and_ensembles_and_writes_corruptions(
    run_py: Run, tmp_path: Path
) -> None:
    for seed in (3, 4):
        run_py(*SHORT, f"--seed={seed}", f"--workdir=many/seed-{seed}")
    finished = run_py("--mode=evaluate", "--workdir=many", "--corruptions=shift,contrast")
    assert (finished.returncode, finished.stderr) == (0, "scoring images with shift\nscoring images with contrast\n")
    [evaluated] = json.loads((tmp_path / "runs/evaluate-x_and_o/evaluation.json").read_text())["runs"]
    accuracy = percent_estimate(evaluated["mean"]["accuracy"])
    assert f"x_and_o test accuracy {accuracy} (95 % CI, n = 2)" in finished.stdout
    assert finished.stdout.count("An interval of two values says little") == 1
    assert "Ensembles of x_and_o on x_and_o" in finished.stdout
    folder = tmp_path / "runs/evaluate-x_and_o"
    assert {path.name for path in folder.iterdir()} == {"evaluation.json", "evaluation.html", "corruptions.json"}
    [run] = json.loads((folder / "corruptions.json").read_text())["runs"]
    assert (run["seeds"], list(run["accuracy"])) == ([3, 4], ["shift", "contrast"])
    ends = [json.loads((tmp_path / f"many/seed-{seed}/result.json").read_text()) for seed in (3, 4)]
    assert run["accuracy"]["shift"][0] == [end["test_accuracy"] for end in ends]
    assert run_py("--mode=evaluate", "--workdir=many").returncode == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.slow
def test_compare_writes_its_record_table_and_page(run_py: Run, tmp_path: Path) -> None:
    for widths in ("8,16,32", "4,8"):
        changes = ("--experiment=smoke", "--model=dense", f"--widths={widths}", f"--workdir=widths={widths}")
        assert run_py("--train_examples=640", *changes).returncode == 0
    finished = run_py("--mode=compare", "--runs=widths=8,16,32,widths=4,8")
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "runs/compare-smoke"
    assert sorted(path.name for path in folder.iterdir()) == ["compare.csv", "compare.html", "compare.json"]
    record = json.loads((folder / "compare.json").read_text())
    assert [model["name"] for model in record["models"]] == ["smoke model.widths=8,16,32", "smoke model.widths=4,8"]
    result = json.loads((tmp_path / "widths=4,8/result.json").read_text())
    assert record["models"][1]["test_accuracy"]["values"] == [result["test_accuracy"]]
    assert f"{100 * result['test_accuracy']:.2f} %" in finished.stdout
    assert "This compares two runs, not the models" in finished.stdout
    assert "<image" in (folder / "compare.html").read_text()
    again = run_py("--mode=compare", "--runs=widths=8,16,32,widths=4,8", "--workdir=runs/compare-smoke")
    assert (again.returncode, "compare.json exists already" in again.stderr) == (2, True)


@pytest.mark.slow
def test_compare_trains_experiments_and_goes_on_with_them(run_py: Run, tmp_path: Path) -> None:
    few = ("--mode=compare", "--experiments=logistic,dense", "--train_examples=640", "--epochs=1")
    finished = run_py(*few, "--seeds=2")
    assert finished.returncode == 0, finished.stderr
    record = json.loads((tmp_path / "runs/compare-logistic-dense/compare.json").read_text())
    assert [(model["name"], model["seeds"]) for model in record["models"]] == [("logistic", [0, 1]), ("dense", [0, 1])]
    name = "mnist-seeds-from-0-train_examples=640-epochs=1"
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"runs/*-{name}/seed-*/result.json")}
    assert len(made) == 4
    again = run_py(*few, "--seeds=3")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in made} == made
    more = json.loads((tmp_path / "runs/compare-logistic-dense-2/compare.json").read_text())
    assert more["pairs"][0]["seeds"] == [0, 1, 2]


@pytest.mark.slow
def test_overfitting_trains_on_few_images_and_goes_on_with_them(run_py: Run, tmp_path: Path) -> None:
    command = ("--mode=overfitting", "--experiments=logistic,dense", "--sizes=20", "--seeds=2", "--batch_size=5")
    command += ("--workdir=out",)
    finished = run_py(*command)
    assert finished.returncode == 0, finished.stderr
    record = json.loads((tmp_path / "out/overfitting.json").read_text())
    few = record["learners"][0]
    assert (few["name"], few["train_examples"], few["epochs"], few["steps"]) == ("logistic", 20, 125, 500)
    assert few["train_accuracy"]["mean"] == 1.0, "20 images are learned by heart"
    end = json.loads((tmp_path / "out/logistic/train_examples=20/seed-1/result.json").read_text())
    assert few["test_accuracy"]["values"][1] == end["test_accuracy"]
    assert '"Fewer parameters overfit less"' in finished.stdout
    assert "Fewer parameters overfit less" in (tmp_path / "out/overfitting.html").read_text()
    again = run_py(*command)
    assert again.returncode == 0, again.stderr
    assert "compiled" not in again.stdout, "nothing is trained twice"
    assert json.loads((tmp_path / "out/overfitting.json").read_text())["learners"] == record["learners"]


@pytest.mark.slow
def test_overfitting_of_a_model_with_several_outputs_counts_its_main_output(run_py: Run, tmp_path: Path) -> None:
    finished = run_py(
        *("--mode=overfitting", "--experiments=two_inputs_two_outputs", "--widths=4,8", "--sizes=20", "--seeds=1"),
        *("--batch_size=5", "--workdir=out"),
    )
    assert finished.returncode == 0, finished.stderr
    [learner] = json.loads((tmp_path / "out/overfitting.json").read_text())["learners"]
    folder = tmp_path / "out/two_inputs_two_outputs/train_examples=20/seed-0"
    digit = json.loads((folder / "result.json").read_text())["outputs"]["digit"]
    assert learner["test_accuracy"]["values"] == [digit["test_accuracy"]]
    assert learner["test_loss"]["values"] == [digit["test_loss"]]


@pytest.mark.slow
def test_own_experiment_outside_the_project_runs(run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from experiments import x_and_o\n\n"
        "def experiment():\n    return x_and_o.experiment().vary(train_examples=640, epochs=1)\n"
    )
    finished = run_py("--experiment=mine.py")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "runs/mine-x_and_o-seed0/result.json").exists()


@pytest.mark.slow
def test_benchmark_writes_its_record_and_page_and_tells_when_it_became_slower(run_py: Run, tmp_path: Path) -> None:
    measured_before = Experiment().vary(
        experiment="x_and_o", dataset="x_and_o", widths=(4, 8), train_examples=640, epochs=10
    )
    cases = [("training step", 1e3), ("training epoch", 1e3), ("inference", 1e-9)]
    baseline = {
        "format": 2,
        "config": measured_before.config.as_mapping(),
        "machine": {"device": "1 x abacus"},
        "settings": {},
        "measurements": [
            {
                **{"what": what, "dtype": "float32", "batch_size": 64, "images_per_second": 1 / seconds},
                **{"seconds": {"rounds": [seconds] * 50}, "reference_seconds": [1.0] * 50},
            }
            for what, seconds in cases
        ],
    }
    (tmp_path / "baseline.json").write_text(json.dumps(benchmark.sealed(baseline)))
    short = ("--mode=benchmark", "--experiment=x_and_o", "--train_examples=640", "--widths=4,8", "--batch_sizes=64")
    finished = run_py(
        *short, "--dtypes=float32", "--seconds=0.1", "--profile", "--baseline=baseline.json", "--workdir=bench"
    )
    assert finished.returncode == 1, finished.stderr
    assert finished.stderr.endswith("run.py: 1 of 3 cases are more than 10 % slower than the baseline.\n")
    assert "3 cases: 2 faster, 1 slower and 0 undecided." in finished.stdout

    record = json.loads((tmp_path / "bench/benchmark.json").read_text())
    assert [row["verdict"] for row in record["comparison"]["rows"]] == ["faster", "faster", "slower"]
    measured = {case["what"]: case for case in record["measurements"]}
    assert list(measured) == [what for what, _ in cases]
    assert all(f"{case['images_per_second']:,.0f}" in finished.stdout for case in measured.values())
    assert measured["inference"]["multiply_adds"] == 2_000 * (7 * 7 * 9 * 4 + 9 * 4 * 8 + 8 * 2)
    [roofline] = record["rooflines"]
    layers = ["Conv_0", "MaxPool_0", "Conv_1", "Dense_0"]
    assert [layer["name"] for layer in roofline["layers"]] == layers
    assert all(0.999 < layer["operations"] / layer["operations_by_xla"] < 1.001 for layer in roofline["layers"])
    page = (tmp_path / "bench/benchmark.html").read_text()
    assert all(f"<td>{layer}</td>" in page for layer in layers)
    operations = record["profile"]["operations"]
    assert 0 < sum(found["share"] for found in operations) <= 1
    assert operations[0]["name"] in (tmp_path / "bench/profile.txt").read_text()
    assert list((tmp_path / "bench/profile").rglob("*.xplane.pb"))
    assert record["sha256"][:12] in (tmp_path / "bench/benchmark.md").read_text()
    assert (tmp_path / "bench/benchmark.csv").read_text().count(record["sha256"]) == 3
    compared = run_py("--mode=benchmark", "--runs=bench,bench/benchmark.json")
    assert compared.returncode == 0, compared.stderr
    assert "3 cases: 0 faster, 0 slower and 3 undecided." in compared.stdout
    assert (tmp_path / "runs/benchmark-comparison/comparison.html").exists()


@pytest.mark.slow
@pytest.mark.devices(8)
def test_benchmark_measures_several_devices_as_several_and_the_time_to_an_accuracy(run_py: Run, tmp_path: Path) -> None:
    short = ("--mode=benchmark", "--experiment=x_and_o", "--train_examples=640", "--widths=4,8", "--batch_sizes=64")
    finished = run_py(
        *(*short, "--dtypes=float32", "--seconds=0.1", "--repeats=2", "--workdir=bench"),
        *("--target_accuracy=0.5", "--seeds=2", "--seed=3"),
    )
    assert finished.returncode == 0, finished.stderr
    record = json.loads((tmp_path / "bench/benchmark.json").read_text())
    assert record["machine"]["device"].startswith("8 x ") and record["rooflines"][0]["devices"] == 8
    speeds = {case["what"]: case["images_per_second"] for case in record["measurements"]}
    [scaling] = record["scaling"]
    measured = speeds["training step"] / speeds["step on one device"]
    assert (scaling["devices"], scaling["ratio"]) == (8, pytest.approx(measured, rel=0.5))
    assert scaling["efficiency"] == pytest.approx(scaling["ratio"] / 8)
    assert "Peaks of all 8 devices together, as measured" in finished.stdout
    assert [(seed["seed"], seed["epochs"] >= 1) for seed in record["target"]["seeds"]] == [(3, True), (4, True)]
    assert "2 of 2 seeds reached 50 %" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--experiment=lecture_cn"], "Did you mean lecture_cnn?"),
        (["--experiment=os"], "--experiment=os: no such experiment"),
        (["--experiment=not/there.py"], "no such file"),
        (["--dataset=mnits"], "Did you mean mnist?"),
        (["--dataset=../../etc"], "--dataset=../../etc: is not a name"),
        (["--model=dens"], "--model=dens: no such model. Did you mean dense?"),
        (["--mode=trian"], "Did you mean train?"),
        (["--epoch=3"], "no such flag, and no chosen part has such a setting. Did you mean --epochs?"),
        (["--epochs=1.5"], "--epochs=1.5: must be a whole number"),
        (["--epochs=0"], "--epochs=0: must be at least 1"),
        (["--epochs"], "Missing value for flag --epochs"),
        (["--patience=0", "--validation_examples=9"], "--patience=0: must be at least 1"),
        (["--patience=3"], "--patience=3: held-out images decide. Hold out some with --validation_examples=N."),
        (["--keep=best"], "--keep=best: held-out images decide"),
        (["--keep=first"], "--keep=first: must be one of last, best"),
        (["--monitor=recall"], "--monitor=recall: must be one of accuracy, loss"),
        (["--mode=check", "--keep=best"], "--keep=best: held-out images decide"),
        (
            ["--mode=overfitting", "--experiments=dense", "--patience=2", "--validation_examples=9"],
            "--patience=2: --mode=overfitting compares runs of fixed lengths. Use --patience=none.",
        ),
        (["--batch_size=0"], "must be at least 1"),
        (["--learning_rate=-1"], "must be above 0"),
        (["--learning_rate=nan"], "must be a finite number"),
        (["--learning_rate=inf"], "must be a finite number"),
        (["--pooling=perhaps"], "--pooling=perhaps: must be true or false"),
        (["--model.pooling=perhaps"], "--model.pooling=perhaps: must be true or false"),
        (["--model=dense", "--pooling"], "--pooling: no such flag, and no chosen part has such a setting"),
        (["--model.width=3"], "the model cnn has no setting width. It has widths, kernel_size, pooling"),
        (["--widths=none"], "--widths=none: must be a whole number"),
        (["--view=permuted"], "--view: no such flag"),
        (["--optimizer=adan"], "--optimizer=adan: no such optimizer. Did you mean adam?"),
        (["--optimizer=momentum", "--optimizer.momentum=1.5"], "--optimizer.momentum=1.5: must be at most 1"),
        (["--augment=shift,flop"], "--augment=flop: no such augmentation. Did you mean flip?"),
        (["--augment=shift,shift"], "--augment: shift is named twice"),
        (["--augment=shift", "--pixels=-1"], "--pixels=-1: must be at least 0"),
        (["--train_examples=60001"], "has only 60,000 training images"),
        (["--validation_examples=60000"], "some of them must remain to train on"),
        (["--lr=0.1"], "no chosen part has such a setting. Did you mean --learning_rate?"),
        (["--mode=evaluate", "--lr=0.1"], "--lr: no such flag. Did you mean --learning_rate?"),
        (["--filters=16"], "Did you mean --model.widths?"),
        (["--filters=16", "--model=logistic"], "Did you mean --widths of --model=cnn or --model=dense"),
        (["--momentum=0.9"], "It is a setting of --optimizer=momentum."),
        (["--wd=0.1"], "Did you mean --weight_decay of --optimizer=sgd or --optimizer=momentum or --optimizer=adamw?"),
        (["--clip=1"], "Did you mean --clip_norm?"),
        (["--gradient_accumulation_steps=2"], "Did you mean --microbatches?"),
        (["--warmup=5"], "Did you mean --warmup_steps?"),
        (["--model=logistic", "--microbatches=3"], "--microbatches=3: does not divide --batch_size=64."),
        (["--model=logistic", "--class_weights=1,2"], "--loss.class_weights=1.0,2.0: 2 weights for 10 classes."),
        (["--model=logistic", "--warmup_steps=4690"], "--warmup_steps=4690: the whole run has 4,690 steps."),
        (
            ["--model=logistic", "--optimizer=lion", "--weight_decay_mask=kernels"],
            "--optimizer.weight_decay_mask=kernels: no such parameter that is trained. Did you mean kernel?",
        ),
        (["--optimizer.lr=0.1"], "It has decay, epsilon. Did you mean --learning_rate?"),
        (["--model.filters=16"], "It has widths, kernel_size, pooling. Did you mean --model.widths?"),
        (["--activation=tanh"], "A model of your own may have such a setting: see --mode=new."),
        (["--dropout=0.5"], "It is a setting of --model=all_convolutional."),
        (["--no-pooling"], "Did you mean --nopooling?"),
        (["--model=CNN"], "Did you mean cnn?"),
        (["--widths", "16", "32"], "several values have commas and no spaces between them: --widths=16,32."),
        (["--batch_size", "32", "--widths", "16", "32"], "no spaces between them: --widths=16,32."),
        (["--widths=16,", "32", "--epochs=3"], "no spaces between them: --widths=16,32."),
        (["--widths=[16, 32]"], "must be a whole number; several have commas alone between them: 16,32."),
        (["--widths=16 32"], "must be a whole number; several have commas alone between them: 16,32."),
        (["--epochs=3", "--", "hello"], "'hello' is no flag: --epochs takes one value"),
        (["--widths", "[16,", "32]"], "no spaces between them: --widths=16,32."),
        (["--augment", "shift", "flip"], "no spaces between them: --augment=shift,flip."),
        (["--mode=compare", "--experiments", "dense", "logistic"], "between them: --experiments=dense,logistic."),
        (["--workdir", "my", "run"], "--workdir takes one value. If it has spaces, put it in quotes."),
        (["--overwrite", "yes"], "Use --overwrite or --nooverwrite."),
        (["--epochs", "=", "3"], "there are no spaces around the equals sign"),
        (["--widths=", "16"], "there are no spaces around the equals sign: --widths=16."),
        (["--experiment="], "--experiment=: no such experiment"),
        (["--workdir="], "--workdir=: must be a path"),
        (["--data_dir="], "--data_dir=: must be a path"),
        (["--config="], "--config=: must be a path"),
        (["--dataset=images", "--dataset_dir="], "--dataset_dir=: must be a path"),
        (["hello"], "'hello' is no flag"),
        (["--epochs=1", "hello"], "'hello' is no flag"),
        (["--config=not_there.json"], "No such file"),
        (["--config=."], "--config=.: is a folder. Name the file: config.json."),
        (["--config=result.json"], "is no config, but the result of a run. Name the config.json beside it."),
        (["--config=words.txt"], "not a config in JSON"),
        (["--config=strange.json"], "no such field of a config. Did you mean epochs?"),
        (["--config=list.json"], "a JSON object of fields is expected"),
        (["--config=strange.json", "--experiment=smoke"], "--experiment=smoke: has no meaning with --config"),
        (["--workdir=words.txt"], "is a file"),
        (["--workdir=words.txt/run"], "--workdir=words.txt/run: cannot be"),
        (["--workdir=/proc/run"], "cannot be written"),
        (["--workdir=full"], "holds files, but no run"),
        (["--manual_dir=not_there"], "no such folder"),
        (["--manual_dir=full"], "train-images-idx3-ubyte.gz is missing"),
        (["--mode=evaluate"], "name one run with --workdir=RUN"),
        (["--mode=evaluate", "--workdir=full"], "holds no run"),
        (["--mode=evaluate", "--workdir=full", "--epochs=3"], "--epochs: has no meaning with --mode=evaluate"),
        (["--mode=predict", "--images=old.svg", "--noprogress"], "--noprogress: has no meaning with --mode=predict"),
        (["--mode=evaluate", "--workdir=full", "--runs=full"], "or several with --runs=RUN,RUN"),
        (["--mode=evaluate", "--runs=full,full"], "--runs: full is named twice"),
        (["--mode=evaluate", "--runs=full,not_there"], "holds no run"),
        (["--mode=evaluate", "--workdir=full", "--corruptions=shfit"], "no such corruption. Did you mean shift?"),
        (
            ["--mode=evaluate", "--workdir=full", "--test_augment=flipp"],
            "no such variant of test images. Did you mean fli",
        ),
        (["--mode=evaluate", "--workdir=full", "--shift_pixels=2"], "has no meaning without --test_augment=shift"),
        (["--corruptions=all"], "--corruptions: has no meaning with --mode=train"),
        (["--mode=summary", "--overwrite"], "--overwrite: has no meaning"),
        (["--graph=model.svg"], "--graph: has no meaning with --mode=train"),
        (["--mode=summary", "--graph=model.png"], "--graph=model.png: the graph is an SVG file"),
        (["--mode=summary", "--graph=full"], "Name a file that ends in .svg"),
        (["--mode=summary", "--graph=old.svg"], "--graph=old.svg: already exists"),
        (["--mode=summary", "--graph=not_there/model.svg"], "cannot be written: No such file or directory"),
        (["--mode=summary", "--graph=words.txt/model.svg"], "cannot be written: Not a directory"),
        (["--augment=mixup,cutmix"], "--augment: mixup and cutmix both mix images. Only one of them can."),
        (["--augment=mixup", "--alpha=0"], "--alpha=0.0: must be above 0"),
        (["--augmentations=sheet.html"], "--augmentations: has no meaning with --mode=train"),
        (["--mode=summary", "--augmentations=sheet.svg"], "the augmentations are shown in an HTML file"),
        (["--mode=summary", "--augmentations=words.txt/sheet.html"], "cannot be written: Not a directory"),
        (["--mode=summary", "--graph=model.svg", "--augmentations=not_there/sheet.html"], "No such file or directory"),
        (["--mode=summary", "--data_dir=full"], "has no meaning with --mode=summary where there is no --augmentations"),
        (["--mode=summary", "--graph=model.svg", "--kernel_size=29"], "smaller than its filters"),
        (["--flagfile=not_there"], "Unable to open flagfile"),
        (["--flagfile=latin1.txt"], "--flagfile: not text in utf-8"),
        (["--batch_sizes=64"], "--batch_sizes: has no meaning with --mode=train"),
        (["--resume_from=-1"], "--resume_from=-1: must be at least 0"),
        (["--resume_from=7"], "there is no run in runs"),
        (["--checkpoint_every=-1"], "must be at least 0 seconds"),
        (["--checkpoint_every=often"], "--checkpoint_every=often: must be a time as in 30s, 5m or 2h"),
        (["--keep_checkpoints=0"], "must be at least 1"),
        (["--max_time=0s"], "must be above 0, as in 30s, 5m or 2h"),
        (["--max_time=5 days"], "must be a time as in 30s, 5m or 2h"),
        (["--mode=predict"], "name the pictures with --images=FILE_OR_FOLDER"),
        (["--mode=predict", "--workdir=full"], "name the pictures with --images=FILE_OR_FOLDER"),
        (["--mode=predict", "--images=words.txt", "--experiment=dense"], "has no meaning without --workdir=RUN"),
        (["--mode=predict", "--images=not_there"], "--images=not_there: "),
        (["--mode=lesson", "--images=words.txt"], "--images=words.txt: "),
        (["--mode=lesson", "--images=words.txt", "--test_image=1"], "the lesson follows one of them. Name one."),
        (["--mode=predict", "--workdir=full", "--images=words.txt"], "holds no run"),
        (["--images=words.txt"], "--images: has no meaning with --mode=train"),
        (["--seeds=0"], "--seeds=0: must be between 1 and 10,000"),
        (["--seeds=-1"], "--seeds=-1: must be between 1 and 10,000"),
        (["--seeds=many"], "--seeds=many: must be a whole number"),
        (["--seeds=2", "--seed=4294967295"], "they exceed the largest seed, 4,294,967,295"),
        (["--seeds=2", "--seed_strategy=vmop"], "no such strategy. Did you mean vmap?"),
        (["--seed_strategy=loop"], "has no meaning without --seeds"),
        (["--seeds=2", "--resume_from=7"], "--resume_from: has no meaning with --seeds"),
        (["--seeds=2", "--workdir=full"], "holds files, but no run"),
        (["--seeds=2", "--workdir=words.txt"], "is a file"),
        (["--mode=evaluate", "--seeds=2"], "--seeds: has no meaning with --mode=evaluate"),
        (["--mode=export"], "name the run with --workdir=RUN"),
        (["--mode=export", "--workdir=full"], "holds no run"),
        (["--mode=export", "--workdir=full", "--format=onnx"], "no such format"),
        (["--mode=benchmark", "--batch_sizes=64,many"], "--batch_sizes=64,many: must be whole numbers"),
        (["--mode=benchmark", "--batch_sizes=0"], "--batch_sizes=0: must be between 1 and the 60,000"),
        (["--mode=benchmark", "--batch_sizes=60001"], "must be between 1 and the 60,000"),
        (["--mode=benchmark", "--dtypes=float23"], "no such dtype. Did you mean float32?"),
        (["--mode=benchmark", "--dtypes=tensorfloat32"], "only NVIDIA's GPUs have it"),
        (["--mode=benchmark", "--repeats=0"], "--repeats=0: must be at least 1"),
        (["--mode=benchmark", "--repeats=1001"], "must be at least 1 and at most 1,000"),
        (["--mode=benchmark", "--target_accuracy=99"], "must be above 0 and at most 1, as in 0.99 for 99 %"),
        (["--mode=benchmark", "--target_accuracy=nan"], "must be above 0 and at most 1"),
        (["--mode=benchmark", "--target_accuracy=0.9", "--seeds=0"], "--seeds=0: must be between 1 and"),
        (["--mode=benchmark", "--seeds=3"], "--seeds=3: has no meaning here without --target_accuracy"),
        (["--mode=benchmark", "--runs=words.txt"], "--runs: name two benchmarks with a comma between them; here 1"),
        (["--mode=benchmark", "--runs=words.txt,full"], "--runs=words.txt: not a benchmark.json, or damaged"),
        (["--mode=benchmark", "--runs=full,words.txt"], "--runs=full: cannot be read: No such file"),
        (["--mode=benchmark", "--runs=a,b", "--epochs=3"], "has no meaning with --mode=benchmark --runs"),
        (["--mode=benchmark", "--runs=a,b", "--baseline=c"], "has no meaning with --mode=benchmark --runs"),
        (["--mode=benchmark", "--runs=a,b", "--tolerance=2"], "--tolerance=2: must be at least 0 and below 1"),
        (["--mode=benchmark", "--seconds=nan"], "must be above 0"),
        (["--mode=benchmark", "--tolerance=1"], "--tolerance=1: must be at least 0 and below 1"),
        (["--mode=benchmark", "--baseline=words.txt"], "not a benchmark.json, or damaged"),
        (["--mode=benchmark", "--baseline=not_there"], "cannot be read"),
        (["--mode=benchmark", "--workdir=words.txt"], "is a file"),
        (["--mode=benchmark", "--train_examples=0"], "must be at least 1"),
        (["--mode=compare"], "name two runs or more, --runs=DIR,DIR, or --experiments=NAME,NAME to train"),
        (["--mode=compare", "--runs=full"], "name two runs or more"),
        (
            ["--mode=compare", "--runs=full,,words.txt"],
            "--runs=full,,words.txt: must be folders with commas between them",
        ),
        (["--mode=compare", "--runs=full,./full"], "full is named twice"),
        (["--mode=compare", "--runs=full,words.txt"], "full: holds no run"),
        (["--mode=compare", "--runs=words.txt,full"], "words.txt: is a file"),
        (["--mode=compare", "--runs=not_there,full"], "not_there: there is no such folder"),
        (
            ["--mode=compare", "--runs=full,full", "--epochs=3"],
            "--epochs: can only be used with --experiments",
        ),
        (
            ["--mode=compare", "--runs=full,words.txt", "--seeds=3"],
            "--seeds: can only be used with --experiments",
        ),
        (["--mode=compare", "--experiment=dense"], "name two runs or more"),
        (
            ["--mode=compare", "--experiments=dense,logistic", "--experiment=dense"],
            "--experiment: can only be used with --runs",
        ),
        (["--mode=compare", "--experiments=dense"], "name two experiments or more"),
        (["--mode=compare", "--experiments=dense,dense"], "dense is named twice"),
        (["--mode=compare", "--experiments=dense,logistics"], "no such experiment. Did you mean logistic?"),
        (["--mode=compare", "--experiments=dense,logistic", "--runs=full"], "not both"),
        (["--mode=compare", "--experiments=dense,x_and_o"], "x_and_o is of x_and_o, but dense of mnist"),
        (
            ["--mode=compare", "--experiments=dense,logistic", "--widths=8"],
            "logistic: --widths: no such flag, and no chosen part has such a setting",
        ),
        (["--mode=sweep"], "--sweep: names no field"),
        (["--mode=sweep", "--sweep= ; "], "--sweep: names no field"),
        (
            ["--mode=sweep", "--sweep=learning_rat=1,2"],
            "--learning_rat: no such flag, and no chosen part has such a setting. Did you mean",
        ),
        (["--mode=sweep", "--sweep=learning_rate=1e-2:1e-4:log5"], "is empty: 0.01 is not below 0.0001"),
        (["--mode=sweep", "--sweep=learning_rate=1e-4:1e-2:log"], "give the number of points as in 0.0001:0.01:log5"),
        (["--mode=sweep", "--sweep=epochs=1,two"], "--sweep: epochs=two: must be a whole number"),
        (["--mode=sweep", "--sweep=model=dense,densee"], "--model=densee: no such model. Did you mean dense?"),
        (["--mode=sweep", "--sweep=kernel_size=3,29"], "28 x 28 pixels, too small for its filters and its pooling"),
        (["--mode=sweep", "--sweep=train_examples=100,50001"], "has only 50,000 training images beside the 10,000"),
        (["--mode=sweep", "--sweep=seed=1,2"], "seed cannot be swept: use --seeds"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--samples=3"], "--samples=3: there are only 2 combinations"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--samples=0"], "--samples=0: must be between 1 and 10,000"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--samples=few"], "--samples=few: must be a whole number"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--seeds=0"], "--seeds=0: must be between 1 and 10,000"),
        (
            ["--mode=sweep", "--sweep=epochs=1:20:lin20", "--seeds=501"],
            "10,020 trials, 20 settings with 501 seeds",
        ),
        (["--mode=sweep", "--sweep=epochs=1,2", "--seed=4294967291"], "The largest possible seed is 4,294,967,295"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--jobs=0"], "--jobs=0: must be at least 1"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--trials=7"], "--trials=7: this sweep has 6 trials, from 1 on"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--trials=0-3"], "--trials=0: this sweep has 6 trials"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--trials=3-1"], "--trials=3-1: must be numbers and ranges, as in 1-4"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--trials=two"], "--trials=two: must be numbers and ranges, as in 1-4"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--trials=1", "--overwrite"], "--trials: cannot be used with --over"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--claim_timeout=0"], "--claim_timeout=0: must be at least 1 second"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--claim_timeout=inf"], "--claim_timeout=inf: must be at least 1 sec"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--claim_timeout=soon"], "--claim_timeout=soon: must be a time as in"),
        (["--mode=sweep", "--print_commands"], "--sweep: names no field"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--print_commands", "--trials=9"], "--trials=9: this sweep has 6"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--print_commands", "--overwrite"], "--overwrite would be in every"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--print_commands", "--workdir=full"], "holds files, but no sweep"),
        (["--mode=sweep", "--sweep=kernel_size=3,29", "--print_commands"], "too small for its filters"),
        (["--print_commands"], "--print_commands: has no meaning with --mode=train"),
        (["--trials=1"], "--trials: has no meaning with --mode=train"),
        (["--mode=compare", "--print_commands"], "name two experiments or more"),
        (["--mode=compare", "--print_commands", "--runs=full,full"], "finished runs need no command"),
        (
            ["--mode=compare", "--print_commands", "--experiments=dense,logistic", "--seed_strategy=vmap"],
            "each command trains one seed",
        ),
        (["--mode=compare", "--print_commands", "--experiments=dense,logistic", "--seeds=0"], "--seeds=0: must be"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--workdir=full"], "holds files, but no sweep"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--workdir=words.txt"], "is a file"),
        (["--mode=sweep", "--sweep=epochs=1,2", "--manual_dir=not_there"], "no such folder"),
        (["--sweep=epochs=1,2"], "--sweep: has no meaning with --mode=train"),
        (["--mode=overfitting"], "name the models with --experiments=NAME,NAME"),
        (["--mode=overfitting", "--experiments=dense,dense"], "dense is named twice"),
        (["--mode=overfitting", "--experiments=dense", "--sizes=100,0"], "0 is not between 1 and the 60,000"),
        (["--mode=overfitting", "--experiments=dense", "--sizes=60001"], "60001 is not between 1 and the 60,000"),
        (["--mode=overfitting", "--experiments=dense", "--sizes=few"], "--sizes=few: must be whole numbers"),
        (
            ["--mode=overfitting", "--experiments=dense", "--train_examples=9"],
            "Give the numbers of images with --sizes",
        ),
        (["--mode=overfitting", "--experiments=dense", "--validation_examples=60000"], "leaves no image to train on"),
        (["--mode=overfitting", "--experiments=dense,x_and_o"], "x_and_o is of x_and_o, but dense of mnist"),
        (
            ["--mode=overfitting", "--experiments=dense,logistic", "--widths=8"],
            "logistic: --widths: no such flag, and no chosen part has such a setting",
        ),
        (["--mode=overfitting", "--experiments=dense", "--seeds=0"], "--seeds=0: must be between 1 and 10,000"),
        (["--mode=overfitting", "--experiments=dense", "--workdir=words.txt"], "words.txt is a file"),
        (["--mode=compare", "--experiments=dense,logistic", "--seeds=0"], "--seeds=0: must be between 1 and 10,000"),
        (["--mode=compare", "--experiments=dense,logistic", "--epochs=0"], "must be at least 1"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_clear_line_exit_2_and_nothing_written(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    drawn_data_dir: Path,
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "words.txt").write_text("just words")
    (tmp_path / "strange.json").write_text('{"epoch": 3}')
    (tmp_path / "result.json").write_text('{"status": "done", "steps": 3}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "latin1.txt").write_bytes(b"--workdir=donn\xe9es")
    (tmp_path / "old.svg").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(drawn_data_dir))
    cached = not {f"--mode={mode}" for mode in ("summary", "benchmark", "export")} & set(arguments)
    assert run.main(["--nocompilation_cache", *arguments] if cached else arguments) == 2
    said_all = capfd.readouterr().err
    assert said in said_all
    assert said_all.startswith("run.py: ")
    assert said_all.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_flag_ends_the_process_with_2_and_one_line(run_process: Run) -> None:
    finished = run_process("--epoch=3")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == (
        "run.py: --epoch: no such flag, and no chosen part has such a setting. Did you mean --epochs? See --help.\n"
    )


def test_divergence_exits_3_and_names_epoch_and_step(run_py: Run, tmp_path: Path) -> None:
    finished = run_py(*SHORT, "--optimizer=sgd", "--learning_rate=1e30", "--workdir=run")
    assert finished.returncode == 3
    assert re.fullmatch(r"run.py: The loss or its gradient is not finite in epoch 1 at step \d\. .*\n", finished.stderr)
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "diverged"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long),
    ],
)
def test_signal_ends_the_run_with_its_rows_kept(
    started_run: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = started_run(*ENDLESS)
    rows = tmp_path / "run/metrics.jsonl"
    wait_for(rows.exists, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "interrupted"
    assert len(rows.read_text().splitlines()) == result["epochs"] >= 1


@pytest.mark.slow
def test_signal_saves_and_the_same_command_goes_on(run_py: Run, started_run: Start, tmp_path: Path) -> None:
    process = started_run(*ENDLESS)
    wait_for((tmp_path / "run/metrics.jsonl").exists, process)
    assert not list((tmp_path / "run").glob("checkpoints/*/manifest.sha256"))
    process.send_signal(signal.SIGUSR1)
    wait_for(lambda: bool(list((tmp_path / "run").glob("checkpoints/*/manifest.sha256"))), process)
    second = run_py(*ENDLESS)
    assert second.returncode == 2
    assert "another process is training here" in second.stderr
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    steps = json.loads((tmp_path / "run/result.json").read_text())["steps"]
    again = run_py(*ENDLESS, "--max_time=0.001s")
    assert again.returncode == 0, again.stderr
    assert f"resumes from step {steps:,}, " in again.stdout
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["status"], result["test_examples"], result["steps"] > steps) == ("stopped", 2_000, True)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.slow
def test_ctrl_c_while_compiling_ends_the_run_too(started_run: Start, tmp_path: Path) -> None:
    process = started_run(*ENDLESS, "--widths=5,6", "--nocompilation_cache")
    wait_for((tmp_path / "run/config.json").exists, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "interrupted"


@pytest.mark.long
def test_progress_bar_moves_on_a_terminal(started_run: Start) -> None:
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = started_run("--experiment=smoke", "--epochs=20", "--workdir=run", stderr=terminal)
    os.close(terminal)
    shown: list[tuple[float, str]] = []
    while True:
        try:
            text = os.read(controller, 4096).decode(errors="replace")
        except OSError:  # Linux's way to say that the other end is closed
            break
        shown.append((time.monotonic(), text))
    process.communicate(timeout=120)
    bars = [(at, text) for at, text in shown if "images/s" in text and "left" in text]
    assert len({text for _, text in bars}) > 3
    assert re.search(r"epoch \d+/20 .*loss \d\.\d+ .*accuracy [\d.]+ % .*images/s .* left", bars[-1][1])
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(bars)]
    assert sorted(gaps)[len(gaps) // 2] < 1.0


@pytest.mark.slow
def test_deterministic_run_says_its_price_and_leaves_a_record(run_process: Run, tmp_path: Path) -> None:
    finished = run_process(*SHORT, "--deterministic", "--workdir=run")
    assert (finished.returncode, finished.stderr) == (
        *(0, "--deterministic: cpu needs no setting for it, and it costs no speed.\n"),
    )
    assert "--xla_gpu_deterministic_ops=true" in json.loads((tmp_path / "run/machine.json").read_text())["xla_flags"]
    run_process(*SHORT, "--workdir=other")
    assert (tmp_path / "run/predictions.npz").read_bytes() == (tmp_path / "other/predictions.npz").read_bytes()


def test_reader_that_closes_the_pipe_causes_no_traceback(started_run: Start) -> None:
    process = started_run("--helpfull")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("mode", ["train", pytest.param("summary", marks=pytest.mark.long)])
def test_device_that_is_not_there_is_one_clear_line(run_process: Run, mode: str) -> None:
    finished = run_process(f"--mode={mode}", "--jax_platforms=nowhere")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert re.fullmatch(r"run.py: jax finds no device to run on: .*nowhere.*\n", finished.stderr)


@pytest.mark.slow
def test_without_network_the_first_command_trains_on_glyphs_and_says_so(
    run_py: Run, command_environment: dict[str, str], glyphs_data_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(glyphs_data_dir, tmp_path / "data", copy_function=os.link)
    nowhere = "http://127.0.0.1:9"
    command_environment["TFDS_DATA_DIR"] = str(tmp_path / "data")
    command_environment.update(dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere))
    first_command = ("--model=logistic", "--train_examples=640", "--epochs=1")
    named = run_py(*first_command, "--dataset=mnist")
    assert named.returncode == 2
    assert "--manual_dir=FOLDER, or use --dataset=glyphs" in named.stderr
    assert not (tmp_path / "runs").exists()
    first = run_py(*first_command)
    assert first.returncode == 0, first.stderr
    assert "NOT ON MNIST" in first.stdout
    assert "glyphs test loss" in first.stdout
    [workdir] = (tmp_path / "runs").iterdir()
    assert workdir.name.startswith("lecture_cnn-glyphs-seed0")
    assert json.loads((workdir / "config.json").read_text())["dataset"] == {
        "name": "glyphs",
        "normalize": "unit",
        "seed": 0,
    }
    assert json.loads((workdir / "result.json").read_text())["dataset"] == "glyphs"
    assert "mnist is out of reach" in json.loads((workdir / "machine.json").read_text())["remark"]


def test_real_mnist_from_its_four_files_and_predictions_name_each_images_place_in_them(
    run_py: Run, mnist_dir: Path, mnist_data_dir: Path, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"data_dir": mnist_data_dir, "manual_dir": mnist_dir, "workdir": "run"}
    finished = run_py("--experiment=smoke", *(f"--{name}={value}" for name, value in arguments.items()))
    assert finished.returncode == 0, finished.stderr
    assert json.loads((tmp_path / "run/result.json").read_text())["test_accuracy"] > 0.8
    labels = idx.read(mnist_dir / "t10k-labels-idx1-ubyte.gz", (10_000,))
    with np.load(tmp_path / "run/predictions.npz", allow_pickle=False) as predictions:
        np.testing.assert_array_equal(predictions["labels"], labels[predictions["original_index"]])


@pytest.mark.parametrize("name", [*run.MODES, "benchmark --runs"])
def test_each_mode_takes_the_flags_that_its_command_has(name: str) -> None:
    modes = {**run.MODES, "benchmark --runs": run._TWO_BENCHMARKS}
    mode, options = modes[name], {field.name for field in dataclasses.fields(RunOptions)}
    module, configs = importlib.import_module(mode.module), {"one": {"experiment"}, "list": {"experiments"}}
    others = options | {"print_commands", *run._PROCESSES}
    others |= {"runs"} if name == "benchmark" else set()  # with it, two records are compared by another command
    flags = configs.get(mode.takes, set()) | {"options"} | (set(mode.flags) - others)
    for function in (module.run, *([module.commands] if "print_commands" in mode.flags else [])):
        assert set(inspect.signature(function).parameters) == flags
