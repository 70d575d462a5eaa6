"""Checkpoints: where training stands, on disk through Orbax, each with a manifest that tells a damaged one.

A checkpoint is a folder named by its step: Orbax's files, `progress.json` (the clock, and the rows of the finished
epochs) and, written last, `manifest.sha256`. Orbax restores a file with a flipped bit without a word; the manifest is
verified before anything is restored. `sha256sum --check manifest.sha256` works too.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from orbax import checkpoint as ocp

from cnn_jax.errors import InputError, MachineError
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import write_at_once
from cnn_jax.training.fit import Clock, Progress
from cnn_jax.training.metrics import Sums
from cnn_jax.training.state import TrainState

FORMAT = 1
LARGEST_RECORD = 1 << 26  # bytes of a progress.json; a row is some 300
_MANIFEST, _PROGRESS = "manifest.sha256", "progress.json"
_CLOCK = ("device", "host", "saving", "epoch_began")

Shapes = tuple[TrainState, Sums]  # of jax.ShapeDtypeStruct instead of arrays


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds. rows: the lines of `metrics.jsonl` until then."""

    step: int
    state: TrainState
    sums: Sums
    clock: Clock
    rows: list[dict[str, float]]


class Writer:
    """Writes checkpoints in a thread of its own, one at a time, and keeps the newest few."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: Future | None = None
        self._last = time.monotonic()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown(wait=True)

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._pending is not None and not self._pending.done()

    @property
    def seconds_since_last(self) -> float:
        """Since the last checkpoint, or since the beginning."""
        return time.monotonic() - self._last

    def save(self, progress: Progress, rows: list[dict[str, float]]) -> None:
        """Stores where training stands. The arrays are copied at once: the next chunk may have them.

        Raises MachineError where an earlier one could not be written.
        """
        self.finish()
        arrays = jax.block_until_ready(jax.tree.map(jnp.copy, (progress.state, progress.sums)))
        clock = {name: getattr(progress.clock, name) for name in _CLOCK}
        forms = _forms((progress.state, progress.sums))
        record = {"format": FORMAT, "step": progress.step, "clock": clock, "rows": list(rows), "arrays": forms}
        self._last = time.monotonic()
        self._pending = self._thread.submit(_write, self.folder, progress.step, arrays, record, self.keep)

    def finish(self) -> None:
        """Waits until what was saved is on disk. Raises MachineError where it cannot be written."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def _write(folder: Path, step: int, arrays: tuple[TrainState, Sums], record: dict, keep: int) -> None:
    """Writes one checkpoint, its manifest last; only then are the oldest deleted."""
    place = folder / str(step)
    try:
        _require_run(folder.parent)
        if place.exists():
            if not _complaint(place):
                return  # it is the same: training gives the same bits at the same step
            shutil.rmtree(place)
        with _manager(folder) as manager:
            manager.save(step, args=ocp.args.StandardSave(arrays), force=True)
        _require_run(folder.parent)
        write_at_once(place / _PROGRESS, json.dumps(record))
        write_at_once(place / _MANIFEST, "".join(f"{digest}  {name}\n" for name, digest in _digests(place)))
        for old in steps(folder)[:-keep]:
            shutil.rmtree(folder / str(old))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise MachineError(f"{place}: the checkpoint cannot be written: {reason}.") from None


def _require_run(folder: Path) -> None:
    """Raises MachineError where the run directory was deleted; Orbax would make it anew, with nothing else in it."""
    if not (folder / "config.json").is_file():
        raise MachineError(f"{folder}: the run directory is gone.")


def _manager(folder: Path) -> ocp.CheckpointManager:
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Orbax logs at length what it then raises
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)  # the thread is ours: it adds the manifest
    return ocp.CheckpointManager(folder.absolute(), options=options)


