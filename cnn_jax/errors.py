"""The project's own errors. Each has the exit code that `run.py` returns, and a message for the user."""

import difflib
from collections.abc import Iterable


class ProjectError(Exception):
    """Base class. A command that raises one ends with one clear line instead of a traceback."""

    exit_code = 1

    def __init__(self, message: str):
        # A user's input may hold line ends and terminal escapes. The message must stay one harmless line.
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message says all, and the lines of the program that it went through say nothing."""
        return [f"{type(self).__name__}: {self}"]


class InputError(ProjectError):
    """The user's input cannot be used: a flag, a value, a file or a folder. Nothing was written."""

    exit_code = 2


class OutOfReachError(InputError):
    """The files of a dataset are not on this machine and cannot be downloaded."""


class DivergedError(ProjectError):
    """The loss or a gradient is not finite. step: the training step where this happened, counted from 1."""

    exit_code = 3

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class MachineError(ProjectError):
    """The machine failed: for example, the disk is full, the run directory is gone, or a stored file is damaged."""

    exit_code = 4


class Interrupted(ProjectError):
    """A signal asked the run to end. The exit code is 128 plus the signal's number, as shells expect."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def printable(text: str) -> str:
    """Writes out characters that cannot be printed, as in `\\n`. A file's name may hold any character."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def unknown_name(subject: str, given: str, kind: str, known: Iterable[str]) -> InputError:
    """An error that suggests the nearest name: `--dataset=mnits: no such dataset. Did you mean mnist? Known: ...`.

    subject: the flag or the place of the name, as in `--dataset`. kind: the word for such a name, as in `dataset`.
    """
    names = sorted(known)
    near = difflib.get_close_matches(given.lower().replace("-", "_"), names, n=1)
    given = given if len(given) <= 60 else given[:57] + "..."
    hint = f" Did you mean {near[0]}?" if near else ""
    return InputError(f"{subject}={given}: no such {kind}.{hint} Known: {', '.join(names)}.")
