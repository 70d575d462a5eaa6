"""Signals that ask something of a run: noted when they come, answered between two chunks."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cnn_jax.errors import Interrupted

_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Requests:
    """What signals have asked for so far. ending: the number of the signal that asks the run to end."""

    ending: int | None = None
    save: bool = False

    def raise_if_ending(self) -> None:
        """Raises Interrupted if SIGINT or SIGTERM has come."""
        if self.ending is not None:
            raise Interrupted(f"Interrupted by {signal.Signals(self.ending).name}.", self.ending)

    def take_save(self) -> bool:
        """Whether SIGUSR1 has come since the last call."""
        asked, self.save = self.save, False
        return asked


@contextmanager
def deferred() -> Iterator[Requests]:
    """Notes SIGINT, SIGTERM and SIGUSR1 instead of obeying; a second SIGINT or SIGTERM acts at once.

    Outside the main thread, where Python allows no handlers, signals stay as they are.
    """
    requests = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGUSR1)}

    def end(number: int, frame: object) -> None:
        requests.ending = number
        for ending in _ENDING:
            signal.signal(ending, signal.SIG_DFL)

    def save(number: int, frame: object) -> None:
        requests.save = True

    for number in _ENDING:
        signal.signal(number, end)
    signal.signal(signal.SIGUSR1, save)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
