"""Several processes on the loopback interface train as one, agree on everything, and end together."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.runs import checkpoint
from tests.conftest import PROJECT

TINY = (
    *("--dataset=x_and_o", "--widths=4,8", "--train_examples=320", "--validation_examples=0", "--batch_size=32"),
    "--workdir=run",
)
LOGISTIC = ("--model=logistic",)
STEPS = 50
ENDLESS = (*TINY, "--epochs=1000000", "--checkpoint_every=1h")
NORMALIZED = '''"""A network with BatchNorm."""

import jax
from flax import linen as nn

from cnn_jax import Config, Experiment


class Normalized(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images, *, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Conv(8, (3, 3))(images))
        return nn.Dense(self.classes)(nn.relu(x).mean((1, 2)))


def experiment():
    return Experiment(Config(model="normalized"), models={"normalized": Normalized})
'''
STUCK = '''"""A network in which the first process hangs, inside a compiled step, as long as a file is there."""

import pathlib
import time

import jax
from flax import linen as nn

from cnn_jax import Config, Experiment


def wait():
    while jax.process_index() == 0 and pathlib.Path("hang").exists():
        time.sleep(1)


class Stuck(nn.Module):
    classes: int
    widths: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, images, train=False):
        jax.debug.callback(wait)
        return nn.Dense(self.classes)(images.reshape(len(images), -1))


def experiment():
    return Experiment(Config(model="stuck"), models={"stuck": Stuck})
'''
FIRST_STEPS = f"""import itertools, json, pathlib, sys
import run
from cnn_jax.runs import execute
from cnn_jax.training import loop, metrics

loop.CHUNK_SECONDS = 0.0
metrics.MetricSums.__add__ = lambda before, batch: batch  # sums over a batch alone: over many, float32 rounds too much
folder = next(word.partition("=")[2] for word in sys.argv if word.startswith("--workdir="))
fit = execute.fit

def first_steps(*arguments):
    losses = []
    for progress in itertools.islice(fit(*arguments), {STEPS}):
        losses.append(progress.train.loss)
        yield progress
    pathlib.Path(folder + "/losses.json").write_text(json.dumps(losses))

execute.fit = first_steps
sys.exit(run.main(sys.argv[1:]))
"""
HANGS = """import sys, time
import run
from cnn_jax.training.loop import Clock

chunks = []
count_device = Clock.count_device

def hang(self):
    chunks.append(1)
    while len(chunks) > 20:
        time.sleep(1)
    return count_device(self)

