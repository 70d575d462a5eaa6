"""Several commands on one folder: they share out the trials, and the record is that of one command."""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.studies.sweep.test_claims import leave
from tests.studies.sweep.test_run import without_times

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

SMALL = (
    *("--mode=sweep", "--experiment=x_and_o", "--model=dense", "--widths=8", "--train_examples=200"),
    *("--validation_examples=100", "--epochs=1", "--seeds=1"),
)
TWO = (*SMALL, "--sweep=learning_rate=0.001,0.01")
FOUR = (*SMALL, "--sweep=learning_rate=1e-4:1e-1:log4")


def printed(run_py: Run, *flags: str) -> list[str]:
    """The command lines that a command prints, which writes nothing else anywhere."""
    finished = run_py(*flags, "--print_commands")
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def in_this_process(run_py: Run, line: str) -> subprocess.CompletedProcess[str]:
    _python, _program, *flags = shlex.split(line)
    return run_py(*flags)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]


def require_same(one: Path, other: Path) -> None:
    """Holds that two sweeps have the same rows and record but for times, and that no claim is left."""
    assert without_times(rows(one)) == without_times(rows(other))
    trials = [(row["settings"]["learning_rate"], row["seed"]) for row in rows(one)]
    assert trials == sorted(trials)
    records = [json.loads((folder / "sweep.json").read_text()) for folder in (one, other)]
    assert without_times(records[0]) == without_times(records[1])
    assert not list(one.rglob("*claim*"))


