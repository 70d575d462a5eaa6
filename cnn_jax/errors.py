"""The project's own errors. Each carries the exit code that `run.py` ends with; its text is for people."""

import difflib
from collections.abc import Iterable


class ProjectError(Exception):
    """Base of the errors that end a command with one clear line instead of a traceback."""

    exit_code = 1

    def __init__(self, message: str):
        # What a user gave may hold line ends and terminal escapes; the message stays one line and harmless.
        super().__init__(printable(message))


class InputError(ProjectError):
    """What the user gave cannot be used: a flag, a value, a file or a folder. Nothing was written."""

    exit_code = 2


class OutOfReachError(InputError):
    """A dataset's files are not on this machine, and the network does not give them."""


class DivergedError(ProjectError):
    """Training reached a loss or a gradient that is not finite. step: where, counted from 1."""

    exit_code = 3

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class MachineError(ProjectError):
    """The machine failed: the disk is full, the run directory is gone, a stored file is damaged."""

    exit_code = 4


class Interrupted(ProjectError):
    """A signal asked the run to end. Its exit code is 128 plus the signal's number, as shells expect."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def printable(text: str) -> str:
    """The text with what cannot be printed written out, as in `\\n`: a file's name may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def unknown_name(subject: str, given: str, kind: str, known: Iterable[str]) -> InputError:
    """An error that names the near miss: `--dataset=mnits: no such dataset. Did you mean mnist? Known: ...`.

    subject: what the user wrote or where, as in `--dataset` (the given name is put behind it).
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1)
    given = given if len(given) <= 60 else given[:57] + "..."
    hint = f" Did you mean {near[0]}?" if near else ""
    return InputError(f"{subject}={given}: no such {kind}.{hint} Known: {', '.join(names)}.")
