"""The directory of a sweep.

`base.json` is the Config that all trials start from; it is not named `config.json`, because the directory is not a run.
`machine.json` describes the machine. `sweep.jsonl` has a row for each trial, in the order in which they ended.
`sweep.json` is the record, `sweep.html` the page, and `winner` holds the winner's runs, one for each seed.
"""

import errno
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.config import FIELDS, Config, differences_in_words, read_config
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import delete, machine_errors, read_text, write_atomic, write_files, write_json
from cnn_jax.report.format import counted
from cnn_jax.runs import machine as machines
from cnn_jax.runs.directory import RunDirectory, entries, input_errors, require_same_code

Row = dict[str, Any]

NUMBERS = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "seconds", "images_per_second")
_COUNTS = ("epochs", "steps")
_FILES = ("machine.json", "sweep.jsonl", "sweep.json", "sweep.html")
_WINNER = re.compile(r"winner(-[0-9]+)?")
_LARGEST_ROWS = 1 << 28  # bytes; a row has about 300


@dataclass(frozen=True)
class SweepDirectory:
    """The files of a sweep in the folder `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    def exists(self) -> bool:
        """Whether there is a sweep in the folder. Raises InputError when there are other files."""
        found = entries(self.path)
        if found and not (self.path / "base.json").is_file():
            raise InputError(f"--workdir={self.path}: holds files, but no sweep. Name a new or empty folder.")
        return bool(found)

    def finished_rows(self, base: Experiment) -> dict[Config, Row]:
        """The rows of finished trials, by the trial's Config. An incomplete last line is ignored.

        Raises InputError when the sweep here starts from another Config or other code, or when the file is damaged.
        """
        if not self.exists():
            return {}
        if changed := base.differences(read_config(self.path / "base.json")):
            fields = differences_in_words(changed)
            raise InputError(
                f"--workdir={self.path}: holds a sweep that starts from another config ({fields}). "
                "Name another --workdir, or use --overwrite to delete that sweep."
            )
        require_same_code(RunDirectory(self.path), base)
        file = self.path / "sweep.jsonl"
        try:
            rows = [_row(base, line) for line in self._whole_lines().splitlines()]
        except (OSError, ValueError, TypeError, RecursionError, InputError) as error:
            raise InputError(
                f"{file}: not the rows of a sweep ({error}). Take that line out, or name another --workdir."
            ) from None
        return dict(reversed(rows))  # when a trial has two rows, the first one counts

    def _whole_lines(self) -> str:
        """The text of the rows' file up to its last line end; empty when there is no file."""
        file = self.path / "sweep.jsonl"
        if not file.exists():
            return ""
        text = read_text(file, _LARGEST_ROWS)
        return text[: text.rfind("\n") + 1]

    def _rows_there(self) -> int:
        """How many trials are finished here, as far as the file can be read."""
        try:
            return len(self._whole_lines().splitlines())
        except (OSError, ValueError):
            return 0

    def locked(self, note: Callable[[str], None]) -> AbstractContextManager[None]:
        """Makes the directory if needed, and keeps other processes from training in it."""
        return RunDirectory(self.path).locked(note)

    def begin(self, base: Experiment, machine: dict, note: Callable[[str], None], *, overwrite: bool) -> None:
        """Prepares the files so that trials can start or resume.

        overwrite: delete finished trials and the winner. Raises InputError when earlier trials used other data or
        settings. note: receives what the user should know.
        """
        sweep = RunDirectory(self.path)
        if self.exists() and overwrite:
            note(f"--overwrite deletes the sweep in {self.path}: {counted(self._rows_there(), 'trial')}")
        elif self.exists():
            sweep.require_same_origin(base.config, machine, note)
        machine = machines.with_history(machine, {} if overwrite else sweep.machine())
        with input_errors(self.path):
            if overwrite:
                for path in (*(self.path / name for name in _FILES), *self._winners()):
                    delete(path)
            # With this file, the folder is a sweep.
            write_atomic(self.path / "base.json", base.config.to_json())
            write_json(self.path / "machine.json", machine)
            write_atomic(self.path / "sweep.jsonl", self._whole_lines())

    def append(self, row: Row) -> None:
        """Adds a row in a single write, so that the rows of several processes do not mix."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with machine_errors(self.path / "sweep.jsonl") as file, file.open("ab", buffering=0) as stream:
            if stream.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _winners(self) -> list[Path]:
        return [path for path in self.path.glob("winner*") if _WINNER.fullmatch(path.name)]

    def winner(self, experiment: Experiment) -> Path:
        """The folder for the runs of this Config: the first of `winner`, `winner-2`, ... that has no other Config."""
        path, number = self.path / "winner", 1
        while (path / "config.json").is_file() and experiment.differences(RunDirectory(path).config()):
            number += 1
            path = self.path / f"winner-{number}"
        return path

    def write(self, record: Mapping[str, Any], page: str) -> None:
        """Writes the record and the page."""
        content = json.dumps(record, indent=1, allow_nan=False) + "\n"
        write_files(self.path, {"sweep.html": page, "sweep.json": content})


def _row(base: Experiment, line: str) -> tuple[Config, Row]:
    """The Config of a trial, and its row. Raises ValueError, TypeError or InputError when the line is not a row."""
    row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != {"settings", "seed", "status", *NUMBERS, *_COUNTS}:
        raise ValueError("a line does not have the fields of a trial")
    if row["status"] not in ("done", "diverged") or any(type(row[name]) is not int for name in _COUNTS):
        raise ValueError("a line has no valid status or counts")
    for name in NUMBERS:
        is_number = type(row[name]) in (int, float) and math.isfinite(row[name])
        if not is_number and (row["status"] == "done" or row[name] is not None):
            raise ValueError(f"{name}: {str(row[name])[:40]!r}")
    varied = base.vary(row["settings"])
    settings = {
        varied.full_name(name) if name not in FIELDS else name: row["settings"][name] for name in row["settings"]
    }
    return varied.replace(seed=row["seed"]).config, {**row, "settings": settings}
