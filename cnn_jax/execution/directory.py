"""The run directory: the contract between commands, and with users' own scripts."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.errors import InputError, MachineError
from cnn_jax.execution import result as results
from cnn_jax.execution.result import Result

_OURS = ("config.json", "machine.json", "metrics.jsonl", "predictions.npz", "result.json", "checkpoints")
_EVENTS = "events.out.tfevents.*"


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
        return results.from_file(file) if file.exists() else None

    def finished(self, config: Config) -> Result | None:
        """The result if exactly this config has been run to its end here, None if it may be run here.

        Raises InputError where another config was run, or where the folder holds something else than a run.
        """
        if not self._is_run():
            return None
        changed = configs.differences(self.config(), config)
        if changed:
            fields = "; ".join(f"{name}: {old!r} there, {new!r} now" for name, (old, new) in changed.items())
            raise InputError(
                f"--workdir={self.path}: holds a run of another config ({fields}). "
                "Name another --workdir, or use --overwrite to delete that run."
            )
        result = self.result()
        return result if result and result.status == "done" else None

    def begin(self, config: Config, machine: dict) -> None:
        """Makes the directory, deletes the files of an earlier run in it, and writes what is known at the start."""
        self._is_run()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in _OURS:
                _delete(self.path / name)
            for file in self.path.glob(_EVENTS):
                _delete(file)
            write_at_once(self.path / "machine.json", json.dumps(machine, indent=2) + "\n")
            write_at_once(self.path / "config.json", config.to_json())
        except OSError as error:
            raise InputError(f"--workdir={self.path}: cannot be written: {error.strerror}.") from None

    def append_row(self, row: dict) -> None:
        """Adds a line to `metrics.jsonl`, flushed to the file."""
        with _writing(self.path / "metrics.jsonl") as file, file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def write_predictions(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Stores the test logits, float32 [N, classes], and labels, int32 [N]."""
        with _writing(self.path / "predictions.npz") as file:
            np.savez(file, logits=logits, labels=labels)

    def write_result(self, result: Result) -> None:
        """Stores the run's end, at once or not at all."""
        with _writing(self.path / "result.json") as file:
            write_at_once(file, result.to_json())

    def _is_run(self) -> bool:
        """Whether there is a run here; InputError where there is something else that must not be touched."""
        try:
            if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
                return False
        except OSError as error:
            raise InputError(f"--workdir={self.path}: cannot be read: {error.strerror}.") from None
        if not self.path.is_dir():
            raise InputError(f"--workdir={self.path}: is a file. Name a folder.")
        if not (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds files, but no run. Name a new or empty folder.")
        return True


def numbered(parent: Path, name: str) -> Path:
    """The first of `name-2`, `name-3`, ... that is not there, or `name` itself."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


class _writing:
    """Turns the machine's refusal to write a file into one clear MachineError."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self) -> Path:
        return self.file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise MachineError(f"{self.file}: cannot be written: {error.strerror}.") from None


def write_at_once(path: Path, text: str) -> None:
    """Writes a file at once: a reader sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
