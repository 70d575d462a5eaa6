"""The run directory: the contract between commands, and with users' own scripts."""

import json
import math
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.data.views import VIEWS
from cnn_jax.errors import InputError, MachineError
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs import lock
from cnn_jax.runs import result as results
from cnn_jax.runs.result import Result

_OURS = ("config.json", "machine.json", "metrics.jsonl", "predictions.npz", "result.json", "checkpoints")
_EVENTS = "events.out.tfevents.*"
_SEED_FOLDER = re.compile(r"seed-(\d{1,10})")
_LARGEST_JSON = 1 << 20  # bytes; what a run writes of its machine is under one kilobyte
_LARGEST_ROWS = 1 << 28  # bytes; a row is some two hundred
_LARGEST_PREDICTIONS = 1 << 30  # bytes; those of 10,000 images and ten classes are 440,000
_DAMAGES = (OSError, EOFError, KeyError, MemoryError, RuntimeError, ValueError, SyntaxError, TokenError, BadZipFile)


@dataclass(frozen=True)
class RunDirectory:
    """One run's files at `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def config(self) -> Config:
        """The run's Config."""
        if not (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds no run (there is no config.json).")
        return configs.from_file(self.path / "config.json")

    def result(self) -> Result | None:
        """The run's end; None while it has none."""
        file = self.path / "result.json"
        if not file.exists():
            return None
        if several := seed_folders(self.path):
            name = next(iter(several.values())).name
            raise InputError(f"--workdir={self.path}: holds a run of many seeds. Name one of them: {self.path / name}.")
        return results.from_file(file)

    def stored_result(self) -> Result:
        """The run's end. Raises InputError where it has none."""
        return results.from_file(self.path / "result.json")

    def finished_result(self) -> Result:
        """The result of a run that has scored its test set. Raises InputError where there is none."""
        result = self.result()
        if result is None or result.status not in ("done", "stopped"):
            raise InputError(f"--workdir={self.path}: this run is not finished. Run it to its end first.")
        return result

    def finished(self, config: Config) -> Result | None:
        """The result if this config has been run to its end here, None if it may be run here or run on.

        Raises InputError where another config was run, or where the folder holds something else than a run.
        """
        if not self.is_run():
            return None
        before = self.config()
        require_same(before, config, self.path)
        result = self.result()
        return result if result and result.status == "done" and before.epochs == config.epochs else None

    def begin(self, config: Config, machine: dict) -> None:
        """Makes the directory, deletes the files of an earlier run in it, and writes what is known at the start."""
        self.is_run()
        with begun(self.path):
            self._delete(*_OURS, *(file.name for file in self.path.glob(_EVENTS)))
            # A folder counts as a run once it has a config.
            write_at_once(self.path / "config.json", config.to_json())
            write_at_once(self.path / "machine.json", json.dumps(machine, indent=2) + "\n")

    def go_on(self, config: Config, machine: dict, rows: list[dict[str, float]]) -> None:
        """Brings the files to where a checkpoint stands. rows: the lines of `metrics.jsonl` until then.

        Raises InputError where the run began on other data.
        """
        self.require_same_data(config, machine)
        with begun(self.path):
            self._delete("result.json", "predictions.npz", *(file.name for file in self.path.glob(_EVENTS)))
            write_at_once(self.path / "config.json", config.to_json())
            write_at_once(self.path / "machine.json", json.dumps(machine, indent=2) + "\n")
            write_at_once(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def require_same_data(self, config: Config, machine: dict) -> None:
        """Raises InputError where the run began on other data than the given `machine.json` names."""
        if self.machine().get("data_fingerprint") != machine["data_fingerprint"]:
            raise InputError(
                f"--workdir={self.path}: this run began on other data than {config.dataset} is now (their fingerprints "
                "differ). Name another --workdir, or use --overwrite to delete that run."
            )

    def machine(self) -> dict:
        """What `machine.json` says; nothing where it is missing or damaged."""
        file = self.path / "machine.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= _LARGEST_JSON else None
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def rows(self) -> list[dict[str, float]]:
        """The lines of `metrics.jsonl`, one an epoch. Raises InputError where they are missing or damaged."""
        file = self.path / "metrics.jsonl"
        try:
            if file.stat().st_size > _LARGEST_ROWS:
                raise ValueError(f"over {_LARGEST_ROWS:,} bytes")
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            if not all(isinstance(row, dict) and all(map(_is_finite, row.values())) for row in rows):
                raise ValueError("a line is no object of numbers")
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{file}: not the rows of a run ({error}).") from None
        return rows

    def _main_output(self) -> str:
        """What is behind the names in `predictions.npz` of the output that names the dataset's classes."""
        main = VIEWS[self.config().view].main
        return f"/{main}" if main else ""

    def predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """The test logits, float32 [N, classes], and labels, int32 [N]; of several outputs those of the classes.

        Raises InputError where they are damaged.
        """
        file = self.path / "predictions.npz"
        try:
            if file.stat().st_size > _LARGEST_PREDICTIONS:
                raise ValueError(f"over {_LARGEST_PREDICTIONS:,} bytes")
            with zipfile.ZipFile(file) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("compressed, which a run's are not")
            with np.load(file, allow_pickle=False) as arrays:
                logits, labels = (arrays[f"{what}{self._main_output()}"] for what in ("logits", "labels"))
            if (logits.dtype, labels.dtype, logits.shape[:-1], logits.ndim) != (np.float32, np.int32, labels.shape, 2):
                raise ValueError(f"logits {logits.dtype} {logits.shape}, labels {labels.dtype} {labels.shape}")
        except _DAMAGES as error:
            raise InputError(f"{file}: not the predictions of a run ({error}).") from None
        return logits, labels

    def _delete(self, *names: str) -> None:
        for name in names:
            delete(self.path / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the directory where it is missing, and keeps other processes from training in it."""
        with begun(self.path):
            pass
        with lock.held(self.path):
            yield

    @contextmanager
    def events(self, rows: list[dict[str, float]]) -> Iterator[EventWriter]:
        """A writer of TensorBoard's events, which has written these rows."""
        with writing(self.path / "events.out.tfevents"), EventWriter(self.path) as events:
            for row in rows:
                events.write(row)
            yield events

    def append_row(self, row: dict) -> None:
        """Adds a line to `metrics.jsonl`, flushed to the file."""
        with writing(self.path / "metrics.jsonl") as file, file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_predictions(self, logits: Any, labels: Any) -> None:
        """Stores the test logits, float32 [N, classes], and labels, int32 [N]; for each output, where several."""
        arrays = {"logits": logits, "labels": labels}
        if isinstance(logits, dict):
            arrays = {f"{what}/{name}": array for what, by in arrays.items() for name, array in by.items()}
        with writing(self.path / "predictions.npz") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def write_result(self, result: Result) -> None:
        """Stores the run's end, at once or not at all."""
        with writing(self.path / "result.json") as file:
            write_at_once(file, result.to_json())

    def is_run(self) -> bool:
        """Whether there is a run here; InputError where there is something else that must not be touched."""
        there = entries(self.path)
        if not there:
            return False
        if seed_folders(self.path):
            raise InputError(f"--workdir={self.path}: holds a run of many seeds. Use --seeds, or name another folder.")
        if not (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds files, but no run. Name a new or empty folder.")
        return True


def entries(path: Path) -> list[Path]:
    """What is in a run's folder; nothing where there is none. Raises InputError where it must not be touched."""
    try:
        there = list(path.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        if path.is_file():
            raise InputError(f"--workdir={path}: is a file. Name a folder.") from None
        raise InputError(f"--workdir={path}: cannot be read: {error.strerror}.") from None
    for entry in there:
        if entry.is_symlink():  # writing would go where somebody else wants it
            raise InputError(f"--workdir={path}: {entry.name} is a symbolic link. Name another folder.")
    # Hidden ones are ours: the lock, and files that were being written when a process ended.
    return [entry for entry in there if not entry.name.startswith(".")]


def seed_folders(path: Path) -> dict[int, Path]:
    """The folders of single seeds among many, as `seed-0`, in ascending order."""
    matches = ((_SEED_FOLDER.fullmatch(folder.name), folder) for folder in path.iterdir() if folder.is_dir())
    return dict(sorted((int(match[1]), folder) for match, folder in matches if match))


def require_same(before: Config, config: Config, path: Path) -> None:
    """Raises InputError where a run of one config cannot be gone on with under another: only epochs may be added."""
    changed = configs.differences(before, config)
    if changed.keys() == {"epochs"} and config.epochs > before.epochs:
        if config.schedule == "constant":
            return
        raise InputError(
            f"--epochs={config.epochs}: this run was planned for {before.epochs} epochs, and its {config.schedule} "
            "schedule depends on their number. Name another --workdir, or use --overwrite to delete that run."
        )
    if changed:
        fields = "; ".join(f"{name}: {old!r} there, {new!r} now" for name, (old, new) in changed.items())
        raise InputError(
            f"--workdir={path}: holds a run of another config ({fields}). "
            "Name another --workdir, or use --overwrite to delete that run."
        )


def numbered(parent: Path, name: str) -> Path:
    """The first of `name-2`, `name-3`, ... that is not there, or `name` itself."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def require_free(folder: Path, file: str, *, overwrite: bool, flag: str = "workdir") -> None:
    """Raises InputError where a command's files cannot be written to the folder, or where its `file` is in it."""
    if (folder / file).exists() and not overwrite:
        raise InputError(f"--{flag}={folder}: {file} is there already. Name another folder, or use --overwrite.")
    require_writable(folder, flag=flag)


def require_writable(folder: Path, *, flag: str) -> None:
    """Raises InputError where the folder cannot be written or made; makes nothing."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"--{flag}={folder}: cannot be written: {nearest} is a file. Name a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"--{flag}={folder}: cannot be written: no permission to write to {nearest}.")


def make(folder: Path, *, flag: str) -> None:
    """Makes the folder where it is missing. Raises InputError where it cannot be made or written."""
    require_writable(folder, flag=flag)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--{flag}={folder}: cannot be written: {error.strerror}.") from None


class writing:
    """Turns the machine's refusal to write a file into one clear MachineError."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self) -> Path:
        return self.file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise MachineError(f"{self.file}: cannot be written: {error.strerror}.") from None


@contextmanager
def begun(path: Path) -> Iterator[None]:
    """Makes the directory, and turns a refusal to write into it into InputError: nothing has been trained yet."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"--workdir={path}: cannot be written: {error.strerror}.") from None


def write_at_once(path: Path, text: str) -> None:
    """Writes a file at once: a reader sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Makes the folder where it is missing and writes texts into it by their names. Raises MachineError."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_at_once(folder / name, text)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def delete(path: Path) -> None:
    """Deletes a file, a folder with all that is in it, or a link; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
