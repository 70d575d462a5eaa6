"""The folders of a run as a process sees them that trains with others: process 0 alone writes.

All processes read the same folder, to resume: it lies where each of them can see it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.experiment import Experiment
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.processes import Processes
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_directory import SeedsDirectory
from cnn_jax.runs.seeds_result import SeedsResult


class ReadOnlyRun(RunDirectory):
    """A run directory that is read alone. What would be written is written by process 0."""

    def start(self, experiment: Experiment, machine: dict) -> None:
        pass

    def resume(self, experiment: Experiment, machine: dict, rows: list[dict[str, float]], step: int) -> None:
        pass

    @contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        yield

    @contextmanager
    def events(self, rows: list[dict[str, float]]) -> Iterator[EventWriter]:
        yield _NoEvents()

    def append_row(self, row: dict) -> None:
        pass

    def write_predictions(self, logits: Any, labels: Any, original_index: Any = None) -> None:
        pass

    def write_result(self, result: Result) -> None:
        pass


class _NoEvents(EventWriter):
    def __init__(self) -> None:
        pass

    def write(self, row: Mapping[str, float]) -> None:
        pass

    def write_image(self, name: str, pixels: np.ndarray, step: int) -> None:
        pass


class ReadOnlySeeds(SeedsDirectory):
    """The directory of several seeds that is read alone."""

    def run(self, seed: int) -> RunDirectory:
        return ReadOnlyRun(super().run(seed).path)

    @contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        yield

    def start(self, experiment: Experiment, machine: dict, note: Callable[[str], None], *, overwrite: bool) -> None:
        pass

    def write_result(self, result: SeedsResult) -> None:
        pass


def run_directory(path: Path, processes: Processes) -> RunDirectory:
    """The directory of a run, for one of these processes."""
    return RunDirectory(path) if processes.is_first else ReadOnlyRun(path)


def seeds_directory(path: Path, processes: Processes) -> SeedsDirectory:
    """The directory of several seeds, for one of these processes."""
    return SeedsDirectory(path) if processes.is_first else ReadOnlySeeds(path)
