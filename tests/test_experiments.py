"""Every shipped experiment runs: shrunk to seconds, its loss falls and its files are there."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.errors import InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import comparison
from cnn_jax.runs.execute import Place, execute
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs
from tests.conftest import PROJECT

# How experiments shrink: to 640 images, twice over, and what takes long to compile or to score to fewer filters. Scenes
# are large, and a few of them say little of those of the test set: rgb200 is to know the few by heart.
_FEW = {"train_examples": 640, "epochs": 2}
SHRUNK: dict[str, dict] = {
    "lecture_cnn_no_pooling": _FEW | {"widths": (8, 8, 16)},
    "permuted_pixels": _FEW | {"widths": (8, 16)},
    "two_inputs_two_outputs": _FEW | {"widths": (8, 16)},
    "rgb200": {"widths": (8, 8, 16), "train_examples": 16, "batch_size": 16, "epochs": 16},
}
# Those that are stopped and resumed in the default run, a CNN and a model without one: the long test has them all.
QUICK = ("logistic", "x_and_o")
LONG_FLAGS = {
    "rgb200": ("--widths=4,8,8", "--train_examples=100", "--batch_size=8", "--epochs=3"),
    "x_and_o": ("--train_examples=5000", "--epochs=3"),
}


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_trains_and_goes_on_to_the_same_bits(name: str, drawn_data_dir: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(experiments.load(name), **SHRUNK.get(name, _FEW))
    whole, ended = (Place(workdir=tmp_path / folder, data_dir=drawn_data_dir) for folder in ("whole", "ended"))
    console = Console(progress=False)
    result = execute(config, whole, console)
    first = json.loads((whole.workdir / "metrics.jsonl").read_text().splitlines()[0])
    assert result.status == "done"
    assert result.train_loss is not None and result.train_loss < first["train_loss"]
    accuracy = result.train_accuracy if name == "rgb200" else result.test_accuracy
    # Chance is half of two classes, and a tenth of ten; a permuted block is no block any more.
    ten_classes = 0.3 if config.view == "permuted" else 0.5
    assert accuracy is not None and accuracy > (0.75 if len(data.spec(config.dataset).classes) == 2 else ten_classes)
    if name not in QUICK:
        return
    assert execute(config, dataclasses.replace(ended, max_time=1e-3), console).status == "stopped"
    assert execute(config, ended, console).status == "done"
    like = programs.saved_shapes(config, data.spec(config.dataset), meshes.over_all_devices())
    assert list(comparison.differences(whole.workdir, ended.workdir, like)) == []


@pytest.mark.long
@pytest.mark.parametrize("name", experiments.names())
def test_experiment_that_is_killed_comes_to_the_same_bits(
    name: str, command_environment: dict[str, str], tmp_path: Path
) -> None:
    shrunk = LONG_FLAGS.get(name, ("--train_examples=6400", "--epochs=3"))
    flags = ("--mode=selftest", f"--experiment={name}", *shrunk, "--kills=20")
    command = [sys.executable, str(PROJECT / "run.py"), *flags, "--workdir=test"]
    finished = subprocess.run(
        command, cwd=tmp_path, env=command_environment, capture_output=True, text=True, timeout=1800
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_says_its_command(name: str) -> None:
    text = (Path(experiments.__file__).parent / f"{name}.py").read_text()
    flag = "" if name == "lecture_cnn" else f" --experiment={name}"
    assert f"python run.py{flag}\n" in text
    assert experiments.descriptions()[name].endswith(".")


def test_experiment_names_its_config() -> None:
    assert experiments.load("lecture_cnn") == Config()
    assert experiments.load("lecture_cnn_no_pooling") == Config(experiment="lecture_cnn_no_pooling", pooling=False)


def test_own_file_is_an_experiment(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\nfrom experiments import lecture_cnn\n\n"
        "def config():\n    return replace(lecture_cnn.config(), epochs=2)\n"
    )
    assert experiments.load(str(file)) == Config(experiment="mine", epochs=2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def config(:", "line 1: SyntaxError"),
        ("x = 1", "has no attribute 'config'"),
        ("def config():\n    return 1 / 0", "line 2: ZeroDivisionError"),
        ("def config():\n    return 3", "gives no Config but int"),
        ("from cnn_jax.config import Config\ndef config(): return Config(epochs=0)", "--epochs=0: must be at least 1"),
        ("from cnn_jax.config import Config\ndef config(): return Config(epoch=3)", "line 2: TypeError"),
        ("import not_there", "line 1: ModuleNotFoundError"),
    ],
)
def test_faulty_file_of_a_user_is_an_input_error_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(InputError, match=complaint):
        experiments.load(str(file))


@pytest.mark.parametrize("name", ["os", "../run", "__init__", "peers", "", "lecture_cn"])
def test_only_shipped_names_are_experiments(name: str) -> None:
    with pytest.raises(InputError, match="no such experiment"):
        experiments.load(name)
