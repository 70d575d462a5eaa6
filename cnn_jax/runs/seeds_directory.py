"""The directory of several seeds: an ordinary run directory for each, `seed-0`, `seed-1`, ..., and what they share.

They share `config.json` with the first seed, `machine.json`, and `result.json`, written last.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import delete, machine_errors, write_atomic, write_json
from cnn_jax.runs import machine as machines
from cnn_jax.runs.directory import RunDirectory, entries, input_errors, require_same, seed_folders
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import SeedsResult, read_seeds_result

_OLD_GROUP = "together"  # where an earlier version of this program kept seeds while they trained together


@dataclass(frozen=True)
class SeedsDirectory:
    """The files of several seeds at `path`. Reading raises InputError; writing raises MachineError."""

    path: Path

    def run(self, seed: int) -> RunDirectory:
        """The directory of one seed."""
        return RunDirectory(self.path / f"seed-{seed}")

    def exists(self) -> bool:
        """Whether several seeds are here. Raises InputError if there is something else, which must not be touched."""
        found = entries(self.path)
        if found and seed_folders(self.path):
            return True
        if (self.path / "config.json").is_file():
            raise InputError(f"--workdir={self.path}: holds a run of one seed. Name another folder, or omit --seeds.")
        if found:
            raise InputError(f"--workdir={self.path}: holds files, but no run. Name a new or empty folder.")
        return False

    def completed(self, experiment: Experiment, seeds: range) -> dict[int, Result]:
        """The results of the seeds that need no training: those that are done, and those that have diverged.

        Raises InputError if there are runs of another Config, or of other seeds than these.
        """
        if not self.exists():
            return {}
        if (self.path / _OLD_GROUP).is_dir():
            raise InputError(
                f"--workdir={self.path}: an earlier version trained these seeds together, and this version cannot "
                "resume that. Name another --workdir, or use --overwrite to delete them."
            )
        if (self.path / "config.json").is_file():
            require_same(RunDirectory(self.path), experiment)
        last = list(seed_folders(self.path))[-1]
        if last not in seeds:
            needed = last - seeds.start + 1
            raise InputError(
                f"--seeds={len(seeds)}: {self.path} holds more, up to seed {last}. Use --seeds={needed} or more, "
                "or name another --workdir."
            )
        found = {seed: self._completed(experiment.replace(seed=seed)) for seed in seed_folders(self.path)}
        return {seed: result for seed, result in found.items() if result}

    def _completed(self, experiment: Experiment) -> Result | None:
        run = self.run(experiment.config.seed)
        done, result = run.completed(experiment), run.result()
        is_same = run.is_run() and not experiment.differences(run.config())
        has_diverged = result and result.status == "diverged" and is_same
        return done or (result if has_diverged else None)

    def trained_in_words(self) -> str:
        """How much training is here, of each seed."""
        return "; ".join(f"seed {seed}, {self.run(seed).trained_in_words()}" for seed in seed_folders(self.path))

    def groups(self) -> list[tuple[int, ...]]:
        """The groups of seeds that train together, or did, as the `machine.json` of each seed records them.

        Once one of a group is finished, those that record nothing of it are not in it: their folders were deleted.
        """
        recorded = {seed: self._recorded_group(seed) for seed in seed_folders(self.path)}
        groups = []
        for group in dict.fromkeys(filter(None, recorded.values())):
            if any(map(self.is_finished, group)):
                group = tuple(seed for seed in group if recorded.get(seed) == group)
            groups.append(group)
        return groups

    def _recorded_group(self, seed: int) -> tuple[int, ...]:
        """The seeds that this one trains together with, itself among them; empty if none are recorded."""
        seeds = self.run(seed).machine().get("seeds")
        if not isinstance(seeds, list) or seed not in seeds or not all(type(other) is int for other in seeds):
            return ()
        return tuple(seeds)

    def is_finished(self, seed: int) -> bool:
        """Whether a seed has a final result: it is done, or has diverged."""
        result = self.run(seed).result()
        return result is not None and result.status in ("done", "diverged")

    @contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        """Makes the directory if it is missing, and keeps other processes from training in it."""
        with RunDirectory(self.path).locked(note):
            yield

    def start(self, experiment: Experiment, machine: dict, note: Callable[[str], None], *, overwrite: bool) -> None:
        """Brings the shared files to where training starts or resumes. overwrite: delete all seeds.

        note: receives what the user should know. Raises InputError if the first seeds were trained on other data.
        """
        if self.exists() and not overwrite:
            RunDirectory(self.path).require_same_origin(experiment.config, machine, note)
            for folder in seed_folders(self.path).values():  # where the shared file is lost, theirs may be there
                if RunDirectory(folder).machine():
                    RunDirectory(folder).require_same_origin(experiment.config, machine)
        history = machines.with_history(machine, {} if overwrite else RunDirectory(self.path).machine())
        with input_errors(self.path):
            if overwrite:
                for path in (*seed_folders(self.path).values(), self.path / _OLD_GROUP):
                    delete(path)
            delete(self.path / "result.json")
            # A folder counts as one of several seeds once there is a seed in it.
            self.run(experiment.config.seed).path.mkdir(exist_ok=True)
            write_atomic(self.path / "config.json", experiment.config.to_json())
            write_json(self.path / "machine.json", history)

    def result(self) -> SeedsResult | None:
        """The result of all seeds; None if there is none yet."""
        file = self.path / "result.json"
        return read_seeds_result(file) if file.exists() else None

    def write_result(self, result: SeedsResult) -> None:
        """Stores the result of all seeds, completely or not at all.

        The other shared files are the first seed's where commands of a single seed have trained all of them.
        """
        with machine_errors(self.path / "result.json") as file:
            for name in ("config.json", "machine.json"):
                first = self.run(result.seeds[0].seed).path / name
                if not (self.path / name).exists() and first.exists():
                    write_atomic(self.path / name, first.read_text(encoding="utf-8"))
            write_atomic(file, result.to_json())