def steps(folder: Path) -> list[int]:
    """The steps of which there are checkpoints, whole or not, the newest last."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal() and path.is_dir())


def newest(folder: Path, like: Shapes, console: Console) -> Saved | None:
    """The newest checkpoint that is whole; None where training has to begin at the beginning.

    like: the shapes, dtypes and places of its arrays, as `programs.saved_shapes` gives them. A damaged one is named on
    the console and passed over.
    Raises InputError where it is of another model or a newer format, MachineError where all are damaged.
    """
    there = steps(folder)
    for step in reversed(there):
        place = folder / str(step)
        complaint = _complaint(place)
        if not complaint:
            return _read(folder, step, like)
        if not _is_unfinished(place, there):
            console.note(f"{place}: this checkpoint is damaged ({complaint}); the one before it is used, if any.")
    if not all(_is_unfinished(folder / str(step), there) for step in there):
        damaged = ", ".join(map(str, there))
        raise MachineError(
            f"{folder}: every checkpoint is damaged ({damaged}). Nothing was deleted. To train anew: --overwrite."
        )
    return None


def _is_unfinished(place: Path, there: list[int]) -> bool:
    """Whether this is the newest and was being written when the process ended: its manifest comes last."""
    return place.name == str(there[-1]) and not (place / _MANIFEST).exists()


def of_step(folder: Path, step: int, like: Shapes) -> Saved:
    """The checkpoint of a step. Raises InputError where there is none, MachineError where it is damaged."""
    there = steps(folder)
    if step not in there:
        known = ", ".join(map(str, there)) or "none"
        raise InputError(f"{folder}: there is no checkpoint of step {step}. There are: {known}.")
    if complaint := _complaint(folder / str(step)):
        raise MachineError(f"{folder / str(step)}: the checkpoint is damaged: {complaint}.")
    return _read(folder, step, like)


def discard_after(folder: Path, step: int) -> None:
    """Deletes the checkpoints of later steps: training goes on from this one."""
    for later in steps(folder):
        if later > step:
            shutil.rmtree(folder / str(later))


def _read(folder: Path, step: int, like: Shapes) -> Saved:
    place = folder / str(step)
    record = _record(place)
    mine, there = _forms(like), record["arrays"]
    other = sorted(name for name in mine.keys() | there.keys() if mine.get(name) != there.get(name))
    if other:
        found, expected = (forms.get(other[0], "missing") for forms in (there, mine))
        raise InputError(f"{place}: is of another model: {other[0]} is {found}, expected {expected}.")
    with _manager(folder) as manager:
        state, sums = manager.restore(step, args=ocp.args.StandardRestore(like))
    clock = Clock(**{name: float(record["clock"][name]) for name in _CLOCK})
    return Saved(step, state, sums, clock, record["rows"])


def _forms(tree: Any) -> dict[str, str]:
    """Dtype and shape of each array, as in `float32[3, 3, 1, 32]`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _record(place: Path) -> dict[str, Any]:
    """The content of `progress.json`. Raises InputError where a newer program wrote it, or where it is none."""
    try:
        if (place / _PROGRESS).stat().st_size > LARGEST_RECORD:
            raise ValueError("too large")
        record = json.loads((place / _PROGRESS).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise InputError(f"{place}: of checkpoint format {record['format']!r}; this program knows {FORMAT}.")
        rows = [{str(name): value for name, value in row.items()} for row in record["rows"]]
        numbers = [*(record["clock"][name] for name in _CLOCK), *(value for row in rows for value in row.values())]
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("not a number")
        arrays = {str(name): str(form) for name, form in record["arrays"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{place / _PROGRESS}: not a checkpoint's record ({error}).") from None
    return record | {"rows": rows, "arrays": arrays}


def _complaint(place: Path) -> str:
    """What is wrong with a checkpoint's files; empty where they are what was written."""
    try:
        lines = (place / _MANIFEST).read_text(encoding="utf-8").splitlines()
        expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        found = dict(_digests(place))
    except (OSError, ValueError) as error:
        return f"{type(error).__name__} in {_MANIFEST}"
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if _PROGRESS not in expected:
        wrong.append(_PROGRESS)
    return f"{wrong[0]} is not the file that was written" if wrong else ""


def _digests(place: Path) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every file below a checkpoint's folder but its manifest."""
    for path in sorted(place.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path.name} is a symbolic link")
        if path.is_file() and path.name != _MANIFEST:
            yield path.relative_to(place).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
