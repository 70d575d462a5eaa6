"""Checkpoints: the state of training on disk, written by Orbax, each with a manifest that reveals damage.

A checkpoint is a folder named by its step. It holds Orbax's files, `progress.json` (the clock, and the rows of the
finished epochs) and, written last, `manifest.sha256`. Orbax restores a file with a flipped bit without an error, so the
manifest is verified before anything is restored. `sha256sum --check manifest.sha256` works too. It is written after the
arrays were read back once. A file that it does not name is not the checkpoint's: systems put files anywhere.

Seeds that train together have a checkpoint each, of the same step, as if each had trained alone.
"""

import hashlib
import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from cnn_jax.errors import InputError, MachineError
from cnn_jax.files import is_of_the_system, read_json, write_atomic
from cnn_jax.plain_paths import gathered, linked
from cnn_jax.report.console import Console
from cnn_jax.runs.processes import ALONE, Processes
from cnn_jax.training.loop import Clock, Progress
from cnn_jax.training.mesh import whole
from cnn_jax.training.metrics import MetricSums
from cnn_jax.training.state import TrainState

FORMAT = 2  # 1 had no norms
LARGEST_RECORD = 1 << 26  # bytes of a progress.json; a row has about 300
_MANIFEST, _PROGRESS = "manifest.sha256", "progress.json"
_ITEM = "default"  # the folder of Orbax's files in that of a step
_DISCARDED = ".discarded."  # in front of the name of a checkpoint that is to be deleted
_STEP = re.compile("0|[1-9][0-9]*")
_CLOCK = ("device", "host", "saving", "epoch_began")

AbstractState = tuple[TrainState, MetricSums]  # of jax.ShapeDtypeStruct instead of arrays, as a learner has it
Rows = list[dict[str, float]]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint. rows: the lines of `metrics.jsonl` until then."""

    step: int
    state: TrainState
    sums: MetricSums
    clock: Clock
    rows: Rows


class Writer:
    """Writes checkpoints in a thread of its own, one at a time, and keeps the newest few.

    folders: of one run, or of each seed that trains together. note: receives what the user should know, once.
    best_step: of these rows, the step of the best epoch. Each checkpoint that is kept keeps the best one before it.
    processes: those that train together; all of them call this.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        keep: int,
        note: Callable[[str], None],
        best_step: Callable[[Rows], int | None] = lambda rows: None,
        processes: Processes = ALONE,
    ):
        self.folders, self.keep, self.note, self.best_step = folders, keep, note, best_step
        self.processes = processes
        self._held: dict[Path, _Item] = {}
        self._noted: set[str] = set()
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
        """Seconds since the last checkpoint, or since the beginning."""
        return time.monotonic() - self._last

    def hold(self, folder: Path, progress: Progress, rows: Rows) -> None:
        """Keeps a copy of the best epoch of one seed, which is written together with the next checkpoint.

        A kill before that loses both; the run reaches them again. A better epoch takes its place.
        """
        self._held[folder] = _Item(folder, progress.step, *_content(progress, rows))

    def save(self, progress: Progress, rows: Sequence[Rows]) -> None:
        """Stores where training stands. rows: of each folder. Copies the arrays, because the next chunk donates them.

        Raises MachineError if an earlier checkpoint could not be written.
        """
        self._wait()
        items = [
            _Item(folder, progress.step, *_content(progress.of_seed(index), rows[index]))
            for index, folder in enumerate(self.folders)
        ]
        self._last = time.monotonic()
        self._write([item for item in self._held.values() if item.step != progress.step] + items)

    def finish(self) -> None:
        """Waits until everything is on disk. Raises MachineError if it cannot be written."""
        self._wait()
        if self._held:
            self._write([*self._held.values()])
            self._wait()

    def _write(self, items: Sequence["_Item"]) -> None:
        """Has these checkpoints written: the best ones first, so that the newest is never without its best one."""
        self._held = {}
        self._pending = self._thread.submit(_write_all, items, self.keep, self.best_step, self.processes)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        for text in pending.result() if pending is not None else ():
            if text not in self._noted:
                self._noted.add(text)
                self.note(text)


@dataclass(frozen=True)
class _Item:
    """A checkpoint to write. record: the content of `progress.json`."""

    folder: Path
    step: int
    arrays: tuple[TrainState, MetricSums]
    record: dict[str, Any]


