"""Real processes that are killed (SIGKILL) at random moments of training, again and again."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import experiments
from cnn_jax.experiment import Experiment
from cnn_jax.runs.directory import RunDirectory
from tests import bitwise_diff
from tests.conftest import PROJECT

KILLS = 20
TRAINING_BEGINS = "compiled in"  # a run prints a line with these words, and then trains
# Every experiment is made small enough for a run of some seconds.
SHRUNK = {
    "rgb200": ("--widths=4,8,8", "--train_examples=100", "--batch_size=8", "--epochs=3"),
    "x_and_o": ("--train_examples=5000", "--epochs=3"),
    "resnet": ("--depth=8", "--train_examples=1280", "--epochs=3"),
}


class Program:
    """`python run.py` with these flags, as processes of their own."""

    def __init__(self, flags: Sequence[str], environment: dict[str, str], folder: Path):
        self.command = [sys.executable, str(PROJECT / "run.py"), *flags, "--checkpoint_every=0.1"]
        self.environment, self.folder = environment, folder

    def finish(self, workdir: Path) -> None:
        """Runs the command until it ends by itself."""
        command = [*self.command, f"--workdir={workdir}"]
        subprocess.run(command, check=True, timeout=600, cwd=self.folder, env=self.environment)

    def kill_after(self, seconds: float, workdir: Path) -> bool:
        """Kills the command so many seconds after training begins; returns whether it was still running then."""
        command = [*self.command, f"--workdir={workdir}"]
        pipe = {"stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipe) as process:
            assert process.stdout is not None
            is_training = any(TRAINING_BEGINS in line for line in process.stdout)
            try:
                process.wait(timeout=seconds if is_training else None)
            except subprocess.TimeoutExpired:
                process.kill()
                return True
            assert process.returncode == 0
            return False


def require_same_bits_after_kills(program: Program, folder: Path, experiment: Experiment | None = None) -> None:
    """Holds that a run that is killed 20 times at random moments comes to the same bits as one that is not.

    experiment: has the parts, where they are a user's.
    """
    whole = folder / "whole"
    program.finish(whole)
    seconds = RunDirectory(whole).finished_result().train_seconds
    kills, runs, moments = 0, 0, random.Random(0)
    while kills < KILLS:
        runs += 1
        killed, left = folder / f"killed-{runs}", KILLS - kills
        # The moments spread the kills over about one run. Where it ends before that, another run takes the others.
        while kills < KILLS and program.kill_after(moments.uniform(0, 3 * seconds / left), killed):
            kills += 1
        program.finish(killed)
        found = list(bitwise_diff.differences(whole, killed, experiment))
        assert found == [], f"run {runs} after {kills} kills"


@pytest.mark.long
@pytest.mark.parametrize("name", experiments.names())
def test_run_killed_20_times_at_random_moments_comes_to_the_same_bits(
    name: str, command_environment: dict[str, str], tmp_path: Path
) -> None:
    shrunk = SHRUNK.get(name, ("--train_examples=6400", "--epochs=3"))
    require_same_bits_after_kills(Program((f"--experiment={name}", *shrunk), command_environment, tmp_path), tmp_path)


@pytest.mark.long
def test_run_that_keeps_its_best_epoch_comes_to_the_same_bits_after_20_kills(
    command_environment: dict[str, str], tmp_path: Path
) -> None:
    best = ("--keep=best", "--monitor=loss", "--patience=4", "--validation_examples=500", "--keep_checkpoints=1")
    shrunk = ("--train_examples=1280", "--epochs=30", "--optimizer=adam", "--learning_rate=0.01")
    flags = ("--experiment=lecture_cnn", *best, *shrunk)
    require_same_bits_after_kills(Program(flags, command_environment, tmp_path), tmp_path)
