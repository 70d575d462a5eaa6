"""Standard output and standard error end no command, wherever they lead and whatever they can show."""

import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnn_jax.output import Output, lasting_output, wrapped
from cnn_jax.report.console import Console

Run = Callable[..., subprocess.CompletedProcess[str]]

PROJECT = Path(__file__).parents[1]
SHORT = ("--experiment=x_and_o", "--train_examples=640", "--epochs=2", "--workdir=run")
ENDLESS = ("--experiment=x_and_o", "--epochs=100000", "--workdir=run")


class Failing(io.StringIO):
    """A stream that takes some lines and then fails, as a terminal that goes away or a disk that fills up."""

    def __init__(self, number: int, lines: int = 0):
        super().__init__()
        self.number, self.lines = number, lines

    def write(self, text: str) -> int:
        if self.lines <= 0:
            raise OSError(self.number, os.strerror(self.number))
        self.lines -= text.count("\n")
        return super().write(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "streams"),
    [
        (errno.EIO, ["stdout", "stderr"]),
        (errno.ENOSPC, ["stdout"]),
        (errno.EPIPE, ["stdout", "stderr"]),
        (errno.ESTALE, ["stderr"]),
    ],
)
def test_training_is_saved_wherever_its_lines_cannot_be_written(
    run_py: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, streams: list[str]
) -> None:
    for name in streams:
        monkeypatch.setattr(sys, name, Failing(number, lines=2))
    finished = run_py(*SHORT, "--progress")
    assert finished.returncode == 0
    assert "Traceback" not in finished.stderr + finished.stdout
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "done"
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        ([*SHORT], errno.ENOSPC, 0),
        ([*SHORT], errno.EPIPE, 0),
        (["--list"], errno.ENOSPC, 4),
        (["--help"], errno.ENOSPC, 4),
        (["--mode=summary"], errno.ENOSPC, 4),
        (["--help"], errno.EPIPE, 141),
    ],
)
def test_result_that_is_printed_alone_and_lost_is_a_failure(
    run_py: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], number: int, code: int
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(number))
    finished = run_py(*arguments)
    said = "" if number == errno.EPIPE else "run.py: standard output could not be written: No space left on device.\n"
    assert (finished.returncode, finished.stderr) == (code, said)


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams",
    [
        ">/dev/full",
        *(
            pytest.param(streams, marks=pytest.mark.slow)
            for streams in (">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-", "| head -1 >&2")
        ),
    ],
)
def test_shell_that_takes_no_output_gets_a_whole_run_and_no_traceback(
    command_environment: dict[str, str], tmp_path: Path, streams: str
) -> None:
    command = f'"{sys.executable}" "{PROJECT / "run.py"}" {" ".join(SHORT)} {streams}'
    finished = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env=command_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "")
    assert len(finished.stderr.splitlines()) <= 1
    assert "Error" not in finished.stderr
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "done"


@pytest.mark.slow
@pytest.mark.parametrize("is_ignored", [False, True], ids=["plain", "nohup"])
def test_terminal_that_goes_away_saves_the_run_or_under_nohup_leaves_it_alone(
    run_py: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_ignored: bool
) -> None:
    """The kernel and the shell each send SIGHUP, and every line fails from then on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)

    def leave(self: Console, row: dict[str, float], epochs: int) -> None:
        monkeypatch.setattr(sys, "stdout", Output(Failing(errno.EIO)))
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(Console, "row", leave)
    try:
        finished = run_py(*SHORT)
        assert finished.returncode == (0 if is_ignored else 129), finished.stderr
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["status"], result["epochs"]) == (("done", 2) if is_ignored else ("interrupted", 1))
    assert (tmp_path / f"run/checkpoints/{result['steps']}/manifest.sha256").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("trap", "code", "status"), [("", 129, "interrupted"), ("trap '' HUP; ", 0, "done")])
def test_real_terminal_that_is_closed_saves_the_run_or_leaves_it_alone(
    command_environment: dict[str, str], tmp_path: Path, trap: str, code: int, status: str
) -> None:
    controller, terminal = pty.openpty()
    flags = ("--experiment=x_and_o", "--epochs=100", "--workdir=run")
    command = ["setsid", "--ctty", "bash", "-c", f'{trap}exec "$@"', "bash", sys.executable, str(PROJECT / "run.py")]
    process = subprocess.Popen(
        [*command, *flags], stdin=terminal, stdout=terminal, stderr=terminal, cwd=tmp_path, env=command_environment
    )
    os.close(terminal)
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert os.read(controller, 4096)
    os.close(controller)
    assert process.wait(120) == code
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == status
    assert list((tmp_path / "run").glob("checkpoints/*/manifest.sha256"))


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "99.07 +- 0.05 %, 3 us, \\u7f51\\u7edc"),
        ("latin-1", "99.07 ± 0.05 %, 3 µs, \\u7f51\\u7edc"),
        ("cp1252", "99.07 ± 0.05 %, 3 µs, \\u7f51\\u7edc"),
        ("gbk", "99.07 ± 0.05 %, 3 us, 网络"),
        ("utf-8", "99.07 ± 0.05 %, 3 µs, 网络"),
    ],
)
def test_characters_that_a_terminal_cannot_show_are_replaced(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    with lasting_output():
        print("99.07 ± 0.05 %, 3 µs, 网络", flush=True)
    assert written.getvalue().decode(encoding) == f"{shown}\n"


@pytest.mark.slow
def test_several_seeds_are_shown_on_an_ascii_terminal(run_py: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert run_py(*SHORT, "--seeds=2").returncode == 0
    assert " +- " in written.getvalue().decode("ascii")
    assert "\\u" not in written.getvalue().decode("ascii")


LINES = """
epoch 1/2   train loss 0.6492  accuracy 67.03 %   validation 0.6045  76.00 %   0.2 s  3,015 images/s
a is better than b: +1.25 percentage points of test accuracy (95 % interval +1.17 to +1.33, 10 seeds); p = 2e-211 now
  --data_dir=PATH             the folder of prepared datasets; default $TFDS_DATA_DIR, else ~/tensorflow_datasets
"""


@pytest.mark.parametrize("columns", [30, 80, 117, 200])
def test_lines_on_a_terminal_are_broken_between_words_alone(columns: int) -> None:
    for line in LINES.splitlines():
        shown = wrapped(line, columns) if len(line) > columns else line
        assert shown.split() == line.split()
        assert all(len(part) <= columns or len(part.split()) == 1 for part in shown.split("\n"))


def test_window_that_says_it_is_a_terminal_and_has_no_size_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    window = io.StringIO()
    monkeypatch.setattr(window, "isatty", lambda: True)
    Output(window).write(LINES)
    assert window.getvalue() == LINES


def test_rest_of_a_description_stands_below_its_beginning() -> None:
    first, *rest = wrapped(LINES.splitlines()[-1], 80).split("\n")
    assert rest
    assert all(line.startswith(" " * first.index("the folder")) for line in rest)
