"""The trials of a sweep: each setting with each seed, trained and scored on held-out images.

They run in one process or in several, which may be on several machines. Each claims a trial before it runs it. Test
images are never used. Trials that differ only in learning rate and seed share their compiled functions.
"""

import dataclasses
import functools
import itertools
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from typing import Any

from cnn_jax import compilation, program
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError, MachineError, ProjectError
from cnn_jax.experiment import Experiment, build
from cnn_jax.output import lasting_output
from cnn_jax.report.console import Console
from cnn_jax.report.format import duration, loss, percent
from cnn_jax.runs import selection, signals
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.runs.signals import SignalFlags
from cnn_jax.studies.sweep.claims import Claim
from cnn_jax.studies.sweep.directory import NUMBERS, Row, SweepDirectory
from cnn_jax.studies.sweep.space import Setting, setting_words
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Progress, diverged
from cnn_jax.training.mesh import make_mesh

_POLL_SECONDS = 0.5  # between two checks for signals; about as long as a chunk of steps
_SHUTDOWN_SECONDS = 30.0  # for a process to end by itself: it may be compiling
_LOOKS = 4  # at the claims of others, within the time after which they are taken over
_LONGEST_PAUSE = 5.0  # seconds between two looks

Functions = Callable[[Config], tuple[Training, Inference]]


@dataclass(frozen=True)
class Trial:
    """One setting with one seed. number: counted from 1 over all trials of the sweep."""

    number: int
    settings: Setting
    config: Config


@dataclass(frozen=True)
class Workload:
    """The trials of an experiment that processes are to run. total: those of the sweep, including finished ones.

    claim_timeout: seconds without a sign of life after which the trial of another process is free.
    """

    experiment: Experiment
    trials: Sequence[Trial]
    total: int
    directory: SweepDirectory
    options: RunOptions
    claim_timeout: float


def all_trials(base: Experiment, settings: Sequence[Setting], seeds: int) -> list[Trial]:
    """All trials, sorted so that trials which share compiled functions follow each other.

    Raises InputError for a setting that is not a valid Config.
    """
    groups: dict[Config, list[tuple[Setting, Config]]] = {}
    for setting in settings:
        varied = base.vary(setting)
        with_seeds = [(setting, varied.replace(seed=base.config.seed + number).config) for number in range(seeds)]
        groups.setdefault(compiled_config(varied), []).extend(with_seeds)
    pairs = itertools.chain.from_iterable(groups.values())
    return [Trial(number, *pair) for number, pair in enumerate(pairs, start=1)]


def compiled_config(experiment: Experiment) -> Config:
    """The Config without the fields that compiled functions take as arguments: equal ones share these functions."""
    arguments = ["experiment", "seed", "learning_rate", *([] if experiment.planned_parts else ["epochs"])]
    return dataclasses.replace(experiment.config, **{name: getattr(Config, name) for name in arguments})


def run_trials(workload: Workload, dataset: Dataset, jobs: int, console: Console) -> None:
    """Runs the trials, in `jobs` processes, and stores a row for each in the directory.

    Trials that other commands run are waited for. A trial that diverges is recorded too. Raises Interrupted; an
    unfinished trial has no row and starts again when the sweep is resumed. Raises MachineError when another process
    dies.
    """
    jobs = min(jobs, len(workload.trials))
    with signals.deferred() as flags, compilation.memory_errors_named():
        if jobs > 1:
            _run_in_processes(workload, jobs, flags)
        functions, is_said = _functions(workload, dataset), False
        while claims := _run_free(workload, functions, console, flags.raise_if_ending):
            if not is_said:
                console.line(_waiting(claims))
            is_said = True
            _pause(min(workload.claim_timeout / _LOOKS, _LONGEST_PAUSE), flags)


def _run_free(
    workload: Workload, functions: Functions, console: Console, check: Callable[[], None]
) -> list[tuple[Trial, Claim]]:
    """Runs the trials that have no row and that no other process has claimed; gives the claims of the others.

    check: called after each chunk; raises when the sweep is to end.
    """
    claims = []
    for trial in workload.trials:
        check()
        if workload.directory.row_file(trial.config).exists():
            continue
        with workload.directory.claimed(trial.config, workload.claim_timeout) as claim:
            if claim:
                claims.append((trial, claim))
            elif not workload.directory.row_file(trial.config).exists():  # its row may have come just before the claim
                _run(workload, trial, functions, console, check)
    return claims


def _run(workload: Workload, trial: Trial, functions: Functions, console: Console, check: Callable[[], None]) -> None:
    """Runs a trial and stores its row."""
    training, validation = functions(compiled_config(workload.experiment.with_config(trial.config)))
    row = {"settings": dict(trial.settings), "seed": trial.config.seed}
    row |= _numbers(trial.config, training, validation, console, check)
    workload.directory.write_row(trial.config, row)
    console.line(_line(trial, row, workload.total))


def _waiting(claims: Sequence[tuple[Trial, Claim]]) -> str:
    """That other commands run trials, as a line of the console."""
    trial, claim = claims[0]
    others = f", and {len(claims) - 1} more" if len(claims) > 1 else ""
    return f"waiting for trial {trial.number}, claimed by {claim.holder} (renewed {duration(claim.age)} ago){others}"


