"""Advice never destroys: no message leads to the loss of training that could be kept."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

SHORT = ("--experiment=logistic", "--dataset=x_and_o", "--train_examples=300", "--checkpoint_every=0")


@pytest.fixture
def trained(run_py: Run, tmp_path: Path) -> Path:
    """A finished run of two epochs."""
    assert run_py(*SHORT, "--epochs=2", "--workdir=run").returncode == 0
    return tmp_path / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_overwriting_what_is_to_be_resumed_is_refused(run_py: Run, trained: Path) -> None:
    before = content(trained)
    refused = run_py(*SHORT, "--epochs=2", "--workdir=run", "--overwrite", "--resume_from=5")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "the first deletes the run that the second resumes" in refused.stderr
    assert content(trained) == before


@pytest.mark.slow
def test_overwrite_says_what_it_deletes_and_how_much_training_that_was(run_py: Run, trained: Path) -> None:
    said = run_py(*SHORT, "--epochs=1", "--workdir=run", "--overwrite").stderr
    assert "--overwrite deletes the run in run: 2 epochs, " in said
    assert said.endswith("s of training\n")
    assert run_py(*SHORT, "--epochs=1", "--seeds=2", "--workdir=seeds").returncode == 0
    said = run_py(*SHORT, "--epochs=1", "--seeds=1", "--workdir=seeds", "--overwrite").stderr
    assert "--overwrite deletes all seeds in seeds: seed 0, 1 epoch, " in said
    assert "; seed 1, 1 epoch, " in said


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [None, *[b"{", b"", b"[]"]])
def test_run_whose_machine_json_is_lost_is_resumed_and_that_is_said(
    damaged: bytes | None, run_py: Run, trained: Path
) -> None:
    if damaged is None:
        (trained / "machine.json").unlink()
    else:
        (trained / "machine.json").write_bytes(damaged)
    resumed = run_py(*SHORT, "--epochs=3", "--workdir=run")
    assert resumed.returncode == 0
    assert "machine.json: missing or damaged" in resumed.stderr
    assert "resumes from step 10" in resumed.stdout
    assert json.loads((trained / "machine.json").read_text())["data_fingerprint"]


@pytest.mark.slow
def test_empty_result_beside_good_checkpoints_costs_no_training(run_py: Run, trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    (trained / "result.json").write_bytes(b"")
    refused = run_py(*SHORT, "--epochs=2", "--workdir=run")
    assert (refused.returncode, "--overwrite" in refused.stderr) == (2, False)
    assert "Move it away" in refused.stderr
    (trained / "result.json").rename(trained.parent / "away")  # as it says
    again = run_py(*SHORT, "--epochs=2", "--workdir=run")
    assert "resumes from step 10, 2 of 2 epochs done" in again.stdout
    assert json.loads((trained / "result.json").read_text())["test_loss"] == result["test_loss"]


def test_finished_run_without_a_checkpoint_is_not_deleted_for_more_epochs(run_py: Run, trained: Path) -> None:
    (trained / "checkpoints").rename(trained.parent / "elsewhere")
    before = content(trained)
    refused = run_py(*SHORT, "--epochs=3", "--workdir=run")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "has a result, but no checkpoint to resume from" in refused.stderr
    assert content(trained).items() >= before.items()


@pytest.mark.slow
def test_sweep_deletes_its_own_folders_alone(run_py: Run, tmp_path: Path) -> None:
    sweep = ("--mode=sweep", *SHORT[:-1], "--epochs=1", "--seeds=1", "--sweep=learning_rate=0.1", "--workdir=sweep")
    assert run_py(*sweep).returncode == 0
    (tmp_path / "sweep" / "winner notes.txt").write_text("mine")
    again = run_py(*sweep, "--overwrite")
    assert again.returncode == 0, again.stderr
    assert "--overwrite deletes the sweep in sweep: 1 trial" in again.stderr
    assert (tmp_path / "sweep" / "winner notes.txt").read_text() == "mine"