Clock.count_device = hang
sys.exit(run.main(sys.argv[1:]))
"""


@dataclass
class Ended:
    """A process that has ended. said: on standard error, without what the libraries of jax print."""

    code: int
    printed: str
    said: list[str]
    seconds: float


@dataclass
class Training:
    """The processes of one training, started and left running."""

    processes: Sequence[subprocess.Popen[str]]
    folder: Path

    def wait_for_rows(self) -> None:
        """Waits until training has begun."""
        end = time.monotonic() + 200
        while not (self.folder / "run/metrics.jsonl").exists():
            assert time.monotonic() < end and all(one.poll() is None for one in self.processes), self.ended()
            time.sleep(0.1)

    def ended(self) -> list[Ended]:
        """Waits for all, and gives how they have ended."""
        start = time.monotonic()
        return [self._ended(process, start) for process in self.processes]

    def _ended(self, process: subprocess.Popen[str], start: float) -> Ended:
        printed, said = process.communicate(timeout=300)
        printed = "".join(line for line in printed.splitlines(keepends=True) if not line.startswith("[Gloo]"))
        return Ended(process.returncode, printed, said.splitlines(), time.monotonic() - start)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


Start = Callable[..., Training]


@pytest.fixture
def start(command_environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts `run.py` several times, as typed. each: more arguments of each. programs: others than run.py."""
    started: list[subprocess.Popen[str]] = []
    environment = command_environment | {"PYTHONPATH": str(PROJECT)}

    def begin(
        number: int,
        *arguments: str,
        each: Sequence[Sequence[str]] | None = None,
        address: str | None = None,
        programs: dict[int, str] | None = None,
        prefixes: dict[int, Sequence[str]] | None = None,
    ) -> Training:
        address = address or free_address()
        for index in range(number):
            program = (programs or {}).get(index, str(PROJECT / "run.py"))
            place = [f"--coordinator={address}", f"--num_processes={number}", f"--process_id={index}"]
            more = each[index] if each else ()
            started.append(
                subprocess.Popen(
                    [*(prefixes or {}).get(index, ()), sys.executable, program, *arguments, *place, *more],
                    **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
                    cwd=tmp_path,
                    env=environment,
                )
            )
        return Training(started[-number:], tmp_path)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def rows(folder: Path) -> list[dict]:
    """The rows of a run, without what depends on the time."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in json.loads(line).items() if name not in timed} for line in lines]


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def all_well(ended: list[Ended]) -> list[Ended]:
    assert [one.code for one in ended] == [0] * len(ended), ended
    return ended


def test_two_processes_train_as_one(start: Start, run_py: Callable, tmp_path: Path) -> None:
    """The first one writes and prints."""
    first, second = all_well(start(2, *TINY, "--epochs=2").ended())
    assert "2 x cpu" in first.printed and "x_and_o test loss" in first.printed
    assert (second.printed, second.said) == ("", [])
    assert run_py(*TINY, "--epochs=2", "--workdir=alone").returncode == 0
    together, alone = result(tmp_path / "run"), result(tmp_path / "alone")
    assert together["test_loss"] == pytest.approx(alone["test_loss"], abs=1e-5)
    assert together["test_accuracy"] == alone["test_accuracy"]
    [step] = checkpoint.steps(tmp_path / "run/checkpoints")
    assert {path.name for path in (tmp_path / f"run/checkpoints/{step}/default").glob("ocdbt*")} == {
        "ocdbt.process_0",
        "ocdbt.process_1",
    }


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lecture_cnn", "normalized.py"])
def test_two_and_four_processes_have_the_losses_of_one(
    start: Start, mnist_data_dir: Path, tmp_path: Path, model: str
) -> None:
    """To 1e-5 over the first 50 steps, of a loss above 1 as a share; the same test count; and again the same bits."""
    (tmp_path / "normalized.py").write_text(NORMALIZED)
    (tmp_path / "first_steps.py").write_text(FIRST_STEPS)

    def losses(number: int, folder: str) -> np.ndarray:
        arguments = (f"--experiment={model}", "--batch_size=64", f"--data_dir={mnist_data_dir}", f"--workdir={folder}")
        all_well(start(number, *arguments, programs=dict.fromkeys(range(number), "first_steps.py")).ended())
        return np.array(json.loads((tmp_path / folder / "losses.json").read_text()))

    alone = losses(1, "alone")
    assert alone.shape == (STEPS,)
    for number in (2, 4):
        first, again = (losses(number, f"{folder}{number}") for folder in ("first", "again"))
        np.testing.assert_array_less(np.abs(first - alone), 1e-5 * np.maximum(1, alone))
        np.testing.assert_array_equal(first, again)
        assert result(tmp_path / f"first{number}")["test_accuracy"] == result(tmp_path / "alone")["test_accuracy"]
        assert predictions(tmp_path / f"first{number}") == predictions(tmp_path / f"again{number}")


def predictions(folder: Path) -> bytes:
    return (folder / "predictions.npz").read_bytes()


@pytest.mark.slow
def test_seeds_are_spread_over_processes(start: Start, run_py: Callable, tmp_path: Path) -> None:
    arguments = (*TINY, "--epochs=2", "--seeds=2")
    all_well(start(2, *arguments, "--mesh=seed:2").ended())
    assert run_py(*arguments, "--workdir=alone", "--seed_strategy=loop").returncode == 0
    for seed in (0, 1):
        together, alone = (result(tmp_path / f"{folder}/seed-{seed}") for folder in ("run", "alone"))
        assert together["test_loss"] == pytest.approx(alone["test_loss"], abs=1e-5)
        assert together["test_accuracy"] == alone["test_accuracy"]


@pytest.mark.slow
def test_run_goes_on_with_any_number_of_processes(start: Start, run_py: Callable, tmp_path: Path) -> None:
    """Equal to rounding, and a line says so."""
    assert run_py(*TINY, "--epochs=4", "--workdir=alone").returncode == 0
    all_well(start(2, *TINY, "--epochs=1").ended())
    assert "The numbers may differ in their last digits" in run_py(*TINY, "--epochs=2").stderr
    [first, *_] = all_well(start(4, *TINY, "--epochs=3").ended())
    assert any("1 x cpu" in line and "4 x cpu" in line for line in first.said)
    all_well(start(2, *TINY, "--epochs=4").ended())
    losses = [[row["train_loss"] for row in rows(tmp_path / folder)] for folder in ("run", "alone")]
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)
    assert len(json.loads((tmp_path / "run/machine.json").read_text())["history"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_signal_to_one_process_saves_and_ends_all(start: Start, tmp_path: Path, index: int) -> None:
    training = start(2, *ENDLESS)
    training.wait_for_rows()
    training.processes[index].send_signal(signal.SIGTERM)
    for ended in training.ended():
        assert (ended.code, ended.said[-1]) == (143, "run.py: Interrupted by SIGTERM.")
        assert ended.seconds < 10
    assert result(tmp_path / "run")["status"] == "interrupted"
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [result(tmp_path / "run")["steps"]]


@pytest.mark.slow
def test_time_limit_of_the_first_ends_all(start: Start, tmp_path: Path) -> None:
    all_well(start(2, *ENDLESS, each=[["--max_time=3s"], []]).ended())
    assert result(tmp_path / "run")["status"] == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "index"), [(signal.SIGKILL, 1), (signal.SIGSTOP, 1), (signal.SIGSTOP, 0)])
def test_process_that_is_lost_is_named_by_the_others(start: Start, number: signal.Signals, index: int) -> None:
    training = start(2, *ENDLESS)
    training.wait_for_rows()
    training.processes[index].send_signal(number)
    other = Training(training.processes[1 - index : 2 - index], training.folder)
    [ended] = other.ended()
    assert ended.seconds < 30
    assert ended.code == 4
    assert re.search(rf"run.py: process {index} \(.*\) has ended or hangs", ended.said[-1]), ended.said


@pytest.mark.slow
def test_process_that_hangs_is_named_by_all(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    training = start(2, *ENDLESS, programs={1: "hangs.py"})
    training.wait_for_rows()
    for ended in training.ended():
        assert ended.seconds < 30
        assert ended.code == 4
        assert re.search(r"process 1 \(.*\) has ended or hangs", ended.said[-1]), ended.said


@pytest.mark.slow
def test_step_that_hangs_ends_all(start: Start, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    training = start(2, *ENDLESS, "--experiment=stuck.py")
    training.wait_for_rows()
    (tmp_path / "hang").touch()
    for index, ended in enumerate(training.ended()):
        assert ended.seconds < 30
        assert ended.code == 4
        assert re.search(rf"have not ended in time on process {index} \(.*\)|process 0 .* has ended", ended.said[-1])


@pytest.mark.slow
def test_full_disk_of_the_first_ends_all(start: Start, tmp_path: Path) -> None:
    full = ["bash", "-c", 'ulimit -f 2 && exec "$@"', "bash"]
    for ended in start(2, *ENDLESS, "--checkpoint_every=0", "--nocompilation_cache", prefixes={0: full}).ended():
        assert ended.code == 4
        assert "File too large" in ended.said[-1], ended.said


@pytest.mark.slow
def test_killed_training_that_is_started_again_equals_the_uninterrupted_one_to_the_bit(
    start: Start, tmp_path: Path
) -> None:
    arguments = (*TINY, "--epochs=400", "--checkpoint_every=1s")
    all_well(start(2, *arguments, "--workdir=whole").ended())
    training = start(2, *arguments)
    training.wait_for_rows()
    time.sleep(2)
    for process in training.processes:
        process.kill()
    training.ended()
    assert not (tmp_path / "run/result.json").exists()
    all_well(start(2, *arguments).ended())
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert predictions(tmp_path / "run") == predictions(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("each", "message"),
    [
        ([[], ["--learning_rate=0.1"]], r"process 1 \(.*\) differs from process 0: --learning_rate is 0.1 instead of"),
        ([[], ["--model.widths=4,9"]], r"differs from process 0: --model.widths is \[4, 9\] instead of \["),
        ([["--experiment=a/net.py"], ["--experiment=b/net.py"]], r"differs from process 0: the experiment's code is"),
        ([["--dataset=arrays", *LOGISTIC, f"--dataset_dir={name}.npz"] for name in "ab"], "the data's fingerprint is"),
        (2 * [["--mesh=data:4", *LOGISTIC]], "--mesh=data:4: needs 4 devices, and there are 2"),
        (2 * [["--batch_size=33", "--mesh=data:2", *LOGISTIC]], "2 devices cannot share a batch of 33 images evenly"),
        (2 * [["--learning_rate=x"]], "--learning_rate=x"),
    ],
)
def test_processes_that_differ_are_refused(
    start: Start, tmp_path: Path, each: Sequence[Sequence[str]], message: str
) -> None:
    for seed, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(NORMALIZED.replace("Conv(8", f"Conv({8 + seed}"))
        images = np.random.default_rng(seed).integers(0, 255, (400, 8, 8, 1), dtype=np.uint8)
        np.savez(
            tmp_path / f"{folder}.npz", train_images=images, train_labels=np.arange(400) % 3, test_images=images[:30],
            test_labels=np.arange(30) % 3,
        )  # fmt: skip
    for ended in start(2, *TINY[2:], each=[["--dataset=x_and_o", *arguments] for arguments in each]).ended():
        assert ended.code == 2, ended
        assert re.search(message, ended.said[-1]), ended.said
    assert not (tmp_path / "run").exists()


def refused(run_process: Callable, *arguments: str) -> str:
    ended = run_process(*TINY, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_processes=2", "--process_id=2"], "--process_id=2: must be between 0 and 1, for 2 processes."),
        (["--num_processes=0", "--process_id=0"], "--num_processes=0: must be at least 1."),
        (["--num_processes=2", "--process_id=0", "--join_timeout=0.2s"], "process 1 did not join within 0.2 s."),
        (["--num_processes=2", "--process_id=1", "--join_timeout=0.2s"], "process 0 cannot be reached within 0.2 s"),
        (["--process_id=1"], "--num_processes: is needed too"),
        (["--coordinator=here"], "--coordinator=here: must be an address, as in 10.0.0.1:1234."),
        (["--coordinator=192.0.2.1:1", "--num_processes=2", "--process_id=0"], "process 0 cannot listen there"),
        (["--mode=compare", "--num_processes=2"], "--coordinator: has no meaning with --mode=compare."),
    ],
)
def test_place_that_cannot_be_is_one_line(run_py: Callable, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(run_py, f"--coordinator={free_address()}", *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_second_job_on_one_port_is_sent_away(start: Start, run_process: Callable) -> None:
    """And the first one goes on, whose coordinator listens on the given address alone."""
    address = free_address()
    training = start(2, *ENDLESS, address=address)
    training.wait_for_rows()
    loopback = "0100007F"
    assert listening(int(address.rpartition(":")[2])) <= {loopback, f"0000000000000000FFFF0000{loopback}"}
    for index in (0, 1):
        said = refused(
            run_process, "--workdir=other", f"--coordinator={address}", "--num_processes=2", f"--process_id={index}"
        )
        assert "port" in said
    time.sleep(3)
    assert all(one.poll() is None for one in training.processes)


def listening(port: int) -> set[str]:
    """The addresses, in the kernel's hexadecimal form, on which something listens at this port."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    places = [fields[1].split(":") for fields in lines if fields[3] == "0A"]
    return {host for host, number in places if int(number, 16) == port}
