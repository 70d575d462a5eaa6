"""The commands of docs/scaling.md, as clusters run them, but on the loopback interface."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.runs.test_processes import free_address

PAGE = (PROJECT / "docs/scaling.md").read_text()
SHORT = ["--dataset=x_and_o", "--widths=4,8", "--train_examples=320", "--batch_size=32", "--epochs=1", "--workdir=run"]
FIRST_PORT = 2**16 - 2**12  # of those that jax takes for Slurm's jobs: this one plus the job's number

Command = tuple[list[str], dict[str, str]]  # with what the cluster adds to the environment


def block(language: str) -> str:
    """The only block of code in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def with_slurm() -> list[Command]:
    [command] = re.findall(r"^srun (.*)$", block("bash"), re.MULTILINE)
    [tasks] = re.findall(r"--nodes=(\d+)", block("bash"))
    job = next(number for number in range(2**12) if is_free(FIRST_PORT + number))
    common = {"SLURM_JOB_ID": str(job), "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": tasks}
    return [
        (command.split(), common | {"SLURM_PROCID": str(index), "SLURM_LOCALID": "0"}) for index in range(int(tasks))
    ]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def with_kubernetes() -> list[Command]:
    """Kubernetes puts the variables of the environment into the arguments. There is no name of a pod here."""
    [program] = re.findall(r"command: (\[.*\])", block("yaml"))
    [pods] = re.findall(r"completions: (\d+)", block("yaml"))
    arguments, address = re.findall(r"^ +- (--.*)$", block("yaml"), re.MULTILINE), free_address()
    arguments = [re.sub("^--coordinator=.*", f"--coordinator={address}", argument) for argument in arguments]
    return [
        (
            [
                *json.loads(program),
                *(argument.replace("$(JOB_COMPLETION_INDEX)", str(index)) for argument in arguments),
            ],
            {"JOB_COMPLETION_INDEX": str(index)},
        )
        for index in range(int(pods))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("commands", [with_slurm, with_kubernetes])
def test_commands_of_the_page_train_together(
    commands: Callable[[], list[Command]], command_environment: dict[str, str], tmp_path: Path
) -> None:
    started = []
    for (python, program, *arguments), environment in commands():
        assert python == "python"
        started.append(
            subprocess.Popen(
                [sys.executable, str(PROJECT / program), *arguments, *SHORT],
                cwd=tmp_path,
                env=command_environment | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    machine = json.loads((tmp_path / "run/machine.json").read_text())
    assert machine["device"].startswith(f"{len(started)} x cpu")


def test_container_runs_the_same_program() -> None:
    """A container is built in a checkout."""
    lines = block("dockerfile").splitlines()
    [start] = re.findall(r"CMD (\[.*\])", lines[-1])
    assert json.loads(start) == ["python", "run.py"]
    [requirements] = re.findall(r"-r (\S+)", block("dockerfile"))
    assert (PROJECT / requirements).is_file()


@pytest.mark.slow
def test_cluster_with_one_task_trains_alone(run_py: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that independent runs may be the tasks of a Slurm array."""
    for name, value in (("JOB_ID", "1"), ("STEP_NODELIST", "a"), ("NTASKS", "1"), ("PROCID", "0"), ("LOCALID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert run_py(*SHORT).returncode == 0
    assert json.loads((tmp_path / "run/machine.json").read_text())["device"].startswith("1 x cpu")


def test_cluster_that_cannot_be_read_is_one_line(run_py: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("JOB_ID", "x"), ("STEP_NODELIST", "a"), ("NTASKS", "2"), ("PROCID", "0"), ("LOCALID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    refused = run_py(*SHORT)
    assert refused.returncode == 2
    assert re.fullmatch(r"run.py: The cluster that has started this process cannot be read: .*\n", refused.stderr)
