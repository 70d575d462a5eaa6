"""What the loader tells the user while it works: one line at a time."""

import sys
from collections.abc import Callable

Warn = Callable[[str], None]


def to_stderr(note: str) -> None:
    """Prints the note where it does not mix with results."""
    print(note, file=sys.stderr)
