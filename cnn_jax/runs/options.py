"""Where and how a command runs."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.errors import InputError, unknown_name
from cnn_jax.runs.processes import ALONE, Processes

RUNS = Path("runs")  # the parent of all default folders
_AXES = ("data", "seed")  # of a mesh


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The flags of a command that do not belong to a Config. Raises InputError on a value out of range.

    workdir: the folder to work in; None means the command's default. dataset_dir: the folder or file of a dataset that
    takes one; None means that of the experiment or run. data_dir, manual_dir: as tensorflow_datasets has
    them; None means its defaults. overwrite: delete the run that is in the folder. resume_from: go back to the
    checkpoint of this step. checkpoint_every: seconds between two checkpoints; 0 means at the end of each epoch.
    keep_checkpoints: how many of the newest are kept. max_time: stop after this many seconds. seeds: how many seeds to
    train, from the Config's on. seed_strategy: `loop`, `vmap` or `auto`. mesh: how many devices share a batch, `data`,
    and the seeds, `seed`; None means all, laid out by their number. progress: show a progress bar; None means on a
    terminal. compilation_cache: keep compiled programs on disk. deterministic: the same bits every time, on
    accelerators too. config_file: the file that the Config was read from. changed: the Config fields that the command
    line set. command_line, remark: for the record. processes: those that train together; this is one of them.
    """

    workdir: Path | None = None
    dataset_dir: Path | None = None
    data_dir: Path | None = None
    manual_dir: Path | None = None
    overwrite: bool = False
    resume_from: int | None = None
    checkpoint_every: float = 60.0
    keep_checkpoints: int = 3
    max_time: float = math.inf
    seeds: int | None = None
    seed_strategy: str | None = None
    mesh: Mapping[str, int] | None = None
    progress: bool | None = None
    compilation_cache: bool = True
    deterministic: bool = False
    config_file: Path | None = None
    changed: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()
    remark: str | None = None
    processes: Processes = ALONE

    def __repr__(self) -> str:
        fields = {field.name: (field.default, getattr(self, field.name)) for field in dataclasses.fields(self)}
        changed = (f"{name}={value!r}" for name, (default, value) in fields.items() if value != default)
        return f"RunOptions({', '.join(changed)})"

    def __post_init__(self) -> None:
        if self.overwrite and self.resume_from is not None:
            raise InputError(
                f"--overwrite and --resume_from={self.resume_from}: the first deletes the run that the second resumes. "
                "Use --resume_from alone."
            )
        for name, value, is_good, expected in (
            ("resume_from", self.resume_from, self.resume_from is None or self.resume_from >= 0, "at least 0"),
            ("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 0, "at least 0 seconds"),
            ("keep_checkpoints", self.keep_checkpoints, self.keep_checkpoints >= 1, "at least 1"),
            ("max_time", self.max_time, self.max_time > 0, "above 0, as in 30s, 5m or 2h"),
        ):
            if not is_good:
                raise InputError(f"--{name}={value}: must be {expected}.")
        for axis, size in (self.mesh or {}).items():
            if axis not in _AXES:
                raise unknown_name("--mesh", axis, "axis", _AXES)
            if size < 1:
                raise InputError(f"--mesh={axis}:{size}: must be at least 1.")
        along_seed = (self.mesh or {}).get("seed", 1)
        if (self.seeds or 1) % along_seed:
            raise InputError(
                f"--mesh=seed:{along_seed}: cannot share {self.seeds or 1} seeds evenly. Set --seeds to a multiple."
            )

    @property
    def folder(self) -> Path:
        """The folder to work in, after the command has chosen one."""
        assert self.workdir is not None, "a command chooses a folder before it uses it"
        return self.workdir
