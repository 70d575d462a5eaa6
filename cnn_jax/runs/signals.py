"""Signals that ask something of a run. They are noted when they arrive, and answered between two chunks of steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cnn_jax.errors import Interrupted

# Not every system has all of them. A terminal that goes away sends SIGHUP; on Windows, SIGBREAK.
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
_ENDING_AT_ONCE = (signal.SIGINT, signal.SIGTERM)  # when they come again
_SAVING = [signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []


@dataclass
class SignalFlags:
    """What signals have asked for so far. ending: the number of the first signal that asks the run to end."""

    ending: int | None = None
    save: bool = False

    def raise_if_ending(self) -> None:
        """Raises Interrupted if SIGINT, SIGTERM or SIGHUP has arrived."""
        if self.ending is not None:
            raise Interrupted(f"Interrupted by {signal.Signals(self.ending).name}.", self.ending)

    def take_save(self) -> bool:
        """Whether SIGUSR1 has arrived since the last call."""
        is_asked, self.save = self.save, False
        return is_asked


@contextmanager
def deferred() -> Iterator[SignalFlags]:
    """Notes SIGINT, SIGTERM, SIGHUP and SIGUSR1 instead of obeying them. A second SIGINT or SIGTERM ends at once.

    A signal that is ignored stays ignored, as SIGHUP under `nohup`. Outside the main thread, where Python allows no
    handlers, signals stay as they are.
    """
    flags = SignalFlags()
    if threading.current_thread() is not threading.main_thread():
        yield flags
        return
    handlers = {number: signal.getsignal(number) for number in (*_ENDING, *_SAVING)}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def end(number: int, frame: object) -> None:
        flags.ending = flags.ending or number
        if number in _ENDING_AT_ONCE:  # a terminal that goes away sends SIGHUP twice: the kernel does, and the shell
            for again in before.keys() & set(_ENDING_AT_ONCE):
                signal.signal(again, signal.SIG_DFL)

    def save(number: int, frame: object) -> None:
        flags.save = True

    for number in before:
        signal.signal(number, end if number in _ENDING else save)
    try:
        yield flags
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def blocked() -> Iterator[None]:
    """Keeps from processes that the block starts what a terminal sends to all: Ctrl-C, and SIGHUP when it goes away."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