def _content(progress: Progress, rows: Rows) -> tuple[tuple[TrainState, MetricSums], dict[str, Any]]:
    arrays = jax.block_until_ready(jax.tree.map(jnp.copy, whole((progress.state, progress.sums))))
    clock = {name: getattr(progress.clock, name) for name in _CLOCK}
    record = {"format": FORMAT, "step": progress.step, "clock": clock, "rows": list(rows), "arrays": _forms(arrays)}
    return arrays, record


def _write_all(
    items: Sequence[_Item], keep: int, best_step: Callable[[Rows], int | None], processes: Processes
) -> list[str]:
    """Writes the checkpoints, and gives notes for the user.

    The oldest are deleted only after all are written, so that all seeds have one step.
    """
    for item in items:
        _write(item, processes)
    if not processes.is_first:
        return []
    last = {item.folder: item.record["rows"] for item in items}
    old = {folder: _old(steps(folder), keep, rows, best_step) for folder, rows in last.items()}
    return [note for folder, steps_of in old.items() if (note := _discard(folder, steps_of))]


def _old(found: Sequence[int], keep: int, rows: Rows, best_step: Callable[[Rows], int | None]) -> list[int]:
    """The steps whose checkpoints are needed no more: neither among the newest, nor the best one before one of them."""
    newest = found[-keep:]
    best = {best_step([row for row in rows if row["step"] <= step]) for step in newest}
    return [step for step in found if step not in best.union(newest)]


def _discard(folder: Path, old: Sequence[int]) -> str:
    """Deletes checkpoints, and what could not be deleted earlier. Gives the reason where something stays.

    A checkpoint is renamed before, so that it is there as a whole or not at all. A file server may keep a file that is
    open anywhere, and with it the folder.
    """
    try:
        for step in old:
            _put_aside(folder / str(step))
        for path in folder.glob(f"{_DISCARDED}*"):
            shutil.rmtree(path)
    except OSError as error:
        return f"{folder}: an old checkpoint cannot be deleted: {error.strerror}. It takes space, and nothing else."
    return ""


def _put_aside(path: Path) -> None:
    """Takes a checkpoint away at once; its files are deleted later. Raises OSError."""
    path.rename(path.with_name(f"{_DISCARDED}{uuid.uuid4().hex}"))


def _write(item: _Item, processes: Processes = ALONE) -> None:
    """Writes one checkpoint, its manifest last. All processes write the arrays, and process 0 all else."""
    folder, step = item.folder, item.step
    path = folder / str(step)
    with _errors_named(path):
        is_there = processes.is_first and _is_there(folder, step)
        if processes.exchange(is_there, topic="checkpoints")[0]:
            return
        with linked(folder) as plain, _manager(plain, range(processes.count)) as manager:
            manager.save(step, args=_orbax().args.StandardSave(item.arrays), force=True)
        if not processes.is_first:
            return
        if not _are_equal(_restored(folder, step, item.arrays), item.arrays):
            raise ValueError("it was read back with other values")
        _require_run(folder.parent)
        write_atomic(path / _PROGRESS, json.dumps(item.record))
        written = [name for name in _files(path) if not is_of_the_system(path / name)]
        write_atomic(path / _MANIFEST, "".join(f"{_digest(path / name)}  {name}\n" for name in written))


def _is_there(folder: Path, step: int) -> bool:
    """Whether the checkpoint is there already, to the bit, as training makes it. If not, its place is prepared."""
    _require_run(folder.parent)
    path = folder / str(step)
    if path.exists():
        if not _damage(path):
            return True
        _put_aside(path)
    folder.mkdir(exist_ok=True)
    return False


class _errors_named:
    """Turns an error of writing a checkpoint into MachineError."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, ValueError)):
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            raise MachineError(f"{self.path}: the checkpoint cannot be written: {reason}.") from None


def _require_run(folder: Path) -> None:
    """Raises MachineError if the run directory was deleted. Orbax would make it again, without its other files."""
    if not (folder / "config.json").is_file():
        raise MachineError(f"{folder}: the run directory is gone.")


def _orbax() -> Any:
    """The package, without its log. Its import takes long, and a run's first steps do not need it."""
    from orbax import checkpoint

    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Orbax logs at length what it then raises
    return checkpoint


def _manager(folder: Path, processes: Sequence[int]) -> Any:
    """Orbax's manager for these processes, which all work on one checkpoint."""
    ocp = _orbax()
    # Where they are named, they wait for one another without a device: this is no thread that may use it.
    together = ocp.options.MultiprocessingOptions(primary_host=processes[0], active_processes={*processes})
    options = ocp.CheckpointManagerOptions(
        create=False,
        enable_async_checkpointing=False,  # our thread adds the manifest
        multiprocessing_options=together,
    )
    return ocp.CheckpointManager(folder, options=options)