@pytest.mark.slow
def test_printed_commands_run_in_a_shell_side_by_side_and_the_same_command_collects(
    run_py: Run, command_environment: dict[str, str], tmp_path: Path
) -> None:
    """As an array of Slurm does by the line in docs/scaling.md: each task runs the line of its number."""
    lines = printed(run_py, *TWO, "--workdir=a folder")
    assert len(lines) == 2 and not (tmp_path / "a folder").exists()
    (tmp_path / "trials.txt").write_text("".join(f"{line}\n" for line in lines))
    [task] = re.findall(r"^sbatch .* --wrap='(.+)'$", (PROJECT / "docs/scaling.md").read_text(), re.MULTILINE)
    how = {"shell": True, "cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environments = [command_environment | {"SLURM_ARRAY_TASK_ID": number} for number in "12"]
    shells = [subprocess.Popen(task, env=environment, **how) for environment in environments]
    for shell in shells:  # both begin in a folder that is not there yet
        out, err = shell.communicate(timeout=300)
        assert (shell.returncode, err) == (0, ""), out + err
        assert out.count("validation accuracy") == 1
    assert not (tmp_path / "a folder/sweep.json").exists() and not (tmp_path / "a folder/winner").exists()
    assert printed(run_py, *TWO, "--workdir=a folder") == []
    collected, whole = run_py(*TWO, "--workdir=a folder"), run_py(*TWO, "--workdir=whole")
    assert (collected.returncode, whole.returncode) == (0, 0), collected.stderr + whole.stderr
    assert "2 trials already finished" in collected.stdout and "trial 1/2" not in collected.stdout
    require_same(tmp_path / "a folder", tmp_path / "whole")


@pytest.mark.slow
def test_what_is_missing_is_said_with_its_holder_and_printed_again(run_py: Run, tmp_path: Path) -> None:
    first, *others = printed(run_py, *FOUR, "--workdir=sweep")
    assert in_this_process(run_py, first).returncode == 0
    before = sorted(tmp_path.rglob("*"))
    [row] = (tmp_path / "sweep/trials").glob("*.json")
    missing = run_py(*FOUR, "--workdir=sweep", "--print_commands")
    assert missing.stderr == "sweep: 1 of 4 trials finished\n"
    assert missing.stdout.splitlines() == others
    assert sorted(tmp_path.rglob("*")) == before
    third = run_py(*FOUR, "--workdir=sweep", "--trials=3")
    assert third.stdout.endswith(
        "2 of 4 trials finished; without --trials, the command runs what is missing and trains the winner\n"
    )
    [new] = {*(tmp_path / "sweep/trials").glob("*.json")} - {row}
    new.unlink()
    leave(new.with_suffix(""))
    missing = run_py(*FOUR, "--workdir=sweep", "--print_commands")
    assert missing.stderr == "sweep: 1 of 4 trials finished; a machine, process 7 runs trial 3\n"


def test_ranges_of_trials_may_overlap_and_diverged_trials_are_finished(run_py: Run, tmp_path: Path) -> None:
    sweep = (*SMALL, "--optimizer=sgd", "--sweep=learning_rate=0.1,0.2,0.3,1e30", "--workdir=sweep")
    assert run_py(*sweep, "--trials=3-4,4,1").returncode == 0
    assert [shlex.split(line)[-1] for line in printed(run_py, *sweep)] == ["--trials=2"]
    done = [json.loads(file.read_text()) for file in (tmp_path / "sweep/trials").glob("*.json")]
    assert sorted((row["settings"]["learning_rate"], row["status"]) for row in done) == [
        *((0.1, "done"), (0.3, "done"), (1e30, "diverged"))
    ]


def test_commands_keep_every_flag_as_it_was_meant(run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "my file.py").write_text(
        "from cnn_jax import Config, Experiment\n\n"
        "def experiment():\n    return Experiment(Config(dataset='x_and_o'))\n"
    )
    (tmp_path / "flags").write_text("--print_commands\n--workdir=elsewhere\n--train_examples=200\n")
    typed = (
        "--mode",
        "sweep",
        "--experiment=my file.py",
        "-sweep",
        "widths=4,8|8,16; batch_size=10",
        "--flagfile=flags",
    )
    more = ("--seeds=1", "--jobs=2", "--noprogress", "--nopooling", "--jax_platforms=cpu", "--claim_timeout=5m")
    finished = run_py(*typed, *more, "--workdir=sweep")
    assert finished.returncode == 0, finished.stderr
    first, second = map(shlex.split, finished.stdout.splitlines())
    assert set(first[2:]) == {
        *("--mode=sweep", "--experiment=my file.py", "--sweep=widths=4,8|8,16; batch_size=10", "--train_examples=200"),
        *("--seeds=1", "--noprogress", "--nopooling", "--jax_platforms=cpu", "--claim_timeout=5m"),
        *(f"--workdir={tmp_path / 'sweep'}", "--trials=1"),
    }
    assert second == [*first[:-1], "--trials=2"]


@pytest.mark.slow
def test_row_in_the_file_of_another_trial_is_one_line(run_py: Run, tmp_path: Path) -> None:
    assert run_py(*TWO, "--workdir=sweep", "--trials=1-2").returncode == 0
    first, second = (tmp_path / "sweep/trials").iterdir()
    first.write_bytes(second.read_bytes())
    refused = run_py(*TWO, "--workdir=sweep")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr == f"run.py: {first.relative_to(tmp_path)}: holds the row of another trial. Delete it.\n"
    first.unlink()  # as it says
    assert run_py(*TWO, "--workdir=sweep", "--trials=1-2").returncode == 0


@pytest.mark.slow
def test_trial_of_another_machine_is_waited_for_and_taken_over_when_that_is_silent(run_py: Run, tmp_path: Path) -> None:
    assert run_py(*TWO, "--workdir=sweep", "--trials=1").returncode == 0
    assert run_py(*TWO, "--workdir=sweep", "--trials=2").returncode == 0
    second = max((tmp_path / "sweep/trials").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    second.unlink()
    leave(second.with_suffix(""), b"\xff\x00")  # a damaged claim counts too
    began = time.monotonic()
    finished = run_py(*TWO, "--workdir=sweep", "--claim_timeout=1s")
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"^waiting for trial 2, claimed by .* \(renewed .* ago\)$", finished.stdout, re.MULTILINE)
    assert "trial 2/2" in finished.stdout and time.monotonic() - began > 1
    assert not list(tmp_path.rglob("*claim*"))


@pytest.mark.slow
def test_winner_is_trained_by_one_command_and_the_others_say_by_which(run_py: Run, tmp_path: Path) -> None:
    assert run_py(*TWO, "--workdir=sweep", "--trials=1-2").returncode == 0
    leave(tmp_path / "sweep/winner")
    finished = run_py(*TWO, "--workdir=sweep")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith("sweep: a machine, process 7 trains the winner and writes the record\n")
    assert not (tmp_path / "sweep/winner").exists() and not (tmp_path / "sweep/sweep.json").exists()
    os.utime(tmp_path / "sweep/winner.claim-1", (0, 0))
    assert "sweep.html written" in run_py(*TWO, "--workdir=sweep").stdout


@pytest.mark.slow
def test_sweep_that_another_process_works_on_is_not_overwritten(run_py: Run, tmp_path: Path) -> None:
    assert run_py(*TWO, "--workdir=sweep", "--trials=1").returncode == 0
    claim = leave(tmp_path / "sweep/trials/some")
    before = sorted(tmp_path.rglob("*"))
    refused = run_py(*TWO, "--workdir=sweep", "--overwrite")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--overwrite: a machine, process 7 works on the sweep in sweep" in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before
    os.utime(claim, (0, 0))
    assert run_py(*TWO, "--workdir=sweep", "--overwrite").returncode == 0


@pytest.mark.slow
def test_two_sweeps_that_begin_in_one_folder_do_not_mix(started_run: Start, tmp_path: Path) -> None:
    """Whichever begins first has the folder; the other is refused in one line, and none of its trials is there."""
    both = [started_run(*TWO, f"--batch_size={size}", "--workdir=sweep", "--trials=1") for size in (10, 20)]
    ended = sorted((process.communicate(timeout=300), process.returncode) for process in both)
    assert sorted(code for _, code in ended) == [0, 2]
    [said] = [err for (_, err), code in ended if code == 2]
    assert "holds a sweep that starts from another config (batch_size" in said and said.count("\n") == 1
    assert len([*(tmp_path / "sweep/trials").glob("*.json")]) == 1


@pytest.mark.slow
def test_three_commands_of_which_one_is_killed_give_the_record_of_one(
    run_process: Run, started_run: Start, tmp_path: Path
) -> None:
    longer = ("--train_examples=2000", "--epochs=10", "--seeds=2")
    sweep = (*FOUR, *longer, "--claim_timeout=2s")
    workers = [started_run(*sweep, "--workdir=shared") for _ in range(3)]
    killed = workers[0]
    while not [file for file in (tmp_path / "shared").rglob("*claim-*") if held_by(killed, file)]:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    ended = [(*worker.communicate(timeout=300), worker.returncode) for worker in workers[1:]]
    assert [code for _, _, code in ended] == [0, 0], ended
    ran = [
        re.findall(r"^trial (\d+)/8 ", out, re.MULTILINE)
        for out in (killed.communicate()[0], *(o for o, _, _ in ended))
    ]
    assert sorted(number for numbers in ran for number in numbers) == [str(number) for number in range(1, 9)]
    assert any("sweep.html written" in out for out, _, _ in ended)
    whole = run_process(*sweep, "--workdir=whole")
    assert whole.returncode == 0, whole.stderr
    require_same(tmp_path / "shared", tmp_path / "whole")


def held_by(process: subprocess.Popen[str], claim: Path) -> bool:
    """Whether the process holds this claim of a trial; a claim may be gone by now."""
    try:
        return claim.parent.name == "trials" and claim.read_text().endswith(f", process {process.pid}")
    except FileNotFoundError:
        return False
