"""Signals that ask a run to end: noted when they come, answered between two chunks."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cnn_jax.errors import Interrupted

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Gives a function that raises Interrupted if SIGINT or SIGTERM has come; a second one acts at once.

    Outside the main thread, where Python allows no handlers, signals stay as they are.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in _ENDING}

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def raise_if_received() -> None:
        if received:
            raise Interrupted(f"Interrupted by {signal.Signals(received[0]).name}.", received[0])

    for number in _ENDING:
        signal.signal(number, note)
    try:
        yield raise_if_received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
