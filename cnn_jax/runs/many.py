"""Many seeds of one config: begun, gone on with, or already finished; one after the other or together."""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import jax

from cnn_jax import compilation
from cnn_jax.config import FIELDS, Config
from cnn_jax.errors import DivergedError, InputError, unknown_name
from cnn_jax.report.console import Console
from cnn_jax.runs import signals
from cnn_jax.runs.execute import Images, Place, compile_programs, load, machine_record, open_directory, run_from
from cnn_jax.runs.many_directory import ManyDirectory
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import SeedsResult, summarized
from cnn_jax.runs.signals import Requests
from cnn_jax.runs.together import Group, train_group, under_way
from cnn_jax.training.programs import Programs

STRATEGIES = ("auto", "loop", "vmap", "shard")
MOST_SEEDS = 10_000


@dataclass
class _Session:
    """What all seeds share. results: of the seeds so far. began: when the first program was ready."""

    config: Config
    place: Place
    directory: ManyDirectory
    images: Images
    console: Console
    requests: Requests
    results: dict[int, Result] = field(default_factory=dict)
    began: float | None = None

    def compile(self, group: Group | None = None) -> Programs:
        """The programs of a group, or of one seed after the other."""
        lanes, spread = (group.lanes, group.spread) if group else (None, False)
        compiled = compile_programs(self.config, self.place, self.images, self.console, lanes, spread=spread)
        self.began = self.began or time.monotonic()
        return compiled

    @property
    def seconds_left(self) -> float:
        """Of `max_time`."""
        return self.place.max_time - (time.monotonic() - (self.began or time.monotonic()))


def execute(config: Config, seeds: int, place: Place, strategy: str, console: Console) -> SeedsResult:
    """Trains the config with so many seeds from its own on, and leaves a directory of many seeds in `place.workdir`.

    Seeds that are done, or have diverged, are not trained again, and more may be added later. strategy: `loop`, one
    after the other with one compilation, to the bit what each seed gives alone; `vmap`, together in one program;
    `shard`, that with the devices sharing out the seeds; `auto`. One that diverges does not end the others: the result
    says so. Raises InputError before anything is written, Interrupted after what it interrupts is saved.
    """
    numbers = _numbers(config, seeds, place, strategy)
    directory = ManyDirectory(place.workdir)
    kept = {} if place.overwrite else directory.kept(config, numbers)
    if len(kept) == seeds:
        console.note(f"{place.workdir} holds these seeds, finished: their result again. To train anew: --overwrite.")
        return _stored(directory, kept, seeds)
    if not place.overwrite:
        _require_same_group(directory, numbers, strategy)
    images = load(config, place, console)
    with signals.deferred() as requests, compilation.memory_errors_named(), directory.locked():
        directory.begin(config, machine_record(place, images), overwrite=place.overwrite)
        kept = directory.kept(config, numbers)
        place = dataclasses.replace(place, overwrite=False)
        session = _Session(config, place, directory, images, console, requests, kept)
        _train(session, [seed for seed in numbers if seed not in kept], strategy)
        return _stored(directory, session.results, seeds)


def _numbers(config: Config, seeds: int, place: Place, strategy: str) -> range:
    """The seeds. Raises InputError on what cannot be."""
    largest = FIELDS["seed"].metadata["at_most"]
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"--seeds={seeds}: must be between 1 and {MOST_SEEDS:,}.")
    if config.seed + seeds - 1 > largest:
        raise InputError(f"--seeds={seeds}: from --seed={config.seed} on, they go beyond the largest, {largest:,}.")
    if strategy not in STRATEGIES:
        raise unknown_name("--seed_strategy", strategy, "strategy", STRATEGIES)
    if place.resume_from is not None:
        raise InputError("--resume_from: has no meaning with --seeds: each seed goes on from its newest checkpoint.")
    if place.debug_nans and strategy in ("vmap", "shard"):
        raise InputError(f"--debug_nans: has no meaning with --seed_strategy={strategy}, only with loop.")
    return range(config.seed, config.seed + seeds)