def _restored(folder: Path, step: int, arrays: Any) -> Any:
    """The arrays of a checkpoint on one device. arrays: of the same shapes and dtypes, or abstract ones."""
    placed = jax.tree.map(_on_one_device, arrays)
    with ExitStack() as stack:
        plain = stack.enter_context(_without_strays(folder, step))
        return stack.enter_context(_manager(plain, [jax.process_index()])).restore(
            step, args=_orbax().args.StandardRestore(placed)
        )


def _on_one_device(leaf: Any) -> jax.ShapeDtypeStruct:
    """The form of an array to restore. Without it, Orbax wants as many devices as there were when it was written."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=SingleDeviceSharding(jax.local_devices()[0]))


def _without_strays(folder: Path, step: int) -> AbstractContextManager[Path]:
    """A folder with this checkpoint, and with no file that its manifest does not name: Orbax reads some of them."""
    path = folder / str(step)
    named = _manifest(path) if (path / _MANIFEST).is_file() else None
    return linked(folder) if named is None or set(_files(path)) <= named.keys() else gathered(path, named)


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two trees have the same leaves, to the bit."""
    return [_bits(leaf) for leaf in jax.tree.leaves(one)] == [_bits(leaf) for leaf in jax.tree.leaves(other)]


def _bits(array: jax.Array) -> bytes:
    plain = jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array
    return jax.device_get(plain).tobytes()


def steps(folder: Path) -> list[int]:
    """The steps of all checkpoints, complete or not, the newest last."""
    return sorted(int(path.name) for path in folder.glob("*") if _STEP.fullmatch(path.name) and path.is_dir())


def load_latest(folders: Sequence[Path], abstract_state: AbstractState, console: Console) -> list[Checkpoint] | None:
    """The checkpoints of the newest step that is undamaged in every folder; None if there is none to resume from.

    A damaged checkpoint is named on the console and passed over.
    Raises InputError if it is of another model or of a newer format, MachineError if all are damaged.
    """
    common = sorted(set.intersection(*(set(steps(folder)) for folder in folders)))
    complete = [step for step in common if not _is_unfinished(folders, step, common)]
    for step in reversed(complete):
        damage = {folder: _damage(folder / str(step)) for folder in folders}
        if not any(damage.values()):
            return [_read(folder, step, abstract_state) for folder in folders]
        folder, reason = next((folder, reason) for folder, reason in damage.items() if reason)
        console.note(f"{folder / str(step)}: this checkpoint is damaged ({reason}); the one before it is used, if any.")
    if complete:
        damaged = ", ".join(map(str, common))
        raise MachineError(
            f"{folders[0]}: every checkpoint is damaged ({damaged}). Nothing was deleted. To train again, name another "
            "--workdir."
        )
    return None


def _is_unfinished(folders: Sequence[Path], step: int, common: Sequence[int]) -> bool:
    """Whether this is the newest and was being written when the process ended: its manifest comes last."""
    return step == common[-1] and not all((folder / str(step) / _MANIFEST).exists() for folder in folders)


def load_step(folder: Path, step: int, abstract_state: AbstractState) -> Checkpoint:
    """The checkpoint of a step. Raises InputError if there is none, MachineError if it is damaged."""
    _require_whole(folder, step)
    return _read(folder, step, abstract_state)


def require_best(folder: Path, row: Mapping[str, float]) -> None:
    """Raises InputError if there is no checkpoint of a run's best epoch so far, MachineError if it is damaged."""
    step, epoch = int(row["step"]), row["epoch"]
    try:
        _require_whole(folder, step)
    except (InputError, MachineError) as error:
        raise type(error)(
            f"{error} Step {step} ended epoch {epoch}, the best one so far, which --keep=best scores. Go back to a "
            "step before it with --resume_from, or name another --workdir."
        ) from None


def load_variables(folder: Path, step: int) -> dict[str, Any]:
    """The variables of a checkpoint that are scored, as NumPy arrays, whatever their model is.

    Raises InputError if there is no such checkpoint or no variables are in it, MachineError if it is damaged.
    """
    _require_whole(folder, step)
    _record(folder / str(step))
    try:
        state, _ = _content_as_dicts(folder, step)
        scored = state.get("average") or state
        variables = {"params": scored["params"], **scored.get("model_state", {})}
        return jax.tree.map(np.asarray, jax.device_get(variables))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder / str(step)}: its variables cannot be read ({reason}).") from None


