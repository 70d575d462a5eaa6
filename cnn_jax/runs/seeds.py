"""Several seeds of one Config: started, resumed, or already finished; one after the other, or together."""

import dataclasses
import math
from collections.abc import Sequence

import jax

from cnn_jax import compilation
from cnn_jax.config import LARGEST_SEED, Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import DivergedError, InputError, unknown_name
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs import signals
from cnn_jax.runs.execute import train_runs
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.read_only import seeds_directory
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_directory import SeedsDirectory
from cnn_jax.runs.seeds_result import SeedsResult, summarized
from cnn_jax.runs.session import Session, open_session, require_other_folder

STRATEGIES = ("auto", "loop", "vmap")
MOST_SEEDS = 10_000

Group = tuple[int, ...]  # seeds that train together


def execute_seeds(
    experiment: Experiment, options: RunOptions, console: Console, dataset: Dataset | None = None
) -> SeedsResult:
    """Trains `options.seeds` seeds of an experiment, from the Config's own on, with a directory for each.

    Seeds that are done or have diverged are not trained again, and more may be added later. options.folder: of all
    directories. options.seed_strategy: `loop` trains one after the other with one compilation, to the bit as each seed
    alone; `vmap` trains them together in one program, whose devices share out the seeds; `auto` chooses by platform. A
    seed that diverges does not end the others. dataset: the experiment's, if it is loaded already. Raises InputError
    before anything is written, Interrupted after everything is saved.
    """
    require_other_folder(experiment, options.folder)
    seeds = seed_range(experiment.config, options)
    directory = seeds_directory(options.folder, options.processes)
    directory.exists()  # raises InputError before a lock is made in a folder of something else
    results = {} if options.overwrite else directory.completed(experiment, seeds)
    if len(results) == len(seeds):
        advice = "To train again, name another --workdir; --overwrite deletes this one."
        console.note(f"{options.folder} holds these seeds, finished. {advice}")
        return _stored(directory, results, len(seeds))
    if not options.overwrite:
        _require_same_group(directory, seeds, options)
    session = open_session(experiment, options, console, dataset)
    session.require_initial(directory.run(seed) for seed in seeds if seed not in results)
    with (
        signals.deferred() as session.signals,
        compilation.memory_errors_named(),
        directory.locked(session.console.note),
    ):
        if options.overwrite and directory.exists():
            console.note(f"--overwrite deletes all seeds in {directory.path}: {directory.trained_in_words()}")
        directory.start(experiment, session.machine_record(), console.note, overwrite=options.overwrite)
        session.options = dataclasses.replace(options, overwrite=False)
        results = directory.completed(experiment, seeds)
        _train(session, directory, [seed for seed in seeds if seed not in results], results)
        return _stored(directory, results, len(seeds))


def seed_range(config: Config, options: RunOptions) -> range:
    """The seeds to train. Raises InputError on options that make no sense."""
    number, largest = options.seeds or 0, LARGEST_SEED
    require_number_of_seeds(number)
    if config.seed + number - 1 > largest:
        raise InputError(f"--seeds={number}: from --seed={config.seed} on, they exceed the largest seed, {largest:,}.")
    if _strategy(options) not in STRATEGIES:
        raise unknown_name("--seed_strategy", _strategy(options), "strategy", STRATEGIES)
    if _strategy(options) == "loop" and (options.mesh or {}).get("seed", 1) > 1:
        raise InputError("--mesh: with --seed_strategy=loop, one seed trains at a time. Use vmap, or data alone.")
    if config.patience is not None and _strategy(options) == "vmap":
        raise InputError(
            f"--patience={config.patience}: seeds that train together end together, but each has its own patience. Use "
            "--seed_strategy=loop."
        )
    if options.resume_from is not None:
        raise InputError("--resume_from: has no meaning with --seeds: each seed resumes from its newest checkpoint.")
    return range(config.seed, config.seed + number)


def require_number_of_seeds(number: int) -> None:
    """Raises InputError if this many seeds cannot be trained."""
    if not 1 <= number <= MOST_SEEDS:
        raise InputError(f"--seeds={number}: must be between 1 and {MOST_SEEDS:,}.")


