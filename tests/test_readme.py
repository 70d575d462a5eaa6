"""The README does what it says: its commands parse, its examples run, its files exist."""

import json
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


# Runs the examples one after the other, in one process: each start of jax takes seconds.
RUN_EXAMPLES = """
import json, sys
import run
command_lines, blocks = json.loads(sys.argv[1])
for command_line in command_lines:
    if code := run.main(command_line):
        sys.exit(f"{command_line}: exit code {code}")
for block in blocks:
    exec(block, {"__name__": "__main__"})
    print("end of block")
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project that is extended as the README says."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("cnn_jax", "experiments"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "run.py", folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    add_to(
        folder / "cnn_jax/models/__init__.py",
        '    "logistic": LogisticRegression,\n',
        '"all_convolutional": AllConvolutional,',
        "from cnn_jax.models.all_convolutional import AllConvolutional",
    )
    add_to(
        folder / "cnn_jax/data/__init__.py",
        "    mnist.KMNIST,\n",
        "stripes.STRIPES,",
        "from cnn_jax.data import stripes",
    )
    return folder


def add_to(file: Path, marker: str, line: str, statement: str) -> None:
    """Does what the README asks for: adds an import, and a line behind `marker`."""
    assert f"`{line}`" in README
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


def test_examples_run(copy: Path, command_environment: dict[str, str], tmp_path: Path) -> None:
    command_lines = (
        ("--mode=summary", "--experiment=wide_kernels"),
        ("--model=all_convolutional", "--dataset=x_and_o", "--train_examples=640", "--epochs=1"),
        ("--dataset=stripes", "--model=logistic", "--epochs=1", f"--data_dir={tmp_path / 'data'}"),
    )
    blocks = [block for block in PYTHON_BLOCKS if block not in FILES.values()]
    command = [sys.executable, "-c", RUN_EXAMPLES, json.dumps([command_lines, blocks])]
    finished = subprocess.run(command, cwd=copy, env=command_environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    for said in ("(None, 24, 24, 32)", "x_and_o test loss", "stripes test loss"):
        assert said in finished.stdout
    *printed, rest = finished.stdout.partition("stripes test loss")[2].split("end of block\n")
    assert (len(printed), rest) == (len(blocks), "")
    assert all(printed)


def test_every_experiment_in_the_readme_exists() -> None:
    named = set(re.findall(r"--experiment=(\w+)(?!\S*\.py)", README)) - {"wide_kernels", "path"}
    assert named <= set(experiments.names())


def numbers_beside(file: str) -> list[str]:
    """The numbers with a decimal point in the README's paragraph that names a stored record."""
    [paragraph] = [text for text in README.split("\n\n") if f"`experiments/results/{file}`" in text]
    prose = re.sub(r"`[^`]*`|\w+ [\d.]+ GHz|jax [\d.]+", "", paragraph)
    return re.findall(r"\d+\.\d+", prose)


def test_gaps_of_overfitting_are_the_stored_ones() -> None:
    record = json.loads((PROJECT / "experiments/results/overfitting.json").read_text())
    gaps = {(one["name"], one["train_examples"]): 100 * one["gap"]["mean"] for one in record["learners"]}
    sizes = record["verdicts"][0]["sizes"]
    assert (len(sizes["smaller"]), sizes["larger"], sizes["no difference shown"]) == (5, [], [10_000])
    assert numbers_beside("overfitting.json") == [
        f"{gaps[name, size]:{form}}"
        for size, form in ((100, ".1f"), (1_000, ".1f"), (60_000, ".2f"))
        for name in ("lecture_cnn", "lecture_cnn_no_pooling")
    ]


def test_ratio_of_times_with_pooling_and_without_is_that_of_the_stored_rounds() -> None:
    summary = json.loads((PROJECT / "experiments/results/peers.json").read_text())["summary"]["training"]
    found = statistics.ratio(*(summary[variant]["cnn_jax"]["rounds"] for variant in ("pooling", "no_pooling")))
    assert found.interval is not None
    assert numbers_beside("peers.json") == [f"{number:.1f}" for number in (found.ratio, *found.interval)]