def _content_as_dicts(folder: Path, step: int) -> Any:
    """The content of a checkpoint as plain dicts and lists, on one device."""
    with _without_strays(folder, step) as plain, _orbax().StandardCheckpointer() as checkpointer:
        path = plain / str(step) / _ITEM
        target = jax.tree.map(_on_one_device, checkpointer.metadata(path).item_metadata.tree)
        return checkpointer.restore(path, target=target)


def _require_whole(folder: Path, step: int) -> None:
    """Raises InputError if there is no checkpoint of this step, MachineError if it is damaged."""
    found = steps(folder)
    if step not in found:
        known = ", ".join(map(str, found)) or "none"
        raise InputError(f"{folder}: there is no checkpoint of step {step}. There are: {known}.")
    if damage := _damage(folder / str(step)):
        raise MachineError(f"{folder / str(step)}: the checkpoint is damaged: {damage}.")


def discard_after(folder: Path, step: int) -> None:
    """Deletes the checkpoints of later steps: training resumes from this one. Raises OSError."""
    for later in steps(folder):
        if later > step:
            _put_aside(folder / str(later))
    _discard(folder, ())  # what cannot be deleted now is tried again after the next checkpoint


def _read(folder: Path, step: int, abstract_state: AbstractState) -> Checkpoint:
    path = folder / str(step)
    record = _record(path)
    expected, found = _forms(abstract_state), record["arrays"]
    if record["format"] == 1:
        expected = {name: form for name, form in expected.items() if not name.endswith("_norm")}
        abstract_state = _without_norms(abstract_state)
    other = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if other:
        is_there, wanted = (forms.get(other[0], "missing") for forms in (found, expected))
        raise InputError(f"{path}: is of another model: {other[0]} is {is_there}, expected {wanted}.")
    state, sums = _restored(folder, step, abstract_state)
    clock = Clock(**{name: float(record["clock"][name]) for name in _CLOCK})
    if record["format"] == 1:
        unknown = jnp.full((), jnp.nan, jnp.float32)
        state, sums = (
            TrainState(model_state={}, average={}, **state),
            MetricSums(metrics={}, gradient_norm=unknown, parameter_norm=unknown, **sums),
        )
    return Checkpoint(step, state, sums, clock, record["rows"])


def _without_norms(abstract_state: AbstractState) -> Any:
    """The arrays of a checkpoint of format 1, as dicts."""
    state, sums = abstract_state
    return (
        {name: getattr(state, name) for name in ("step", "params", "opt_state", "key")},
        {name: getattr(sums, name) for name in ("loss", "correct", "count", "diverged_at")},
    )


def _forms(tree: Any) -> dict[str, str]:
    """Dtype and shape of each array, as in `float32[3, 3, 1, 32]`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _record(path: Path) -> dict[str, Any]:
    """The content of `progress.json`. Raises InputError if a newer program wrote it, or if it is damaged."""
    try:
        record = read_json(path / _PROGRESS, LARGEST_RECORD)
        if record["format"] not in (1, FORMAT):
            raise InputError(f"{path}: of checkpoint format {record['format']!r}; this program knows 1 to {FORMAT}.")
        rows = [{str(name): value for name, value in row.items()} for row in record["rows"]]
        numbers = [*(record["clock"][name] for name in _CLOCK), *(value for row in rows for value in row.values())]
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("not a number")
        arrays = {str(name): str(form) for name, form in record["arrays"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / _PROGRESS}: not a checkpoint's record ({error}).") from None
    return record | {"rows": rows, "arrays": arrays}


def _damage(path: Path) -> str:
    """What is wrong with the files of a checkpoint; empty if they are as they were written."""
    try:
        expected = _manifest(path)
        found = {name: _digest(path / name) for name in _files(path) if name in expected}
    except (OSError, ValueError) as error:
        return f"{type(error).__name__} in {_MANIFEST}"
    wrong = sorted(name for name in expected if expected[name] != found.get(name))
    if _PROGRESS not in expected:
        wrong.append(_PROGRESS)
    return f"{wrong[0]} is not the file that was written" if wrong else ""


def _manifest(path: Path) -> dict[str, str]:
    """Names and SHA-256 of a checkpoint's files, as its manifest has them. Raises OSError or ValueError."""
    lines = (path / _MANIFEST).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _files(path: Path) -> list[str]:
    """Names of all files in a checkpoint's folder, except for its manifest and links."""
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink()]
    return [file.relative_to(path).as_posix() for file in found if file.name != _MANIFEST]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
