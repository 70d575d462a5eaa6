"""The seeds of a comparison are ordinary commands, after which it trains nothing."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

SHORT = ("--dataset=x_and_o", "--train_examples=200", "--epochs=1")


def contents(folder: Path, pattern: str) -> dict[Path, bytes]:
    files = (path for path in sorted(folder.glob(pattern)) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def numbers(folder: Path) -> list[dict[str, Any]]:
    """What the comparison found, without times."""
    record = json.loads((folder / "compare.json").read_text())
    names = ("name", "config", "seeds", "test_accuracy", "test_loss")
    return [{name: model[name] for name in names} for model in record["models"]]


@pytest.mark.slow
def test_seeds_that_commands_have_trained_are_compared_and_none_is_trained_again(run_py: Run, tmp_path: Path) -> None:
    command = ("--mode=compare", "--experiments=dense,logistic", "--seeds=1", *SHORT)
    listed = run_py(*command, "--print_commands")
    assert listed.returncode == 0 and not (tmp_path / "runs").exists()
    for line in listed.stdout.splitlines():
        assert run_py(*shlex.split(line)[2:]).returncode == 0
    alone = contents(tmp_path / "runs", "*/seed-0/*")
    listed = run_py(*command, "--print_commands")
    assert listed.stdout == ""
    assert [line.rpartition(": ")[2] for line in listed.stderr.splitlines()] == ["1 of 1 seed finished"] * 2
    compared = run_py(*command)
    assert compared.returncode == 0, compared.stderr
    assert compared.stderr.count("holds these seeds, finished") == 2 and "compiled in" not in compared.stdout
    assert contents(tmp_path / "runs", "*/seed-0/*") == alone
    assert contents(tmp_path / "runs", "*-from-0-*/*").keys() == {
        path.parents[1] / name for path in alone for name in ("config.json", "machine.json", "result.json")
    }


@pytest.mark.slow
def test_finished_and_diverged_seeds_are_not_printed_and_others_are(run_py: Run, tmp_path: Path) -> None:
    command = ("--mode=compare", "--experiments=dense,logistic", "--seeds=2", *SHORT, "--learning_rate=1e30")
    diverging = (*command, "--optimizer=sgd", "--print_commands")
    first, *others = run_py(*diverging).stdout.splitlines()
    assert run_py(*shlex.split(first)[2:]).returncode == 3
    listed = run_py(*diverging)
    assert listed.stdout.splitlines() == others
    assert "1 of 2 seeds finished" in listed.stderr and "0 of 2 seeds finished" in listed.stderr


def test_commands_name_own_files_seeds_and_a_dataset_that_is_not_replaced(run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "my file.py").write_text("from cnn_jax import Experiment\n\nexperiment = Experiment\n")
    command = ("--mode=compare", "--experiments=my file.py,dense", "--seed=3", "--seeds=1", "--train_examples=200")
    listed = run_py(*command, "--overwrite", "--workdir=out", "--seed_strategy=loop", "--print_commands")
    assert listed.returncode == 0, listed.stderr
    own, dense = [set(shlex.split(line)[2:]) for line in listed.stdout.splitlines()]
    same = {"--mode=train", "--seed=3", "--train_examples=200", "--dataset=mnist"}
    folder = tmp_path / "runs/dense-mnist-seeds-from-3-train_examples=200/seed-3"
    assert dense == same | {"--experiment=dense", f"--workdir={folder}"}
    folder = tmp_path / "runs/my file-mnist-seeds-from-3-train_examples=200/seed-3"
    assert own == same | {f"--experiment={tmp_path / 'my file.py'}", f"--workdir={folder}"}


@pytest.mark.slow
def test_printed_commands_run_in_a_shell_side_by_side_come_to_the_same_comparison(
    run_py: Run, run_process: Run, command_environment: dict[str, str], tmp_path: Path
) -> None:
    command = ("--mode=compare", "--experiments=dense,logistic", "--seeds=2", *SHORT)
    lines = run_py(*command, "--print_commands").stdout.splitlines()
    script = "".join(f"({line}) &\n" for line in lines) + "wait\n"
    ended = subprocess.run(
        script, shell=True, cwd=tmp_path, env=command_environment, capture_output=True, text=True, timeout=300
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    compared = run_py(*command, "--workdir=of_commands")
    assert compared.returncode == 0, compared.stderr
    assert compared.stderr.count("holds these seeds, finished") == 2
    of_commands = contents(tmp_path / "runs", "*/seed-*/predictions.npz")
    (tmp_path / "runs").rename(tmp_path / "runs of commands")
    assert run_process(*command, "--workdir=at_once").returncode == 0
    assert contents(tmp_path / "runs", "*/seed-*/predictions.npz") == of_commands and len(of_commands) == 4
    assert numbers(tmp_path / "of_commands") == numbers(tmp_path / "at_once")
