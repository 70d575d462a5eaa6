"""What only Unix has is not needed: the program imports and trains without it, and takes paths of other systems."""

import json
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

import run
from cnn_jax import data
from cnn_jax.config import Config, Part, run_name

PROJECT = Path(__file__).parents[1]

# Hides what Windows lacks, in a process of its own, and then runs command lines.
WITHOUT = """
import builtins, importlib.abc, os, signal, sys

import concurrent.futures, multiprocessing, subprocess, tempfile  # the standard library's modules choose at import
import absl.flags, absl.logging, jax, orbax.checkpoint, tensorboardX, tensorflow_datasets  # as those for Windows do

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(name)

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
for name in (*MODULES, *(name for name in sys.modules if name.partition(".")[0] == "filelock")):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
OF_SIGNAL = ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "pthread_sigmask"]
OF_OS = ["getuid", "geteuid", "getgid", "sched_getaffinity", "sysconf", "uname", "fork", "mkfifo", "getpgid", "killpg"]
for place, names in ((signal, OF_SIGNAL), (os, OF_OS)):
    for name in names:
        delattr(place, name)
os.process_cpu_count = os.cpu_count  # which would ask for the affinity
sys.path.insert(0, sys.argv[1])
import run
for line in sys.argv[2:]:
    code = run.main(line.split())
    assert code == 0, (line, code)
"""


def run_without(lines: list[str], environment: dict[str, str], folder: Path) -> None:
    """Runs command lines in a process that lacks all of that."""
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(PROJECT), *lines],
        cwd=folder,
        env=environment | {"PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


SHORT = "--experiment=x_and_o --train_examples=640"


@pytest.mark.slow
def test_program_trains_and_resumes_without_what_only_unix_has(
    command_environment: dict[str, str], tmp_path: Path
) -> None:
    lines = [f"{SHORT} --epochs={epochs} --workdir=one" for epochs in (1, 2)]
    run_without(lines, command_environment, tmp_path)
    assert json.loads((tmp_path / "one/result.json").read_text())["epochs"] == 2


@pytest.mark.slow
def test_other_modes_run_without_what_only_unix_has(command_environment: dict[str, str], tmp_path: Path) -> None:
    lines = [
        f"{SHORT} --epochs=1 --seeds=2 --workdir=seeds",
        "--mode=evaluate --workdir=seeds",
        f"--mode=benchmark {SHORT} --batch_sizes=8 --repeats=1 --seconds=0.01 --workdir=benchmark",
    ]
    run_without(lines, command_environment, tmp_path)
    record = json.loads((tmp_path / "benchmark/benchmark.json").read_text())
    assert {case["peak_memory_bytes"] for case in record["measurements"]} == {None}


@pytest.mark.parametrize("path", ["C:/data", "C:\\data", "d:\\my data\\x", "\\\\server\\share\\data", "data\\mnist"])
def test_path_with_a_drive_or_backslashes_is_a_folder_and_no_address(path: str) -> None:
    assert data._data_folder(path) == Path(path)
    values = run.define_flags()
    run.parse([f"--workdir={path}", f"--runs={path},{path}2"], values)
    assert run._read("workdir", values) == Path(path)
    assert run._read("runs", values) == (Path(path), Path(f"{path}2"))


def test_default_name_of_a_run_is_one_name_on_every_system() -> None:
    config = Config(dataset=Part("mine", file='C:\\data\\a/b:c*?"<>|'))
    name = run_name(config, ["dataset.file", "learning_rate"])
    assert PureWindowsPath(name).parts == Path(name).parts == (name,)
    assert not set(name) & set('\\/:*?"<>|')
    assert os.path.basename(name) == name
