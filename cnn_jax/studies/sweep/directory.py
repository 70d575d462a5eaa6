"""The directory of a sweep.

`base.json` is the Config that all trials start from; it is not named `config.json`, because the directory is not a run.
`machine.json` describes the machine. `trials` has a file with the row of each finished trial, and the claims of those
that processes are working on. When all are finished, their rows are written to `sweep.jsonl`, in the order of the
trials. `sweep.json` is the record, `sweep.html` the page, and `winner` holds the winner's runs, one for each seed.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.config import FIELDS, Config, differences_in_words, read_config
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import (
    delete,
    is_of_the_system,
    machine_errors,
    make_folder,
    read_text,
    write_atomic,
    write_files,
    write_json,
)
from cnn_jax.report.format import counted
from cnn_jax.runs import machine as machines
from cnn_jax.runs.directory import RunDirectory, entries, input_errors, require_same_code
from cnn_jax.studies.sweep import claims
from cnn_jax.studies.sweep.claims import Claim

Row = dict[str, Any]

NUMBERS = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "seconds", "images_per_second")
_COUNTS = ("epochs", "steps")
_FILES = ("machine.json", "trials", "sweep.jsonl", "sweep.json", "sweep.html")
_WINNER = re.compile(r"winner(-[0-9]+)?")
_LARGEST_ROW = 1 << 20  # bytes; a row has about 300
_LARGEST_ROWS = 1 << 28
_PREPARING_SECONDS = 30.0  # without a sign of life, a process that prepares the files has died
_POLL_SECONDS = 0.1


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

        Raises InputError when the sweep here starts from another Config or other code, or when a file is damaged.
        """
        if not self.exists():
            return {}
        self._require_same(base)
        file = self.path / "sweep.jsonl"
        try:
            rows = [_row(base, line) for line in self._whole_lines().splitlines()]
            for file in self._row_files():
                rows.append(_row(base, read_text(file, _LARGEST_ROW)))
        except (OSError, ValueError, TypeError, RecursionError, InputError) as error:
            what, advice = ("row", "Delete it") if file.parent.name == "trials" else ("rows", "Take that line out")
            raise InputError(
                f"{file}: not the {what} of a sweep ({error}). {advice}, or name another --workdir."
            ) from None
        return dict(reversed(rows))  # when a trial has two rows, the first one counts

    def _require_same(self, base: Experiment) -> None:
        """Raises InputError when the sweep here starts from another Config or other code."""
        if changed := base.differences(read_config(self.path / "base.json")):
            fields = differences_in_words(changed)
            raise InputError(
                f"--workdir={self.path}: holds a sweep that starts from another config ({fields}). "
                "Name another --workdir, or use --overwrite to delete that sweep."
            )
        require_same_code(RunDirectory(self.path), base)

    def _whole_lines(self) -> str:
        """The text of the rows' file up to its last line end; empty when there is no file."""
        file = self.path / "sweep.jsonl"
        if not file.exists():
            return ""
        text = read_text(file, _LARGEST_ROWS)
        return text[: text.rfind("\n") + 1]

    def _row_files(self) -> list[Path]:
        return sorted(file for file in (self.path / "trials").glob("*.json") if not is_of_the_system(file))

    def begin(
        self,
        base: Experiment,
        machine: dict,
        note: Callable[[str], None],
        *,
        overwrite: bool = False,
        is_worker: bool = False,
        claim_timeout: float = math.inf,
    ) -> None:
        """Makes the directory and prepares its files so that trials can start or resume.

        overwrite: delete finished trials and the winner. is_worker: the command runs some of the trials, and its
        command line is not the sweep's. claim_timeout: older claims have no holder. note: receives what the user should
        know. Raises InputError when earlier trials used other data or settings, or when one that runs would be deleted.
        """
        make_folder(self.path, flag="workdir")
        with self._alone():
            sweep, is_there = RunDirectory(self.path), self.exists()
            if is_there and overwrite:
                self._delete(note, claim_timeout)
            elif is_there:
                self._require_same(base)  # another process may have begun another sweep meanwhile
                sweep.require_same_origin(base.config, machine, note)
            before = sweep.machine()
            if is_worker and "command_line" in before:
                machine = machine | {"command_line": before["command_line"]}
            machine = machines.with_history(machine, before)
            with input_errors(self.path):
                if overwrite or not is_there:  # with this file, the folder is a sweep
                    write_atomic(self.path / "base.json", base.config.to_json())
                if machine != before:
                    write_json(self.path / "machine.json", machine)
                (self.path / "trials").mkdir(exist_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until no other process prepares the files, and keeps others from it."""
        while True:
            with claims.claimed(self.path / ".begin", _PREPARING_SECONDS) as other:
                if other is None:
                    yield
                    return
            time.sleep(_POLL_SECONDS)

    def _delete(self, note: Callable[[str], None], claim_timeout: float) -> None:
        """Deletes the sweep. Raises InputError when another process works on it."""
        claimed = [self.path / "winner", *(self.path / "trials").glob("*.claim-1")]
        for path in claimed:
            claim = claims.newest(path.with_name(path.name.removesuffix(".claim-1")))
            if claim and claim.age < claim_timeout:
                raise InputError(
                    f"--overwrite: {claim.holder} works on the sweep in {self.path}. End it first. If it has died, its "
                    "claim expires with --claim_timeout."
                )
        note(f"--overwrite deletes the sweep in {self.path}: {counted(self._rows_there(), 'trial')}")
        with input_errors(self.path):
            for path in (*(self.path / name for name in _FILES), *self._winners()):
                delete(path)

    def _rows_there(self) -> int:
        """How many trials are finished here, as far as the files can be read."""
        try:
            return max(len(self._whole_lines().splitlines()), len(self._row_files()))
        except (OSError, ValueError):
            return 0

    def claimed(self, config: Config, timeout: float) -> AbstractContextManager[Claim | None]:
        """Claims the trial of this Config for the block, as `claims.claimed` does."""
        return claims.claimed(self.row_file(config).with_suffix(""), timeout)

    def winner_claimed(self, timeout: float) -> AbstractContextManager[Claim | None]:
        """Claims the training of the winner for the block, as `claims.claimed` does."""
        return claims.claimed(self.path / "winner", timeout)

    def holder(self, config: Config, timeout: float) -> str | None:
        """The process that works on the trial of this Config; None if there is none."""
        claim = claims.newest(self.row_file(config).with_suffix(""))
        return claim.holder if claim and claim.age < timeout else None

    def row_file(self, config: Config) -> Path:
        """The file for the row of the trial of this Config. Rows of earlier versions may be elsewhere."""
        return self.path / "trials" / f"{hashlib.sha256(config.to_json().encode()).hexdigest()[:16]}.json"

    def write_row(self, config: Config, row: Row) -> None:
        """Stores the row of a trial, completely or not at all, unless another process has stored it."""
        with machine_errors(self.row_file(config)) as file:
            if not file.exists():
                write_atomic(file, _line(row))

    def write_rows(self, rows: Iterable[Row]) -> None:
        """Writes the rows of all trials to one file."""
        with machine_errors(self.path / "sweep.jsonl") as file:
            write_atomic(file, "".join(map(_line, rows)))

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


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


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
