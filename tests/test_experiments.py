"""Every shipped experiment runs: shrunk to seconds, its loss falls and its files are there."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import experiments
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs import execute as executing
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.training import loop
from tests import bitwise_diff
from tests.conftest import PROJECT, first_quick

# How experiments shrink: to 640 images, twice over, and what takes long to compile or to score to fewer filters. Scenes
# are large, and a few of them say little of those of the test set: rgb200 is to know the few by heart.
_FEW = {"train_examples": 640, "epochs": 2}
SHRUNK: dict[str, dict] = {
    "lecture_cnn_no_pooling": _FEW | {"widths": (8, 8, 16)},
    "permuted_pixels": _FEW | {"widths": (8, 16)},
    "two_inputs_two_outputs": _FEW | {"widths": (8, 16)},
    "lenet5": _FEW | {"epochs": 8},  # its weights start small
    "resnet": _FEW | {"epochs": 6, "depth": 8},  # in larger batches
    "rgb200": {"widths": (8, 8, 16), "train_examples": 16, "batch_size": 16, "epochs": 16},
}
# These are also ended and resumed. The others take minutes for that: tests/runs/test_kills.py has them.
QUICK = ("logistic", "x_and_o")
LOSSES = PROJECT / "tests/reference/losses.json"  # it says what they are and who made them


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The mean loss of the epoch so far, after each step of the runs of a test."""
    found: list[float] = []

    def fit(*arguments: Any) -> Iterator[loop.Progress]:
        for progress in loop.fit(*arguments):
            assert progress.train is not None
            found.append(progress.train.loss)
            yield progress

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)  # one step a chunk
    monkeypatch.setattr(executing, "fit", fit)
    return found


@pytest.mark.parametrize("name", first_quick(sorted(experiments.names(), key=lambda name: name != "lecture_cnn")))
def test_experiment_trains_as_ever_and_resumes_to_the_same_bits(
    name: str, drawn_data_dir: Path, tmp_path: Path, losses: list[float]
) -> None:
    experiment = experiments.load(name).vary(SHRUNK.get(name, _FEW))
    config = experiment.config
    whole, ended = (RunOptions(workdir=tmp_path / folder, data_dir=drawn_data_dir) for folder in ("whole", "ended"))
    console = Console(progress=False)
    result = execute(experiment, whole, console)
    expected = json.loads(LOSSES.read_text())
    np.testing.assert_allclose(losses[:3], expected["losses"][name][:3], rtol=0, atol=1e-5)
    # RMSprop's first steps amplify rounding: with jax 0.12 on a processor with AVX-512, the network without pooling is
    # 4.5e-4 away after 20 steps.
    tolerance = 1e-5 if f"jax {jax.__version__}:" in expected["made_by"] else 1e-3
    if name == "resnet":  # at its learning rate of 0.1, two devices are 3.2e-3 away from one after 20 steps
        tolerance = 1e-2
    np.testing.assert_allclose(losses[:20], expected["losses"][name], rtol=0, atol=tolerance)
    first = json.loads((whole.workdir / "metrics.jsonl").read_text().splitlines()[0])
    assert result.status == "done"
    assert result.train_loss is not None and result.train_loss < first["train_loss"]
    accuracy = result.train_accuracy if name == "rgb200" else result.test_accuracy
    # Chance is half of two classes, and a tenth of ten; a permuted block is no block any more.
    ten_classes = 0.3 if config.task.name == "permuted" else 0.5
    assert accuracy is not None and accuracy > (0.75 if len(experiment.spec.classes) == 2 else ten_classes)
    if name not in QUICK:
        return
    assert execute(experiment, dataclasses.replace(ended, max_time=1e-3), console).status == "stopped"
    assert execute(experiment, ended, console).status == "done"
    assert list(bitwise_diff.differences(whole.workdir, ended.workdir)) == []


@pytest.mark.parametrize("name", experiments.names())
def test_experiment_says_its_command(name: str) -> None:
    text = (Path(experiments.__file__).parent / f"{name}.py").read_text()
    flag = "" if name == "lecture_cnn" else f" --experiment={name}"
    assert f"python run.py{flag}\n" in text
    assert experiments.descriptions()[name].endswith(".")


def test_experiment_names_its_config() -> None:
    assert experiments.load("lecture_cnn").config == Experiment().config
    no_pooling = Experiment().vary(experiment="lecture_cnn_no_pooling", pooling=False)
    assert experiments.load("lecture_cnn_no_pooling").config == no_pooling.config


def test_own_file_is_an_experiment(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from experiments import lecture_cnn\n\n"
        "def experiment():\n    return lecture_cnn.experiment().replace(epochs=2)\n"
    )
    assert experiments.load(str(file)).config == Experiment().vary(experiment="mine", epochs=2).config


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def experiment(:", "line 1: SyntaxError"),
        ("x = 1", r"has no function experiment\(\)"),
        ("def experiment():\n    return 1 / 0", "line 2: ZeroDivisionError"),
        ("def experiment():\n    return 3", r"experiment\(\) returns int, not an Experiment"),
        ("from cnn_jax import *\ndef experiment(): return Experiment(Config(epochs=0))", "--epochs=0: must be"),
        ("from cnn_jax import *\ndef experiment(): return Experiment(Config(epoch=3))", "line 2: TypeError"),
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
