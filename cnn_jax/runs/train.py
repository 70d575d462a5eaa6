"""Train a model and score it on the test set once. The default mode."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path

from cnn_jax import compilation, data
from cnn_jax.config import Config, run_name
from cnn_jax.errors import DivergedError, InputError, OutOfReachError
from cnn_jax.report.console import Console
from cnn_jax.runs import directory, many
from cnn_jax.runs.execute import Place, execute
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds_result import SeedsResult

RUNS = Path("runs")


def run(
    config: Config,
    *,
    changed: Collection[str] = (),
    config_file: Path | None = None,
    workdir: Path | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    overwrite: bool = False,
    resume_from: int | None = None,
    checkpoint_every: float = 60.0,
    keep_checkpoints: int = 3,
    max_time: float = math.inf,
    debug_nans: bool = False,
    deterministic: bool = False,
    progress: bool | None = None,
    compilation_cache: bool = True,
    seeds: int | None = None,
    seed_strategy: str | None = None,
    command_line: tuple[str, ...] = (),
) -> Result | SeedsResult:
    """Trains, evaluates and prints the result. See `execute` for what it raises.

    changed: the fields that the command line set, which become part of the default run directory's name.
    config_file: where the config came from; such a run opens a new numbered directory unless one is named. seeds,
    seed_strategy: train so many seeds, as `many.execute` has them; None: one run of the config. The others are as in
    `Place`.
    """
    if seed_strategy is not None and seeds is None:
        raise InputError(f"--seed_strategy={seed_strategy}: has no meaning without --seeds.")
    console = Console(progress=progress)
    compilation.start(persistent_cache=compilation_cache, deterministic=deterministic)
    if deterministic:
        console.note(compilation.price_of_determinism())
    remark = None
    if "dataset" not in changed and config_file is None:
        config, remark = _within_reach(config, data_dir, manual_dir, console)
    if workdir is None:
        name = run_name(config, changed, many_seeds=seeds is not None)
        workdir = directory.numbered(RUNS, name) if config_file else RUNS / name
    place = Place(
        workdir=workdir,
        data_dir=data_dir,
        manual_dir=manual_dir,
        overwrite=overwrite,
        resume_from=resume_from,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        max_time=max_time,
        debug_nans=debug_nans,
        command_line=command_line,
        remark=remark,
    )
    if seeds is not None:
        return _run_many(config, seeds, place, seed_strategy or "auto", console)
    result = execute(config, place, console)
    console.result(dataclasses.asdict(result))
    return result


def _run_many(config: Config, seeds: int, place: Place, strategy: str, console: Console) -> SeedsResult:
    """Raises DivergedError after all is printed where a seed has diverged."""
    result = many.execute(config, seeds, place, strategy, console)
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
    config: Config, data_dir: Path | None, manual_dir: Path | None, console: Console
) -> tuple[Config, str | None]:
    """The config, with glyphs where nobody named a dataset and MNIST cannot be had; then also a remark on that."""
    if config.dataset != Config.dataset:
        return config, None
    try:
        data.load(config.dataset, data_dir=data_dir, manual_dir=manual_dir, warn=console.note)
    except OutOfReachError as error:
        console.note(str(error))
        remark = f"no dataset was named and {config.dataset} is out of reach: trained on glyphs, which are drawn digits"
        console.line(f"NOT ON {config.dataset.upper()}: {remark}")
        return dataclasses.replace(config, dataset="glyphs"), remark
    return config, None
