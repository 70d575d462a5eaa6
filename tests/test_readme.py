"""The README does what it says: its commands parse, its examples run, its files exist."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
import run
from cnn_jax.report import statistics
from cnn_jax.studies.sweep import space
from tests.conftest import PROJECT

README = (PROJECT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FILES = {match[1]: block for block in PYTHON_BLOCKS if (match := re.match(r"# (\S+\.py)\n", block))}
COMMANDS = re.findall(r"^python run\.py.*$", README, re.MULTILINE)


def in_copy(folder: Path, *command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project to extend."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("cnn_jax", "experiments"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "run.py", folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def name_in(file: Path, marker: str, line: str, statement: str) -> None:
    """What the README asks for: an import, and a line behind `marker`."""
    text = file.read_text()
    assert marker in text
    file.write_text(f"{statement}\n{text.replace(marker, f'{marker}    {line}' + chr(10))}")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command: str) -> None:
    values = run.define_flags()
    run.parse(shlex.split(command)[2:], values)
    assert values["mode"].value in run.MODES
    if values["sweep"].present:
        space.parse_dimensions(values.sweep)
    if values["config"].value is None and not str(values["experiment"].value).endswith(".py"):
        run.resolve(values)


def test_set_up_commands_name_files_that_exist() -> None:
    for file in re.findall(r"-r (\S+)", README):
        assert (PROJECT / file).is_file()


def test_layout_names_what_there_is() -> None:
    rooms = re.findall(r"^  (\w+)(?:/|\.py)\s", README, re.MULTILINE)
    there = {path.stem for path in (PROJECT / "cnn_jax").iterdir() if not path.name.startswith("_")}
    assert set(rooms) == there


def test_experiment_example_runs(copy: Path, command_environment: dict[str, str]) -> None:
    finished = in_copy(copy, "run.py", "--mode=summary", "--experiment=wide_kernels", environment=command_environment)
    assert "(None, 24, 24, 32)" in finished.stdout, finished.stderr


def test_model_example_runs(copy: Path, command_environment: dict[str, str]) -> None:
    assert '`"all_convolutional": AllConvolutional,`' in README
    name_in(
        copy / "cnn_jax/models/__init__.py",
        '    "logistic": LogisticRegression,\n',
        '"all_convolutional": AllConvolutional,',
        "from cnn_jax.models.all_convolutional import AllConvolutional",
    )
    arguments = ("--model=all_convolutional", "--experiment=smoke", "--widths=none", "--train_examples=640")
    finished = in_copy(copy, "run.py", *arguments, environment=command_environment)
    assert "test loss" in finished.stdout, finished.stderr


def test_dataset_example_runs(copy: Path, command_environment: dict[str, str], tmp_path: Path) -> None:
    assert "`stripes.STRIPES,`" in README
    name_in(
        copy / "cnn_jax/data/__init__.py",
        "    mnist.KMNIST,\n",
        "stripes.STRIPES,",
        "from cnn_jax.data import stripes",
    )
    arguments = ("--dataset=stripes", "--model=logistic", "--epochs=1", f"--data_dir={tmp_path / 'data'}")
    finished = in_copy(copy, "run.py", *arguments, environment=command_environment)
    assert "stripes test loss" in finished.stdout, finished.stderr


@pytest.mark.parametrize("block", [block for block in PYTHON_BLOCKS if block not in FILES.values()])
def test_python_example_runs(block: str, command_environment: dict[str, str], tmp_path: Path) -> None:
    environment = command_environment | {"PYTHONPATH": os.fspath(PROJECT)}
    finished = in_copy(tmp_path, "-c", block, environment=environment)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


def test_every_experiment_in_the_readme_exists() -> None:
    named = set(re.findall(r"--experiment=(\w+)(?!\S*\.py)", README)) - {"wide_kernels", "path"}
    assert named <= set(experiments.names())


def test_gaps_of_overfitting_are_the_stored_ones() -> None:
    record = json.loads((PROJECT / "experiments/results/overfitting.json").read_text())
    gaps = {(one["name"], one["train_examples"]): 100 * one["gap"]["mean"] for one in record["learners"]}
    sizes = record["verdicts"][0]["sizes"]
    assert (len(sizes["smaller"]), sizes["larger"], sizes["no difference shown"]) == (5, [], [10_000])
    said = "With 100 images it is {} points against {}, with 1,000 {} against {}, with all 60,000 {} against {}"
    numbers = [
        f"{gaps[name, size]:{form}}"
        for size, form in ((100, ".1f"), (1_000, ".1f"), (60_000, ".2f"))
        for name in ("lecture_cnn", "lecture_cnn_no_pooling")
    ]
    assert said.format(*numbers) in " ".join(README.split())


def test_ratio_of_times_with_pooling_and_without_is_that_of_the_stored_rounds() -> None:
    summary = json.loads((PROJECT / "experiments/results/peers.json").read_text())["summary"]["training"]
    found = statistics.ratio(*(summary[variant]["cnn_jax"]["rounds"] for variant in ("pooling", "no_pooling")))
    assert found.interval is not None
    low, high = found.interval
    said = f"{found.ratio:.1f} times as fast as the one without (95 % interval {low:.1f} to {high:.1f}"
    assert said in " ".join(README.split())
