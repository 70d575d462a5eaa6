"""Signals are noted, and answered at the next chunk; those that were ignored stay ignored, and none is required."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnn_jax.errors import Interrupted
from cnn_jax.runs import signals

PROJECT = Path(__file__).parents[2]
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_are_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_signal_asks_the_run_to_end_and_the_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with signals.deferred() as flags:
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=number.name) as end:
            flags.raise_if_ending()
    assert end.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [*ENDING, signal.SIGUSR1])
def test_signal_that_is_ignored_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with signals.deferred() as flags:
        os.kill(os.getpid(), number)
        flags.raise_if_ending()
        assert not flags.take_save()
        assert signal.getsignal(number) == signal.SIG_IGN
        other = next(ending for ending in ENDING if ending != number)
        os.kill(os.getpid(), other)
        assert signal.getsignal(number) == signal.SIG_IGN
    assert signal.getsignal(number) == signal.SIG_IGN


def test_terminal_that_goes_away_does_not_end_at_once_and_ctrl_c_twice_does() -> None:
    with signals.deferred() as flags:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert flags.ending == signal.SIGHUP
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    script = """
import os, signal
from cnn_jax.runs import signals
with signals.deferred():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=PROJECT, timeout=60).returncode == -signal.SIGINT
