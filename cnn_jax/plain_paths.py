"""Paths as libraries can take them: Orbax joins them to patterns for file names, and many take UTF-8 alone.

A folder named `a[1]` or `a\\b`, or one whose name is no UTF-8, gets a link with a plain name meanwhile.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PLAIN = re.compile(r"[\w/. =,+@-]*", re.ASCII)


@contextmanager
def linked(folder: Path) -> Iterator[Path]:
    """A path of plain characters that leads to the folder. Raises OSError where no link can be made."""
    absolute = folder.absolute()
    if _is_plain(absolute):
        yield absolute
        return
    with _temporary_folder(absolute) as temporary:
        link = temporary / "folder"
        link.symlink_to(absolute, target_is_directory=True)
        yield link


@contextmanager
def gathered(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """A folder of plain characters that holds links to these files of the folder, and nothing else."""
    absolute = folder.absolute()
    with _temporary_folder(absolute) as temporary:
        for name in names:
            link = temporary / folder.name / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(absolute / name)
        yield temporary


def _is_plain(path: Path) -> bool:
    return _PLAIN.fullmatch(path.relative_to(path.anchor).as_posix()) is not None


@contextmanager
def _temporary_folder(near: Path) -> Iterator[Path]:
    """A new folder with a plain path, which disappears. Raises OSError where there is no place for one."""
    try:
        usual = [Path(tempfile.gettempdir())]
    except FileNotFoundError:
        usual = []
    for place in (*usual, Path("/tmp"), Path("/var/tmp"), *near.parents):
        if _is_plain(place.absolute()) and os.access(place, os.W_OK | os.X_OK):
            with tempfile.TemporaryDirectory(dir=place, prefix=".cnn_jax.") as folder:
                yield Path(folder)
            return
    raise OSError("it needs a temporary folder for a link with a plain name, and there is none: set TMPDIR")
