"""Containers and clusters: no home, no name, no device; and jax's switches for debugging."""

import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

import run
from cnn_jax import compilation

Run = Callable[..., subprocess.CompletedProcess[str]]

SHORT = ("--experiment=logistic", "--dataset=x_and_o", "--train_examples=64", "--epochs=1", "--workdir=run")


@pytest.fixture
def jax_settings() -> Iterator[None]:
    """Puts jax's settings back."""
    before = dict(jax.config.values)
    yield
    compilation.apply_jax_config(before)


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container whose user is any number: no HOME, and no entry for the user."""

    def unknown(_: Any) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("no_home", "jax_settings")
def test_without_a_home_folder_a_run_works_and_says_what_it_cannot_keep(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run.main([*SHORT]) == 0
    said = capfd.readouterr().err
    assert "Compiled programs are not kept for the next start: there is no home folder" in said
    assert "x_and_o: there is no home folder to keep the data in" in said
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.usefixtures("no_home", "jax_settings")
def test_data_that_need_a_folder_ask_for_one_without_a_home(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main([*SHORT, "--dataset=mnist"]) == 2
    assert "Name one with --data_dir=FOLDER, or set HOME." in capfd.readouterr().err


@pytest.mark.usefixtures("jax_settings")
@pytest.mark.parametrize("mode", [mode for mode in run.MODES if mode != "new"])
def test_platform_that_is_not_there_is_one_line_in_every_mode(
    mode: str, run_py: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_backend() -> None:
        raise AssertionError  # as jax does where the plugin of JAX_PLATFORMS is not installed

    flags = {
        "export": ("--workdir=run",),
        "predict": ("--workdir=run", "--images=."),
        "evaluate": ("--workdir=run",),
        "compare": ("--experiments=logistic,dense",),
        "overfitting": ("--experiments=logistic",),
        "sweep": ("--sweep=learning_rate=0.1,0.2",),
    }
    monkeypatch.setattr(jax, "devices", no_backend)
    ended = run_py(f"--mode={mode}", *flags.get(mode, ()))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "jax finds no device to run on" in ended.stderr or "holds no run" in ended.stderr
    assert not {"run", "runs"} & {*os.listdir(tmp_path)}


def test_jax_that_cannot_be_imported_is_one_line(run_py: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ValueError("invalid truth value 'maybe' for environment 'JAX_ENABLE_X64'")

    monkeypatch.setattr(run.importlib, "import_module", refuse)
    ended = run_py(*SHORT)
    assert ended.returncode == 2
    assert ended.stderr == (
        "run.py: jax cannot be imported: invalid truth value 'maybe' for environment 'JAX_ENABLE_X64'.\n"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("jax_settings")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_debug_nans", True),
        ("jax_debug_infs", True),
        ("jax_log_compiles", True),
        ("jax_enable_checks", True),
        ("jax_check_tracer_leaks", True),
        ("jax_legacy_prng_key", "error"),
        ("jax_transfer_guard", "log"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_debugging_switch_works(name: str, value: Any, run_py: Run) -> None:
    jax.config.update(name, value)
    ended = run_py(*SHORT)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.usefixtures("jax_settings")
@pytest.mark.parametrize(
    ("name", "value"), [("jax_transfer_guard", "disallow"), ("jax_no_tracing", True), ("jax_no_execution", True)]
)
def test_debugging_switch_that_nothing_can_run_with_is_one_line(
    name: str, value: Any, run_py: Run, tmp_path: Path
) -> None:
    jax.config.update(name, value)
    ended = run_py(*SHORT)
    jax.config.update(name, {"jax_transfer_guard": "allow"}.get(name, False))
    assert ended.returncode == 2
    assert ended.stderr == f"run.py: {name.upper()}={value}: this program cannot run with that. Unset it.\n"
    assert os.listdir(tmp_path) == []