def _pause(seconds: float, flags: SignalFlags) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        flags.raise_if_ending()
        time.sleep(min(left, _POLL_SECONDS))


def _functions(workload: Workload, dataset: Dataset) -> Functions:
    """The compiled functions by `compiled_config`; the last ones are kept."""
    return functools.lru_cache(maxsize=1)(functools.partial(_compiled, workload.experiment, dataset))


def _compiled(experiment: Experiment, dataset: Dataset, config: Config) -> tuple[Training, Inference]:
    """The compiled functions of trials that share them."""
    train, held_out = split_training_images(dataset, config.train_examples, config.validation_examples)
    assert held_out is not None, "a sweep has held-out images"
    learner, mesh = build(experiment.with_config(config), dataset.spec), make_mesh()
    return compile_training(learner, train, mesh), compile_inference(learner, held_out, mesh)


def _numbers(
    config: Config, training: Training, validation: Inference, console: Console, check: Callable[[], None]
) -> Row:
    """The numbers and the status of a trial. It has also diverged if the loss on the held-out images is not finite."""
    training = training.replace(learning_rate=config.learning_rate, epochs=config.epochs)
    try:
        with console.bar(config.epochs, training.epoch_steps) as show:

            def is_enough(progress: Progress) -> bool:
                assert progress.train is not None, "a chunk has at least one image"
                show(progress.step, progress.train, progress.images_per_second or 0.0)
                check()
                return False

            each_epoch = validation if config.chooses_epochs else None  # at the end is enough, and takes less time
            trained = selection.train(config, training, each_epoch, is_enough)
        last, kept = trained.last, trained.kept
        scores = validation.score(kept.state.variables), kept.train
        if scores[1] is None or not math.isfinite(scores[0].loss):
            raise diverged(last.epoch, last.step)
        main = training.learner.task.main_output
        held_out, on_train = scores[0].of_output(main), scores[1].of_output(main)
    except DivergedError as end:
        ended = {"status": "diverged", "epochs": (end.step - 1) // training.epoch_steps, "steps": end.step}
        return ended | dict.fromkeys(NUMBERS)
    return {
        "status": "done",
        "epochs": last.finished_epochs,
        "steps": last.step,
        "validation_loss": held_out.cross_entropy,
        "validation_accuracy": held_out.accuracy,
        "train_loss": on_train.cross_entropy,
        "train_accuracy": on_train.accuracy,
        "seconds": last.clock.total,
        "images_per_second": last.images_per_second,
    }


def _line(trial: Trial, row: Row, total: int) -> str:
    """A finished trial as a line of the console."""
    what = f"trial {trial.number}/{total}  {setting_words(trial.settings)}  seed {row['seed']}: "
    if row["status"] == "diverged":
        return f"{what}diverged at step {row['steps']:,}"
    scores = f"validation accuracy {percent(row['validation_accuracy'])}, loss {loss(row['validation_loss'])}"
    return f"{what}{scores}, {duration(row['seconds'])}"


def _run_in_processes(workload: Workload, jobs: int, flags: SignalFlags) -> None:
    """Runs free trials in several processes, until none is left, a signal arrives, or one of the processes dies."""
    context = multiprocessing.get_context("spawn")
    arguments = (workload, compilation.settings())
    processes = [context.Process(target=_process, args=arguments, daemon=True) for _ in range(jobs)]
    try:
        _start(processes)
        while alive := [process.sentinel for process in processes if process.is_alive()]:
            connection.wait(alive, _POLL_SECONDS)
            flags.raise_if_ending()
            for process in processes:
                if process.exitcode:
                    raise MachineError(
                        f"Process {process.pid} of {jobs} ended with code {process.exitcode}. "
                        "Finished trials are kept; the same command resumes the sweep."
                    )
    finally:
        _end([process for process in processes if process.is_alive()])


def _start(processes: Sequence[Any]) -> None:
    """Starts processes that ignore what a terminal sends to all processes: this one ends the others."""
    if os.name == "posix":
        resource_tracker.ensure_running()  # if multiprocessing starts it with the first process, it unblocks SIGINT
    with signals.blocked():
        for process in processes:
            process.start()


def _end(processes: Sequence[Any]) -> None:
    """Ends processes, by force where they do not end by themselves."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_SHUTDOWN_SECONDS)
        process.kill()
        process.join()


def _process(workload: Workload, jax_settings: Mapping[str, Any]) -> None:
    """The main function of each of several processes."""
    compilation.apply_jax_config(jax_settings)
    parent = multiprocessing.parent_process()
    assert parent is not None, "another process started this one"

    def check() -> None:
        flags.raise_if_ending()
        if not parent.is_alive():
            raise MachineError("The process that started this one is gone.")

    try:
        with lasting_output(), signals.deferred() as flags, compilation.memory_errors_named():
            console = Console(progress=False)
            dataset = load_dataset(workload.experiment, workload.options, console)
            _run_free(workload, _functions(workload, dataset), console, check)
    except ProjectError as error:
        if error.exit_code < 128:  # an interruption needs no message
            with lasting_output():
                print(f"{program.name()}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
