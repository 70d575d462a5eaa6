"""The terminal gets tables with whole words and one line of progress; files get neither colours nor progress."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import run
from cnn_jax.report import console
from cnn_jax.report.console import Console, fits
from cnn_jax.report.tables import Table
from tests.conftest import first_quick

TABLE = Table(
    "Scores",
    ["model", "test accuracy", "95 % interval", "multiply-adds an image", "standard deviation"],
    [["lecture_cnn_no_pooling", "98.94 %", "98.84 to 99.04", "12,345,678", "0.09"]],
)

PROGRESS = """
import time
from cnn_jax.report.console import Console
from cnn_jax.training.metrics import Score
console = Console()
with console.bar(epochs=3, epoch_steps=100) as show:
    for step in range(1, 301):
        show(step, Score(0.1234, 0.9731, 10), 12345.0)
        time.sleep(0.005)
        if step % 100 == 0:
            console.line(f"epoch {step // 100} is done")
"""


def on_terminal(code: str, columns: int, **variables: str) -> str:
    """What a program writes to a terminal of this width. variables: of its environment."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = (
        {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"} | variables
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    written = b""
    while True:
        try:
            written += os.read(controller, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
    assert process.wait(60) == 0, written.decode()
    return written.decode()


@pytest.mark.parametrize("columns", first_quick([40, 80, 120]))
def test_progress_is_one_line_of_the_terminal_that_disappears(columns: int) -> None:
    written = on_terminal(PROGRESS, columns)
    assert "\x1b[?25l" not in written.rpartition("\x1b[?25h")[2], "the cursor is hidden"
    drawn = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written))
    bars = [line for line in drawn if " left" in line]
    assert 3 <= len(bars) < 30, "updates a few times per second"
    assert max(map(len, bars)) <= columns
    assert all(line.startswith("epoch ") for line in bars)
    assert re.match(
        "epoch 3/3" if columns == 40 else r"epoch 3/3 · loss 0.1234 · accuracy 97.31 % · 12,345 im", bars[-1]
    )
    assert [line for line in drawn if "is done" in line] == [f"epoch {epoch} is done" for epoch in (1, 2, 3)]


def test_progress_does_nothing_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    exec(PROGRESS, {})
    assert capfd.readouterr() == ("".join(f"epoch {epoch} is done\n" for epoch in (1, 2, 3)), "")


def test_progress_in_a_notebook_replaces_itself_and_stays(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(console, "in_notebook", lambda: True)
    monkeypatch.setattr(console, "notebook_place", lambda: lambda html, text: shown.append((html, text)))
    exec(PROGRESS, {})
    assert capfd.readouterr().err == ""
    assert 3 <= len(shown) < 30, "updates a few times per second"
    assert shown[0] == ('<progress value="0" max="300"></progress> epoch 1/3', "epoch 1/3")
    html, text = shown[-1]
    assert text == "epoch 3/3 · loss 0.1234 · accuracy 97.31 % · 12,345 images/s"
    assert html == f'<progress value="300" max="300"></progress> {text}'


@pytest.mark.parametrize("columns", [30, 80, 200])
def test_table_breaks_no_word_of_its_headings(columns: int) -> None:
    code = (
        f"from cnn_jax.report.console import Console; from cnn_jax.report.tables import Table; Console().table({TABLE})"
    )
    written = on_terminal(code, columns)
    for heading in TABLE.headings:
        for word in heading.split():
            assert word in written
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written).splitlines()
    assert columns == 30 or max(map(len, lines)) <= columns


def test_table_in_a_file_has_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(TABLE)
    assert "lecture_cnn_no_pooling │ 98.94 % " in " ".join(capsys.readouterr().out.split()).replace("  ", " ") + " "


@pytest.mark.parametrize("row", [["a", "1"], ["longer", "12,345"], ["two words", ""]])
def test_table_fits_into_as_many_columns_as_it_takes(row: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("", ["class", "number"], [row])
    Console(progress=False).table(table)
    width = max(map(len, capsys.readouterr().out.splitlines()))
    assert fits(table, width) and not fits(table, width - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "unwanted"),
    [
        ({"NO_COLOR": "1"}, r"\x1b\[[0-9;]*m"),
        *(({"TERM": terminal}, r"\x1b| left") for terminal in ("dumb", "unknown")),
    ],
    ids=str,
)
def test_terminal_without_colours_gets_none_and_one_that_moves_no_cursor_gets_no_bar(
    variables: dict[str, str], unwanted: str
) -> None:
    written = on_terminal(
        f"{PROGRESS}\nfrom cnn_jax.report.tables import Table; console.table({TABLE})", 80, **variables
    )
    assert "epoch 3 is done" in written
    assert "lecture_cnn_no_pooling" in written
    assert not re.search(unwanted, written)


def test_help_and_list_fit_into_80_columns_with_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "--list"):
        run.main([flag])
        plain = capsys.readouterr().out
        shown = on_terminal(f"import run; run.main([{flag!r}])", 80)
        assert max(map(len, shown.splitlines())) <= 80
        assert shown.split() == plain.split()


class Terminal(io.StringIO):
    """A terminal, as wide as `$COLUMNS` says."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


CELLS = st.lists(st.text("abcW-.+%e1234名й", min_size=1, max_size=20), max_size=4).map(" ".join)
TABLES = st.integers(1, 7).flatmap(
    lambda columns: st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=2, max_size=4)
)


@given(table=TABLES, columns=st.integers(20, 130))
def test_no_table_breaks_a_word_at_any_width(table: list[list[str]], columns: int) -> None:
    shown = Terminal()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        Console().table(Table("title", table[0], table[1:]))
    words = re.split(r"[\s│┃]+", shown.getvalue())
    assert {word for row in table for cell in row for word in cell.split()} <= set(words)


WIDE = Table("名前", ["モデル", "p (Holm)"], [["畳み込みニューラルネットワーク", "2e-211"], ["dense", "0.5"]])


def test_columns_of_wide_characters_are_as_wide_as_a_terminal_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(WIDE)
    _, *lines = capsys.readouterr().out.splitlines()
    assert len({cell_len(line) for line in lines}) == 1
    assert any("2e-211" in line for line in lines)
    assert any("畳み込みニューラルネットワーク" in line for line in lines)
