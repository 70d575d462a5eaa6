"""The run directory: the contract between commands, and with users' own scripts."""

import errno
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import filelock
import numpy as np

from cnn_jax.config import Config, differences_in_words, read_config
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import (
    atomic_file,
    delete,
    is_of_the_system,
    machine_errors,
    read_json,
    read_text,
    write_atomic,
    write_json,
)
from cnn_jax.report.format import counted, duration
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs import machine as machines
from cnn_jax.runs.result import Result, read_result

_FILES = ("config.json", "experiment", "machine.json", "metrics.jsonl", "predictions.npz", "result.json", "checkpoints")
_LOCK = ".lock"
_EVENTS = "events.out.tfevents.*"
_SEED_FOLDER = re.compile(r"seed-(0|[1-9][0-9]{0,9})")
_LARGEST_JSON = 1 << 20  # bytes; machine.json has a few kilobytes
_LARGEST_ROWS = 1 << 28  # bytes; a row has about two hundred
_LARGEST_PREDICTIONS = 1 << 30  # bytes; 10,000 images with ten classes take 440,000
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_READ_ERRORS = (OSError, EOFError, KeyError, MemoryError, RuntimeError, ValueError, SyntaxError, TokenError, BadZipFile)


def _unsaid(note: str) -> None:
    """For a note that is said elsewhere."""


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run at `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def config(self) -> Config:
        """The run's Config."""
        if not (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds no run (there is no config.json).")
        return read_config(self.path / "config.json")

    def result(self) -> Result | None:
        """The run's result; None if it has none yet."""
        file = self.path / "result.json"
        if not file.exists():
            return None
        if folders := seed_folders(self.path):
            first = next(iter(folders.values())).name
            raise InputError(f"--workdir={self.path}: holds several seeds. Name one of them: {self.path / first}.")
        return read_result(file)

    def finished_result(self) -> Result:
        """The result of a run that has scored its test set. Raises InputError if there is none."""
        result = self.result()
        if result is None or result.status not in ("done", "stopped"):
            raise InputError(f"--workdir={self.path}: this run is not finished. Run it to its end first.")
        return result

    def completed(self, experiment: Experiment) -> Result | None:
        """The result if this experiment has been run to its end here; None if it can be started or resumed here.

        Raises InputError if the folder holds a run of another Config or of other code, or something that is no run.
        """
        if not self.is_run():
            return None
        require_same(self, experiment)
        result = self.result()
        has_grown = bool(experiment.differences(self.config()))
        return result if result and result.status == "done" and not has_grown else None

    def start(self, experiment: Experiment, machine: dict) -> None:
        """Makes the directory, deletes the files of an earlier run in it, and writes what is known at the start."""
        self.is_run()
        with input_errors(self.path):
            self._delete(*_FILES, *(file.name for file in self.path.glob(_EVENTS)))
            # A folder counts as a run once it has a config.
            write_atomic(self.path / "config.json", experiment.config.to_json())
            write_json(self.path / "machine.json", machine)
            self._keep_code(experiment)

    def _keep_code(self, experiment: Experiment) -> None:
        """Copies the user's own files, for the record. No command ever runs the copies."""
        for name, source in (experiment.code.sources if experiment.code else {}).items():
            (self.path / "experiment" / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.path / "experiment" / name) as file:
                file.write(source)

    def resume(self, experiment: Experiment, machine: dict, rows: list[dict[str, float]], step: int) -> None:
        """Brings the files to the state of a checkpoint. rows: the lines of `metrics.jsonl` until then."""
        # A run is also resumed without the one that it started from.
        machine = {name: value for name, value in self.machine().items() if name == "init_from"} | machine
        machine = machines.with_history(machine, self.machine(), step)
        with input_errors(self.path):
            self._delete("result.json", "predictions.npz", *(file.name for file in self.path.glob(_EVENTS)))
            write_atomic(self.path / "config.json", experiment.config.to_json())
            write_json(self.path / "machine.json", machine)
            write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def trained_in_words(self) -> str:
        """How much training is here, as far as the rows say, as in `5 epochs, 70.1 s of training`."""
        try:
            rows = self.rows()
        except InputError:
            rows = []
        seconds = sum(row.get("seconds", 0.0) for row in rows)
        return f"{counted(len(rows), 'epoch')}, {duration(seconds)} of training"

    def require_same_origin(self, config: Config, now: dict, note: Callable[[str], None] = _unsaid) -> None:
        """Raises InputError if the run was started on other data, or with other settings that decide its numbers.

        now: the content of `machine.json` today. note: receives what else may change the numbers.
        """
        before = self.machine()
        if not before:
            note(
                f"{self.path / 'machine.json'}: missing or damaged. On what data and machine this run was started is "
                "not known."
            )
            return
        if before.get("data_fingerprint") != now["data_fingerprint"]:
            raise InputError(
                f"--workdir={self.path}: this run was started on other data than {config.dataset} is now (their "
                "fingerprints differ). Name another --workdir, or use --overwrite to delete that run."
            )
        if changed := machines.changed_settings(before, now):
            raise InputError(
                f"--workdir={self.path}: this run was started with other settings ({differences_in_words(changed)}), "
                "which decide its numbers. Set them as they were, or name another --workdir."
            )
        if changed := machines.changed_facts(before, now):
            note(f"{self.path}: {differences_in_words(changed)}. The numbers may differ in their last digits.")

    def machine(self) -> dict:
        """The content of `machine.json`; empty if it is missing or damaged."""
        try:
            content = read_json(self.path / "machine.json", _LARGEST_JSON)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def rows(self) -> list[dict[str, float]]:
        """The lines of `metrics.jsonl`, one for each epoch. Raises InputError if they are missing or damaged."""
        file = self.path / "metrics.jsonl"
        try:
            rows = [json.loads(line) for line in read_text(file, _LARGEST_ROWS).splitlines()]
            if not all(isinstance(row, dict) and all(map(_is_finite, row.values())) for row in rows):
                raise ValueError("a line is no object of numbers")
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{file}: not the rows of a run ({error}).") from None
        return rows

    def predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """The test logits, float32 [N, classes], and labels, int32 [N]; of the main output if there are several.

        Raises InputError if they are damaged.
        """
        file = self.path / "predictions.npz"
        try:
            if file.stat().st_size > _LARGEST_PREDICTIONS:
                raise ValueError(f"over {_LARGEST_PREDICTIONS:,} bytes")
            with zipfile.ZipFile(file) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("compressed; a run does not compress them")
            with np.load(file, allow_pickle=False) as arrays:
                result = self.result()
                main = result.main_output if result else None
                logits, labels = (arrays[f"{what}/{main}" if main else what] for what in ("logits", "labels"))
            if (logits.dtype, labels.dtype, logits.shape[:-1], logits.ndim) != (np.float32, np.int32, labels.shape, 2):
                raise ValueError(f"logits {logits.dtype} {logits.shape}, labels {labels.dtype} {labels.shape}")
        except _READ_ERRORS as error:
            raise InputError(f"{file}: not the predictions of a run ({error}).") from None
        return logits, labels

    @contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        """Makes the directory if it is missing, and keeps other processes from training in it.

        Raises InputError at once if another process trains in it. The system releases the lock if its holder dies.
        note: receives a line for the user where the file system has no locks.
        """
        # The holder's number is in a file of its own: Windows lets nobody read or write a file that is locked.
        file, number = self.path / _LOCK, self.path / ".process"
        with input_errors(self.path):
            lock = filelock.FileLock(file, timeout=0, mode=0o600, fallback_to_soft=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                holder = number.read_text(errors="replace") if number.exists() else "unknown"
                raise InputError(
                    f"--workdir={self.path}: another process is training here (process {holder})."
                ) from None
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    raise
                note(f"{self.path}: its file system has no locks. Do not train twice in it at the same time.")
            number.write_text(str(os.getpid()))
        try:
            yield
        finally:
            number.unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def events(self, rows: list[dict[str, float]]) -> Iterator[EventWriter]:
        """A writer of TensorBoard's events, which has written these rows."""
        with EventWriter(self.path) as events:
            for row in rows:
                events.write(row)
            yield events

    def append_row(self, row: dict) -> None:
        """Adds a line to `metrics.jsonl`, flushed to the file."""
        with machine_errors(self.path / "metrics.jsonl") as file, file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_predictions(self, logits: Any, labels: Any, original_index: np.ndarray | None = None) -> None:
        """Stores the test logits, float32 [N, classes], and labels, int32 [N], or dicts of them by output.

        original_index: the number of each test image in the dataset's original files, int64 [N], if there are any.
        """
        arrays = {"logits": logits, "labels": labels}
        if isinstance(logits, dict):
            arrays = {f"{what}/{name}": array for what, by in arrays.items() for name, array in by.items()}
        if original_index is not None:
            arrays["original_index"] = original_index
        with machine_errors(self.path / "predictions.npz") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def write_result(self, result: Result) -> None:
        """Stores the result, completely or not at all."""
        with machine_errors(self.path / "result.json") as file:
            write_atomic(file, result.to_json())

    def is_run(self) -> bool:
        """Whether there is a run here. Raises InputError if there is something else, which must not be touched."""
        if not entries(self.path):
            return False
        if seed_folders(self.path):
            raise InputError(f"--workdir={self.path}: holds several seeds. Use --seeds, or name another folder.")
        if not (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds files, but no run. Name a new or empty folder.")
        return True

    def _delete(self, *names: str) -> None:
        for name in names:
            delete(self.path / name)


def entries(path: Path) -> list[Path]:
    """The content of a run's folder; empty if there is no folder. Raises InputError if it must not be touched."""
    try:
        found = list(path.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        if path.is_file():
            raise InputError(f"--workdir={path}: is a file. Name a folder.") from None
        raise InputError(f"--workdir={path}: cannot be read: {error.strerror}.") from None
    for entry in found:
        # Writing would change a file elsewhere. An editor's hidden links are nothing that is written.
        if entry.is_symlink() and (entry.name == _LOCK or not is_of_the_system(entry)):
            raise InputError(f"--workdir={path}: {entry.name} is a symbolic link. Name another folder.")
    # Hidden files are also the program's own: the lock, and files that were being written when a process ended.
    return [entry for entry in found if not is_of_the_system(entry)]


def seed_folders(path: Path) -> dict[int, Path]:
    """The folders of single seeds, as `seed-0`, in ascending order."""
    matches = ((_SEED_FOLDER.fullmatch(folder.name), folder) for folder in path.iterdir() if folder.is_dir())
    return dict(sorted((int(match[1]), folder) for match, folder in matches if match))


def require_same(run: RunDirectory, experiment: Experiment) -> None:
    """Raises InputError if the run cannot be resumed by the experiment. Only epochs and patience may grow."""
    changed, config = experiment.differences(run.config()), experiment.config
    if "epochs" in changed and experiment.planned_parts and all(map(_is_longer, changed, changed.values())):
        raise InputError(
            f"--epochs={config.epochs}: this run was planned for {counted(changed['epochs'][0], 'epoch')}, and its "
            f"{experiment.planned_parts[0]} depends on their number. Name another --workdir, or use --overwrite to "
            "delete that run."
        )
    if not all(map(_is_longer, changed, changed.values())):
        raise InputError(
            f"--workdir={run.path}: holds a run of another config ({differences_in_words(changed)}). "
            "Name another --workdir, or use --overwrite to delete that run."
        )
    require_same_code(run, experiment)


def _is_longer(name: str, values: tuple[Any, Any]) -> bool:
    """Whether a setting changes to one with which a run trains at least as long, and the same until then."""
    before, now = (math.inf if value is None else value for value in values)  # None: a patience without an end
    return name in ("epochs", "patience") and bool(now > before)


def require_same_code(run: RunDirectory, experiment: Experiment) -> None:
    """Raises InputError if the run was trained by a user's file that says something else than the experiment's."""
    machine = run.machine()  # empty where the run was ended while its first files were written, or where it was lost
    if machine and machine.get("experiment_hash") != experiment.digest:
        raise InputError(
            f"--workdir={run.path}: the code of {experiment.config.experiment} has changed since this run was started. "
            "Name another --workdir, or use --overwrite to delete that run."
        )


@contextmanager
def input_errors(path: Path) -> Iterator[None]:
    """Makes the directory, and turns an OSError of the block into InputError: nothing has been trained yet."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"--workdir={path}: cannot be written: {error.strerror}.") from None


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