def _require_same_group(directory: ManyDirectory, seeds: range, strategy: str) -> None:
    """Raises InputError where seeds are under way together that are to go on in another way, or not at all."""
    before = under_way(directory.together)
    if before is None:
        return
    if strategy not in ("auto", before.strategy):
        raise InputError(
            f"--seed_strategy={strategy}: seeds {before.seeds[0]} to {before.seeds[-1]} are under way with "
            f"{before.strategy}. Go on with that, or use --overwrite to delete them."
        )
    if before.seeds[-1] not in seeds:
        needed = before.seeds[-1] - seeds.start + 1
        raise InputError(
            f"--seeds={len(seeds)}: in {directory.path} more are under way together, up to seed {before.seeds[-1]}. "
            f"Use --seeds={needed} or more, or name another --workdir."
        )


def _stored(directory: ManyDirectory, results: dict[int, Result], seeds: int) -> SeedsResult:
    """The result of the whole, which is written unless it is there."""
    before = directory.result()
    if before and [result.seed for result in before.seeds] == sorted(results):
        return before
    result = summarized(list(results.values()), seeds)
    directory.write_result(result)
    return result


def _train(session: _Session, seeds: Sequence[int], strategy: str) -> None:
    """Trains these seeds: those that stand together first, and then others together or one after the other."""
    for group in _groups(session, seeds, strategy):
        if session.seconds_left <= 0:
            return
        compiled = session.compile(group)
        if strategy == "auto" and compiled.training.memory_bytes > _memory_limit():
            session.console.line("together they need more memory than there is: one after the other (loop)")
            break
        session.results |= train_group(
            group, session.config, _timed(session), session.images, compiled, session.console, session.requests
        )
    alone = [seed for seed in seeds if seed not in session.results]
    if alone and session.seconds_left > 0:
        _train_one_after_another(session, alone)


def _groups(session: _Session, seeds: Sequence[int], strategy: str) -> list[Group]:
    """The seeds that are trained together: those that are under way so, and those that have not begun."""
    before = under_way(session.directory.together)
    chosen, reason = (before.strategy, "as they began") if before else _chosen(strategy, session.place)
    session.console.line(f"{len(seeds)} seeds with --seed_strategy={chosen}: {reason}")
    if chosen == "loop":
        return []
    fresh = [seed for seed in seeds if not session.directory.run(seed).is_run()]
    new = Group(tuple(seed for seed in fresh if not before or seed not in before.seeds), chosen)
    return [group for group in (before, new) if group and group.seeds]


def _chosen(strategy: str, place: Place) -> tuple[str, str]:
    """The strategy, and why. docs/performance.md has the measurements."""
    if strategy != "auto":
        return strategy, "as asked"
    if jax.default_backend() == "cpu":
        return "loop", "one after the other is the fastest on a CPU"
    if place.debug_nans:
        return "loop", "--debug_nans looks at one at a time"
    if len(jax.devices()) > 1:
        return "shard", "the devices share them out"
    return "vmap", "one program for all keeps the device busy"


def _memory_limit() -> float:
    """Bytes of memory that a device has for programs; infinity where it does not tell."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit", math.inf)


def _timed(session: _Session) -> Place:
    return dataclasses.replace(session.place, max_time=max(session.seconds_left, 1e-9))


def _train_one_after_another(session: _Session, seeds: Sequence[int]) -> None:
    """Trains these seeds with one compilation, until they are done or the time is over."""
    compiled = session.compile()
    for seed in seeds:
        session.requests.raise_if_ending()
        if session.seconds_left <= 0:
            return
        session.console.line(f"seed {seed}")
        session.results[seed] = _train_one(session, seed, compiled)
        if session.results[seed].status == "stopped":
            return


def _train_one(session: _Session, seed: int, compiled: Programs) -> Result:
    config, directory = dataclasses.replace(session.config, seed=seed), session.directory.run(seed)
    place = dataclasses.replace(_timed(session), workdir=directory.path)
    with directory.locked():
        saved = open_directory(config, place, directory, session.images, session.console)
        try:
            return run_from(saved, config, place, session.images, compiled, session.console, session.requests)
        except DivergedError as error:
            session.console.note(f"seed {seed}: {error}")
            return directory.stored_result()