def _strategy(options: RunOptions) -> str:
    return options.seed_strategy or "auto"


def _require_same_group(directory: SeedsDirectory, seeds: range, options: RunOptions) -> None:
    """Raises InputError if seeds that have begun together are not to be resumed together."""
    for group in _unfinished_groups(directory):
        if _strategy(options) == "loop":
            raise InputError(
                f"--seed_strategy=loop: seeds {group[0]} to {group[-1]} have begun together, with vmap. Resume them "
                "with that, or use --overwrite to delete them."
            )
        if group[-1] not in seeds:
            needed = group[-1] - seeds.start + 1
            raise InputError(
                f"--seeds={len(seeds)}: in {directory.path} more seeds train together, up to seed {group[-1]}. "
                f"Use --seeds={needed} or more, or name another --workdir."
            )


def _unfinished_groups(directory: SeedsDirectory) -> list[Group]:
    """The groups in which a seed has no final result."""
    if not directory.exists():
        return []
    return [group for group in directory.groups() if not all(map(directory.is_finished, group))]


def _stored(directory: SeedsDirectory, results: dict[int, Result], wanted: int) -> SeedsResult:
    """The result of all seeds. It is written unless it is there."""
    before = directory.result()
    if before and [result.seed for result in before.seeds] == sorted(results):
        return before
    result = summarized(list(results.values()), wanted)
    directory.write_result(result)
    return result


def _train(session: Session, directory: SeedsDirectory, seeds: Sequence[int], results: dict[int, Result]) -> None:
    """Trains these seeds and adds their results: first the groups, then the others one after the other."""
    for group in _groups(session, directory, seeds):
        if session.agree().is_over:
            return
        functions = session.functions(len(group) if len(group) > 1 else None)
        if _strategy(session.options) == "auto" and functions.training.memory_bytes > _memory_limit():
            session.console.line("together they need more memory than there is: one after the other (loop)")
            break
        results |= _train_together(session, directory, group)
    for seed in seeds:
        if seed in results:
            continue
        if session.agree().is_over:
            return
        session.console.line(f"seed {seed}")
        results |= _train_together(session, directory, (seed,))
        if results[seed].status == "stopped":
            return


def _groups(session: Session, directory: SeedsDirectory, seeds: Sequence[int]) -> list[Group]:
    """The seeds that train together: unfinished groups, and with `vmap` also those that have not begun."""
    begun = [group for group in _unfinished_groups(directory) if set(group) & set(seeds)]
    strategy, reason = ("vmap", "as they began") if begun else _chosen(session.config, session.options)
    session.console.line(f"{len(seeds)} seeds with --seed_strategy={strategy}: {reason}")
    if strategy == "loop":
        return []
    in_groups = {seed for group in begun for seed in group}
    fresh = tuple(seed for seed in seeds if seed not in in_groups and not directory.run(seed).is_run())
    return [*begun, fresh] if fresh else begun


def _chosen(config: Config, options: RunOptions) -> tuple[str, str]:
    """The strategy, and the reason for it. docs/performance.md has the measurements."""
    if _strategy(options) != "auto":
        return _strategy(options), "as asked"
    if config.patience is not None:
        return "loop", "each seed has its own patience"
    if (options.mesh or {}).get("seed", 1) > 1:
        return "vmap", "--mesh shares out the seeds"
    if jax.default_backend() == "cpu":
        return "loop", "one after the other is the fastest on a CPU"
    return "vmap", "one program for all seeds keeps the devices busy"


def _memory_limit() -> float:
    """Bytes of memory that a device has for programs; infinity if it is unknown."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", math.inf)


def _train_together(session: Session, directory: SeedsDirectory, group: Group) -> dict[int, Result]:
    """Trains the seeds of a group, or one seed. One that diverges has a result that says so."""
    experiments = [session.experiment.replace(seed=seed) for seed in group]
    runs = [directory.run(seed) for seed in group]
    try:
        return dict(zip(group, train_runs(session, experiments, runs), strict=True))
    except DivergedError as error:
        [seed], [run] = group, runs
        session.console.note(f"seed {seed}: {error}")
        result = run.result()
        assert result is not None, "a run that diverges has a result"
        return {seed: result}
