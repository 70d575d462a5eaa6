"""A path is any path: what a file system can name, a run can live in."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 - its first import makes folders in the home folder
import numpy as np
import pytest
from PIL import Image

import run
from cnn_jax import load_run
from cnn_jax.config import Config, Part, run_name
from cnn_jax.errors import MachineError
from cnn_jax.experiment import build
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of
from tests.conftest import first_quick

Run = Callable[..., subprocess.CompletedProcess[str]]

SHORT = ("--experiment=logistic", "--dataset=x_and_o", "--train_examples=300")
PRINTED = (
    *("-x", "~", " a ", "a[1]", "[a-z]{b}!c", "back\\slash", "st*r?", "new\nline\x1b[31m", "co:lon", "per%20cent#&"),
    *("=,;'\"`$(x)", "привет 世界"),
)
NAMES = [*first_quick(["".join(PRINTED), *PRINTED]), os.fsdecode(b"\xff\xfe"), "x" * 255]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_run_in_a_folder_of_any_name_is_trained_saved_and_resumed(name: str, run_py: Run, tmp_path: Path) -> None:
    workdir = f"--workdir={tmp_path / name}"
    assert run_py(*SHORT, "--epochs=1", workdir).returncode == 0
    resumed = run_py(*SHORT, "--epochs=2", workdir)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "resumes from step 5, 1 of 2 epochs done" in resumed.stdout
    assert "\x1b" not in resumed.stdout
    assert np.isfinite(load_run(tmp_path / name).params["Dense_0"]["kernel"]).all()


@pytest.mark.slow
def test_run_in_a_folder_that_is_reached_by_a_link_is_an_ordinary_run(run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "a[1]").mkdir()
    (tmp_path / "link").symlink_to("a[1]")
    for workdir in ("link", "link/deeper"):
        assert run_py(*SHORT, "--epochs=1", f"--workdir={workdir}").returncode == 0
        assert "resumes from step 5" in run_py(*SHORT, "--epochs=2", f"--workdir={workdir}").stdout


def test_paths_in_a_list_may_hold_commas_and_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", " c ", "d", ",e,"):
        (tmp_path / name).mkdir()
    read = run.MODE_FLAGS["runs"].read
    assert callable(read)
    assert [str(path) for path in read("a,b, c ,~/d,,e,")] == ["a,b", " c ", f"{tmp_path}/d", ",e,"]
    (tmp_path / "my,own.py").write_text("")
    read = run.MODE_FLAGS["experiments"].read
    assert callable(read)
    assert read("logistic, my,own.py,dense") == ("logistic", "my,own.py", "dense")


@pytest.mark.slow
def test_every_command_takes_any_path(run_py: Run, tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"a[1], \\b\xff\n~")
    (strange / "pictures").mkdir(parents=True)
    pixels = np.zeros((60, 60), np.uint8)
    pixels[20:40, 20:28] = 255
    Image.fromarray(pixels).save(strange / "pictures" / f"{strange.name}.png")
    longest = strange / ("x" * 252 + ".py")
    digits = ("--experiment=logistic", "--train_examples=640", "--epochs=1")
    for command_line in (
        (*digits, f"--workdir={strange / 'run'}"),
        (*digits, "--seeds=2", f"--workdir={strange / 'seeds'}"),
        (f"--config={strange / 'run/config.json'}",),
        ("--mode=evaluate", f"--workdir={strange / 'run'}", f"--output={strange / 'evaluated'}"),
        ("--mode=compare", f"--runs={strange / 'run'},{strange / 'seeds'}", f"--workdir={strange / 'compared'}"),
        ("--mode=predict", f"--workdir={strange / 'run'}", f"--images={strange / 'pictures'}"),
        ("--mode=export", f"--workdir={strange / 'run'}", f"--output={strange / ('y' * 255)}"),
        ("--mode=summary", f"--graph={strange / 'graph.svg'}"),
        ("--mode=new", f"--output={longest}"),
        ("--mode=check", f"--experiment={longest}", "--dataset=x_and_o"),
        (f"--experiment={longest}", "--dataset=x_and_o", "--train_examples=64", "--epochs=1"),
    ):
        ended = run_py(*command_line)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("flag", ["workdir", "data_dir", "manual_dir", "config", "experiment", "experiments"])
def test_address_is_refused_in_one_line(flag: str, run_py: Run, tmp_path: Path) -> None:
    mode = ("--mode=compare",) if flag == "experiments" else ()
    ended = run_py(*mode, f"--{flag}=gs://bucket/x.py")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "must be a path on this machine" in ended.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "flag", ["--mode=predict --images=x --workdir", "--mode=export --workdir", "--mode=evaluate --runs"]
)
def test_tilde_is_the_home_folder_in_every_flag(flag: str, run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")  # HOME is this folder
    ended = run_py(*f"{flag}=~/file".split(" "))
    assert f"{tmp_path}/file" in ended.stderr


def test_checkpoint_that_is_read_back_with_other_values_does_not_count(
    run_py: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_py(*SHORT, "--epochs=1", "--workdir=run").returncode == 0
    restored = checkpoint._restored

    def other(*arguments: object) -> object:
        state, sums = restored(*arguments)
        return state.replace(step=state.step + 1), sums

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_restored", other)
        with pytest.raises(MachineError, match="read back with other values"):
            checkpoint._write(checkpoint._Item(tmp_path / "run/checkpoints", 6, _state(tmp_path / "run"), {}))
    assert not (tmp_path / "run/checkpoints/6/manifest.sha256").exists()


def _state(run: Path) -> tuple:
    directory = RunDirectory(run)
    learner = build(experiment_of(directory, None, Console()))
    saved = checkpoint.load_step(directory.checkpoints, 5, learner.abstract_state)
    return saved.state, saved.sums


@pytest.mark.parametrize("text", ["x" * 1000, "ü" * 150, "a/b\n\0\ud800", "\U0001f600" * 70])
def test_default_name_is_one_that_file_systems_take(text: str, tmp_path: Path) -> None:
    config = Config(experiment="e" * 250, model=Part("own", text=text))
    for name in (run_name(config, ["model.text"]), run_name(config), run_name(config, ["model.text"], many_seeds=True)):
        assert name.isprintable()
        assert len(f"overfitting-{name}-99".encode()) <= 255
        (tmp_path / name).mkdir()
        (tmp_path / name).rmdir()
    other = Config(experiment="e" * 250, model=Part("own", text=text + "y"))
    assert run_name(config, ["model.text"]) != run_name(other, ["model.text"])
    assert json.loads(config.to_json())
