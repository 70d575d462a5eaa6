"""The directory of a sweep: what all trials start from, a row for each of them, and the winner's runs.

`base.json` is the Config (not `config.json`: this is no run), `machine.json` the machine, `sweep.jsonl` has a row a
trial, in the order in which they ended, `sweep.json` the record, `sweep.html` the page, `winner` a run of many seeds.
"""

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.errors import InputError
from cnn_jax.runs.directory import RunDirectory, begun, delete, entries, write_at_once, writing

Row = dict[str, Any]

NUMBERS = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "seconds", "images_per_second")
_COUNTS = ("epochs", "steps")
_OURS = ("machine.json", "sweep.jsonl", "sweep.json", "sweep.html")
_LARGEST_ROWS = 1 << 28  # bytes; a row is some three hundred


@dataclass(frozen=True)
class SweepDirectory:
    """The files of a sweep at `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    def is_there(self) -> bool:
        """Whether there is a sweep here; InputError where there is something else that must not be touched."""
        there = entries(self.path)
        if there and not (self.path / "base.json").is_file():
            raise InputError(f"--workdir={self.path}: holds files, but no sweep. Name a new or empty folder.")
        return bool(there)

    def kept(self, base: Config) -> dict[Config, Row]:
        """The rows of the trials that have ended, by their configs. A last line that was cut off is none.

        Raises InputError where the trials of another config are here, or where the file is damaged.
        """
        if not self.is_there():
            return {}
        before = configs.from_file(self.path / "base.json")
        if changed := configs.differences(before, base):
            fields = "; ".join(f"{name}: {old!r} there, {new!r} now" for name, (old, new) in changed.items())
            raise InputError(
                f"--workdir={self.path}: holds a sweep that starts from another config ({fields}). "
                "Name another --workdir, or use --overwrite to delete that sweep."
            )
        file = self.path / "sweep.jsonl"
        try:
            rows = [_row(base, line) for line in self._whole_lines().splitlines()]
        except (OSError, ValueError, TypeError, RecursionError, InputError) as error:
            raise InputError(f"{file}: not the rows of a sweep ({error}). Use --overwrite to begin anew.") from None
        return dict(reversed(rows))  # of two rows of one trial the first one counts

    def _whole_lines(self) -> str:
        """What is in the rows' file up to its last line end; nothing where there is no file."""
        file = self.path / "sweep.jsonl"
        if not file.exists():
            return ""
        if file.stat().st_size > _LARGEST_ROWS:
            raise ValueError(f"over {_LARGEST_ROWS:,} bytes")
        content = file.read_bytes()
        return content[: content.rfind(b"\n") + 1].decode("utf-8")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the directory where it is missing, and keeps other processes from training in it."""
        with RunDirectory(self.path).locked():
            yield

    def begin(self, base: Config, machine: dict, *, overwrite: bool) -> None:
        """Brings the files to where trials begin or go on. overwrite: delete those that have ended, and the winner.

        Raises InputError where trials ran on other data.
        """
        is_there = self.is_there()
        if is_there and not overwrite and (self.path / "machine.json").is_file():
            RunDirectory(self.path).require_same_data(base, machine)
        with begun(self.path):
            if overwrite:
                for path in (*(self.path / name for name in _OURS), *self.path.glob("winner*")):
                    delete(path)
            # A folder counts as a sweep once it has a base.
            write_at_once(self.path / "base.json", base.to_json())
            write_at_once(self.path / "machine.json", json.dumps(machine, indent=2) + "\n")
            write_at_once(self.path / "sweep.jsonl", self._whole_lines())

    def append(self, row: Row) -> None:
        """Adds a row in a single write, so that those of several processes stay apart."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with writing(self.path / "sweep.jsonl") as file:
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                if os.write(descriptor, line) < len(line):  # of a disk that has no more room
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)

    def winner(self, config: Config) -> Path:
        """The folder for the runs of this config: the first of `winner`, `winner-2`, ... without those of another."""
        path, number = self.path / "winner", 1
        while (path / "config.json").is_file() and RunDirectory(path).config() != config:
            number += 1
            path = self.path / f"winner-{number}"
        return path

    def write(self, record: Mapping[str, Any], page: str) -> None:
        """Stores what the trials came to, and the page about it."""
        with writing(self.path / "sweep.json") as file:
            write_at_once(self.path / "sweep.html", page)
            write_at_once(file, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _row(base: Config, line: str) -> tuple[Config, Row]:
    """A row and the config of its trial. Raises ValueError, TypeError or InputError where it is none."""
    row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != {"settings", "seed", "status", *NUMBERS, *_COUNTS}:
        raise ValueError("a line is no object of a trial's fields")
    if row["status"] not in ("done", "diverged") or any(type(row[name]) is not int for name in _COUNTS):
        raise ValueError("a line has no status of a trial, or no counts")
    for name in NUMBERS:
        is_number = type(row[name]) in (int, float) and math.isfinite(row[name])
        if not is_number and (row["status"] == "done" or row[name] is not None):
            raise ValueError(f"{name}: {str(row[name])[:40]!r}")
    return replace(base, **row["settings"], seed=row["seed"]), row
