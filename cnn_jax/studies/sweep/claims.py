"""Claims: which of several processes, on any number of machines, works on something that only one of them should do.

A claim is a file with its holder's name. It is made exclusively, which file servers keep to too, and its holder renews
its time. A claim that was not renewed for long is taken over: the next one, `trial.claim-2` after `trial.claim-1`, is
made exclusively too, so that only one process gets it. The newest claim counts. All times are the file system's,
because the clocks of two machines differ.

Claims save work, and no number rests on them: two processes that train the same trial come to the same row.
"""

import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.errors import printable
from cnn_jax.files import machine_errors

_RENEWALS = 4  # within the time after which a claim is taken over
_LONGEST_HOLDER = 200  # characters


@dataclass(frozen=True)
class Claim:
    """The claim of another process. age: seconds since it was renewed."""

    holder: str
    age: float


@contextmanager
def claimed(path: Path, timeout: float) -> Iterator[Claim | None]:
    """Claims `path` for the block, beside which the claims are, and renews the claim in a thread.

    Gives None, or another's claim that was renewed within `timeout` seconds; then `path` is not claimed. Raises
    MachineError if a claim can be neither read nor written.
    """
    with machine_errors(path.parent):
        number, other = _take(path, timeout)
    if other:
        yield other
        return
    ended = threading.Event()
    # A thread, because compiling takes longer than any pause between two steps of training.
    renewing = threading.Thread(target=_renew, args=(_file(path, number), timeout / _RENEWALS, ended), daemon=True)
    renewing.start()
    try:
        yield None
    finally:
        ended.set()
        renewing.join()
        _release(path, number)


def newest(path: Path) -> Claim | None:
    """The newest claim of `path`, whatever its age; None if there is none. Raises MachineError."""
    with machine_errors(path.parent):
        return _newest(path)[1]


def _newest(path: Path) -> tuple[int, Claim | None]:
    """The number of the newest claim, 0 if there is none, and the claim. Raises OSError."""
    number, claim = 0, None
    while found := _read(_file(path, number + 1)):
        number, claim = number + 1, found
    return number, claim


def _take(path: Path, timeout: float) -> tuple[int, Claim | None]:
    """The number of a claim of our own, which is made here, or of another's, and this one. Raises OSError."""
    number, claim = _newest(path)
    if claim and claim.age < timeout:
        return number, claim
    file = _file(path, number + 1)
    try:
        stream = file.open("x", encoding="utf-8")
    except FileExistsError:  # another process was faster
        return number + 1, _read(file) or Claim("another process", 0.0)
    try:
        with stream:
            stream.write(f"{platform.node()}, process {os.getpid()}")
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return number + 1, None


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.claim-{number}")


def _read(file: Path) -> Claim | None:
    """A claim; None if there is no such file. It counts whatever is in it: a full disk or a crash may have emptied it.

    The file is opened, because file servers answer with the newest time only then.
    """
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            renewed, text = os.fstat(stream.fileno()).st_mtime, stream.read(_LONGEST_HOLDER)
    except FileNotFoundError:
        return None
    return Claim(printable(text.strip()) or "an unknown process", max(0.0, _now(file.parent) - renewed))


def _now(folder: Path) -> float:
    """The time by the clock of the folder's file system: that of a new file."""
    with tempfile.TemporaryFile(dir=folder, prefix=".") as file:
        return os.fstat(file.fileno()).st_mtime


def _renew(file: Path, period: float, ended: threading.Event) -> None:
    while not ended.wait(period):
        with suppress(OSError):  # taken over and gone; or the disk is, as the holder will notice itself
            os.utime(file)


def _release(path: Path, number: int) -> None:
    """Deletes our claim and those that it took over, oldest first; nothing where another has taken ours over."""
    with suppress(OSError):
        if not _file(path, number + 1).exists():
            for old in range(1, number + 1):
                _file(path, old).unlink(missing_ok=True)
