"""Trains a model and scores it on the test set once: the default mode."""

import dataclasses

from cnn_jax import compilation
from cnn_jax.config import Config, run_name
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import DivergedError, InputError, OutOfReachError
from cnn_jax.experiment import Experiment
from cnn_jax.files import numbered
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds import execute_seeds
from cnn_jax.runs.seeds_result import SeedsResult
from cnn_jax.runs.session import facts, load_dataset


def run(experiment: Experiment, options: RunOptions) -> Result | SeedsResult:
    """Trains, scores and prints the result. With `options.seeds` trains this many seeds.

    A Config from a file gets a new numbered folder unless one is named. Raises what `execute` and `execute_seeds`
    raise, and DivergedError after everything is printed if one of several seeds has diverged.
    """
    if options.seed_strategy is not None and options.seeds is None:
        raise InputError(f"--seed_strategy={options.seed_strategy}: has no meaning without --seeds.")
    console = Console(progress=options.progress, is_silent=not options.processes.is_first)
    compilation.start(persistent_cache=options.compilation_cache, deterministic=options.deterministic)
    if options.deterministic:
        console.note(compilation.price_of_determinism())
    options.processes.require_same(facts(experiment, options))
    config, dataset, remark = experiment.config, None, None
    if "dataset" not in options.changed and options.config_file is None and config.dataset.name == Config.dataset.name:
        experiment, dataset, remark = _within_reach(experiment, options, console)
    # Of a command line, what it has changed. A call from Python has none: everything that is no default, so that each
    # variant has a folder of its own.
    changed = options.changed if options.command_line else tuple(experiment.changes)
    name = run_name(experiment.config, changed, many_seeds=options.seeds is not None)
    default = numbered(RUNS, name) if options.config_file else RUNS / name
    options = dataclasses.replace(options, workdir=options.workdir or default, remark=remark)
    if options.seeds is not None:
        return _run_seeds(experiment, options, console, dataset)
    result = execute(experiment, options, console, dataset)
    console.result(dataclasses.asdict(result))
    return result


def _run_seeds(experiment: Experiment, options: RunOptions, console: Console, dataset: Dataset | None) -> SeedsResult:
    result = execute_seeds(experiment, options, console, dataset)
    console.seeds(dataclasses.asdict(result))
    bad = [seed for seed in result.seeds if seed.status == "diverged"]
    if bad:
        names = ", ".join(str(seed.seed) for seed in bad)
        raise DivergedError(
            f"{len(bad)} of {len(result.seeds)} seeds have diverged: {names}. Try a smaller --learning_rate.",
            bad[0].steps,
        )
    return result


def _within_reach(
    experiment: Experiment, options: RunOptions, console: Console
) -> tuple[Experiment, Dataset | None, str | None]:
    """The experiment and its dataset, or glyphs and a remark where the default dataset cannot be downloaded."""
    try:
        return experiment, load_dataset(experiment, options, console), None
    except OutOfReachError as error:
        console.note(str(error))
    name = experiment.config.dataset.name
    remark = f"no dataset was named and {name} is out of reach: trained on glyphs, which are drawn digits"
    console.line(f"NOT ON {name.upper()}: {remark}")
    return experiment.replace(dataset="glyphs"), None, remark
