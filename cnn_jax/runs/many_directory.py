"""The directory of many seeds: an ordinary run directory for each, `seed-0`, `seed-1`, ..., and what they share.

Of the whole: `config.json` with the first seed, `machine.json`, and `result.json`, written last. While seeds are
trained together, `together` holds where they stand.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cnn_jax.config import Config
from cnn_jax.errors import InputError
from cnn_jax.runs import seeds_result
from cnn_jax.runs.directory import (
    RunDirectory,
    begun,
    delete,
    entries,
    require_same,
    seed_folders,
    write_at_once,
    writing,
)
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import SeedsResult

_ENDED = ".together.ended"


@dataclass(frozen=True)
class ManyDirectory:
    """The files of many seeds at `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    def run(self, seed: int) -> RunDirectory:
        """The directory of one seed."""
        return RunDirectory(self.path / f"seed-{seed}")

    @property
    def together(self) -> RunDirectory:
        """Where seeds that are trained together stand, while they are."""
        return RunDirectory(self.path / "together")

    def is_there(self) -> bool:
        """Whether many seeds are here; InputError where there is something else that must not be touched."""
        there = entries(self.path)
        if there and seed_folders(self.path):
            return True
        if (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds a run of one seed. Name another folder, or omit --seeds.")
        if there:
            raise InputError(f"--workdir={self.path}: holds files, but no run. Name a new or empty folder.")
        return False

    def kept(self, config: Config, seeds: range) -> dict[int, Result]:
        """The results of the seeds that need no training: those that are done, and those that have diverged.

        Raises InputError where another config was run, or where there are other seeds than these.
        """
        if not self.is_there():
            return {}
        if (self.path / "config.json").is_file():
            require_same(RunDirectory(self.path).config(), config, self.path)
        there = list(seed_folders(self.path))
        if there[-1] not in seeds:
            needed = there[-1] - seeds.start + 1
            raise InputError(
                f"--seeds={len(seeds)}: {self.path} holds more, up to seed {there[-1]}. Use --seeds={needed} or more, "
                "or name another --workdir."
            )
        found = {seed: self._kept(replace(config, seed=seed)) for seed in there}
        return {seed: result for seed, result in found.items() if result}

    def _kept(self, config: Config) -> Result | None:
        run = self.run(config.seed)
        done, result = run.finished(config), run.result()
        has_diverged = result and result.status == "diverged" and run.config() == config
        return done or (result if has_diverged else None)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the directory where it is missing, and keeps other processes from training in it."""
        with RunDirectory(self.path).locked():
            yield

    def begin(self, config: Config, machine: dict, *, overwrite: bool) -> None:
        """Brings the files of the whole to where training begins or goes on. overwrite: delete all seeds.

        Raises InputError where the first seeds were trained on other data.
        """
        is_there, whole = self.is_there(), RunDirectory(self.path)
        if is_there and not overwrite and (self.path / "machine.json").is_file():
            whole.require_same_data(config, machine)
        with begun(self.path):
            if overwrite:
                shared = [self.path / name for name in ("together", "config.json", "machine.json")]
                for path in (*seed_folders(self.path).values(), *shared):
                    delete(path)
            delete(self.path / "result.json")
            delete(self.path / _ENDED)
            # A folder counts as one of many seeds once there is a seed in it.
            self.run(config.seed).path.mkdir(exist_ok=True)
            write_at_once(self.path / "config.json", config.to_json())
            write_at_once(self.path / "machine.json", json.dumps(machine, indent=2) + "\n")

    def end_together(self) -> None:
        """Deletes where seeds stood that were trained together, now that each is stored; at once or not at all."""
        with writing(self.together.path):
            ended = self.together.path.rename(self.path / _ENDED)
            delete(ended)

    def result(self) -> SeedsResult | None:
        """What the seeds came to; None while that is not known."""
        file = self.path / "result.json"
        return seeds_result.from_file(file) if file.exists() else None

    def write_result(self, result: SeedsResult) -> None:
        """Stores what the seeds came to, at once or not at all."""
        with writing(self.path / "result.json") as file:
            write_at_once(file, result.to_json())
