"""Kill a run at random moments, start it again until it is done, and compare it with one that nothing disturbed."""

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.errors import InputError, ProjectError
from cnn_jax.report.console import Console
from cnn_jax.runs import comparison, directory
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

RUNS = Path("runs")
_TRAINS = "compiled in"  # a line of a run that holds this is followed by training


class SelftestFailed(ProjectError):
    """A run that was killed came to something else, or a process ended by itself."""


def run(
    config: Config,
    *,
    program: Path,
    kills: int = 20,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
) -> int:
    """Trains `config` once undisturbed, and then under so many kills (SIGKILL); returns the number of runs compared.

    The processes are `program`'s. Where a run is done before all kills were used, another one begins. Raises
    SelftestFailed where a killed run differs in anything but its times.
    """
    if kills < 1:
        raise InputError(f"--kills={kills}: must be at least 1.")
    folder = workdir or directory.numbered(RUNS, f"selftest-{config.experiment}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--workdir={folder}: is not an empty folder. Name a new one.")
    compilation.start(persistent_cache=False)
    console = Console()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        directory.write_at_once(folder / "config.json", config.to_json())
    except OSError as error:
        raise InputError(f"--workdir={folder}: cannot be written: {error.strerror}.") from None
    places = {"data_dir": data_dir, "manual_dir": manual_dir}
    command = [sys.executable, str(program), f"--config={folder / 'config.json'}", "--checkpoint_every=0.1"]
    command += [f"--{name}={value}" for name, value in places.items() if value]

    console.line("one run undisturbed")
    whole = folder / "whole"
    _finish(command, whole)
    seconds = vars(RunDirectory(whole).finished_result())["train_seconds"]
    like = programs.saved_shapes(config, data.spec(config.dataset), meshes.over_all_devices())
    runs, used, moments = 0, 0, random.Random(config.seed)
    while used < kills:
        runs += 1
        killed = folder / f"killed-{runs}"
        wanted = kills - used
        used += _kill_and_restart(command, killed, wanted, seconds, moments, console)
        _finish(command, killed)
        differing = list(comparison.differences(whole, killed, like))
        if differing:
            raise SelftestFailed(f"{killed} differs from {whole}: {'; '.join(differing)}.")
        console.line(f"{killed}: the same to the bit")
    console.line(f"{used} kills, {runs} runs: parameters, optimizer state, rows and test logits are the same")
    return runs


def _kill_and_restart(
    command: Sequence[str], workdir: Path, kills: int, seconds: float, moments: random.Random, console: Console
) -> int:
    """Starts a run and kills it, up to so many times; returns how often it was killed before it was done.

    seconds: what all of its training takes. The moments are drawn so that the kills spread over about one run.
    """
    used = 0
    while used < kills:
        wait = moments.uniform(0, 3 * seconds / kills)
        with subprocess.Popen([*command, f"--workdir={workdir}"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            training = next((line for line in process.stdout if _TRAINS in line), None)
            try:
                process.wait(timeout=wait if training else None)
                return used
            except subprocess.TimeoutExpired:
                process.kill()
        used += 1
        console.line(f"killed {wait:.2f} s into training, {len(list((workdir / 'checkpoints').glob('*')))} checkpoints")
    return used


def _finish(command: Sequence[str], workdir: Path) -> None:
    finished = subprocess.run([*command, f"--workdir={workdir}"], capture_output=True, text=True)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise SelftestFailed(f"{workdir}: ended with exit code {finished.returncode}: {last}")
