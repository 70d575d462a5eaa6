"""Signals that ask something of a run. They are noted when they arrive, and answered between two chunks of steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cnn_jax.errors import Interrupted

_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class SignalFlags:
    """What signals have asked for so far. ending: the number of the signal that asks the run to end."""

    ending: int | None = None
    save: bool = False

    def raise_if_ending(self) -> None:
        """Raises Interrupted if SIGINT or SIGTERM has arrived."""
        if self.ending is not None:
            raise Interrupted(f"Interrupted by {signal.Signals(self.ending).name}.", self.ending)

    def take_save(self) -> bool:
        """Whether SIGUSR1 has arrived since the last call."""
        is_asked, self.save = self.save, False
        return is_asked


@contextmanager
def deferred() -> Iterator[SignalFlags]:
    """Notes SIGINT, SIGTERM and SIGUSR1 instead of obeying them. A second SIGINT or SIGTERM ends the process at once.

    Outside the main thread, where Python allows no handlers, signals stay as they are.
    """
    flags = SignalFlags()
    if threading.current_thread() is not threading.main_thread():
        yield flags
        return
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGUSR1)}

    def end(number: int, frame: object) -> None:
        flags.ending = number
        for ending in _ENDING:
            signal.signal(ending, signal.SIG_DFL)

    def save(number: int, frame: object) -> None:
        flags.save = True

    for number in _ENDING:
        signal.signal(number, end)
    signal.signal(signal.SIGUSR1, save)
    try:
        yield flags
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
