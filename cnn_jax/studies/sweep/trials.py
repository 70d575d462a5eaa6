"""The trials of a sweep: each setting with each seed, trained and scored on held-out images, in one process or several.

The test set is not looked at, and no program is compiled for it. Trials that differ in nothing but learning rate and
seed share their programs.
"""

import dataclasses
import functools
import math
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError, MachineError, ProjectError
from cnn_jax.report.console import Console
from cnn_jax.runs import signals
from cnn_jax.runs.signals import Requests
from cnn_jax.studies.sweep.directory import NUMBERS, Row, SweepDirectory
from cnn_jax.studies.sweep.space import Setting, as_words
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import Progress, begin, diverged, fit
from cnn_jax.training.programs import Inference, Training

_PATIENCE = 0.5  # seconds between two looks at signals and at a parent process; about the length of a chunk of steps
_FAREWELL = 30.0  # seconds for a process to end by itself: it may be compiling


@dataclass(frozen=True)
class Trial:
    """One setting with one seed. number: its place among all trials of the sweep, from 1."""

    number: int
    settings: Setting
    config: Config


@dataclass(frozen=True)
class Task:
    """What several processes share out among them. total: trials in the sweep, finished ones included.

    jax_settings: for processes that have set nothing yet.
    """

    trials: Sequence[Trial]
    total: int
    directory: SweepDirectory
    data_dir: Path | None
    manual_dir: Path | None
    jax_settings: Mapping[str, Any]

    def load(self) -> Dataset:
        """The dataset of all trials."""
        config = self.trials[0].config
        return data.load(
            config.dataset, data_dir=self.data_dir, manual_dir=self.manual_dir, glyph_seed=config.glyph_seed
        )


def trials(base: Config, settings: Sequence[Setting], seeds: int) -> list[Trial]:
    """All trials, those that share programs one after the other. Raises InputError on a setting that is no config."""
    configs = [dataclasses.replace(base, **setting) for setting in settings]
    order = {program: place for place, program in enumerate(dict.fromkeys(map(program_of, configs)))}
    pairs = sorted(zip(settings, configs, strict=True), key=lambda pair: order[program_of(pair[1])])
    chosen = range(base.seed, base.seed + seeds)
    each = [(setting, dataclasses.replace(config, seed=seed)) for setting, config in pairs for seed in chosen]
    return [Trial(number, *pair) for number, pair in enumerate(each, start=1)]


def program_of(config: Config) -> Config:
    """What its programs are made from: the same for configs that share them, whose other fields are arguments."""
    arguments: dict[str, Any] = {"experiment": Config.experiment, "seed": Config.seed}
    arguments["learning_rate"] = Config.learning_rate
    if config.schedule == "constant":
        arguments["epochs"] = Config.epochs
    return dataclasses.replace(config, **arguments)


def run(task: Task, dataset: Dataset, jobs: int, console: Console) -> None:
    """Runs the trials and appends a row of each to `sweep.jsonl`; with several jobs, each in a process of its own.

    One that diverges is recorded, and the others go on. Raises Interrupted; a trial that was under way has no row and
    begins anew when the same command goes on. Raises MachineError where another process dies.
    """
    jobs = min(jobs, len(task.trials))
    with signals.deferred() as requests, compilation.memory_errors_named():
        if jobs > 1:
            _run_apart(task, jobs, requests)
        else:
            _work(task, range(len(task.trials)), dataset, console, requests.raise_if_ending)


class _Turns:
    """Whose turn it is: gives each of so many places once, whichever process asks."""

    def __init__(self, count: int):
        self._count = count
        self._next = multiprocessing.get_context("spawn").Value("q", 0)

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._next.get_lock():
                place = self._next.value
                self._next.value += 1
            if place >= self._count:
                return
            yield place


def _work(task: Task, turns: Iterable[int], dataset: Dataset, console: Console, check: Callable[[], None]) -> None:
    """Runs the trials whose turn it is. check: called between two chunks, raises where this is to end."""
    compiled = functools.lru_cache(maxsize=1)(functools.partial(_compiled, dataset))
    for place in turns:
        check()
        trial = task.trials[place]
        programs_of_trial = compiled(program_of(trial.config))
        row = _row(trial, _numbers(trial.config, *programs_of_trial, console, check))
        task.directory.append(row)
        console.line(_line(trial, row, task.total))


def _compiled(dataset: Dataset, config: Config) -> tuple[Training, Inference]:
    """The programs of trials that share them."""
    train, held_out = split_training_images(dataset, config.train_examples, config.validation_examples)
    assert held_out is not None, "a sweep chooses on held-out images"
    mesh = meshes.over_all_devices()
    training = programs.compile_training(config, dataset.spec, train, mesh)
    return training, programs.compile_inference(config, dataset.spec, held_out, mesh)


def _numbers(
    config: Config, training: Training, validation: Inference, console: Console, check: Callable[[], None]
) -> Row:
    """What a trial comes to, and how it ended."""
    training = training.at_learning_rate(config.learning_rate)
    start = begin(training, config.seed)
    rate = optimizer.schedule(config, config.epochs * training.epoch_steps)
    try:
        with console.bar(config.epochs, training.epoch_steps) as show:
            for progress in fit(training, start, epochs=config.epochs, learning_rate=rate):
                assert progress.train is not None, "a chunk has at least one step, and a step at least one image"
                show(progress.step, progress.train.loss, progress.train.accuracy, progress.images_per_second or 0.0)
                check()
        return _finished(progress, validation)
    except DivergedError as end:
        ended = {"status": "diverged", "epochs": (end.step - 1) // training.epoch_steps, "steps": end.step}
        return ended | dict.fromkeys(NUMBERS)


def _finished(progress: Progress, validation: Inference) -> Row:
    """The numbers of a trial that is done. Raises DivergedError where the held-out images' loss is not finite."""
    held_out, train = validation.score(progress.state.params), progress.train
    if train is None or not math.isfinite(held_out.loss):
        raise diverged(progress.epoch, progress.step)
    return {
        "status": "done",
        "epochs": progress.finished_epochs,
        "steps": progress.step,
        "validation_loss": held_out.loss,
        "validation_accuracy": held_out.accuracy,
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "seconds": progress.clock.total,
        "images_per_second": progress.images_per_second,
    }


def _row(trial: Trial, numbers: Row) -> Row:
    return {"settings": dict(trial.settings), "seed": trial.config.seed, **numbers}


def _line(trial: Trial, row: Row, total: int) -> str:
    """A trial that has ended, for people."""
    what = f"trial {trial.number}/{total}  {as_words(trial.settings)}  seed {row['seed']}: "
    if row["status"] == "diverged":
        return f"{what}diverged at step {row['steps']:,}"
    scores = f"validation {row['validation_accuracy']:.2%}, loss {row['validation_loss']:.4f}"
    return f"{what}{scores}, {row['seconds']:.1f} s"


def _run_apart(task: Task, jobs: int, requests: Requests) -> None:
    """Lets so many processes run the trials, until these are done, a signal comes, or one of the processes dies."""
    context, turns = multiprocessing.get_context("spawn"), _Turns(len(task.trials))
    processes = [context.Process(target=_process, args=(task, turns), daemon=True) for _ in range(jobs)]
    try:
        _start(processes)
        while alive := [process.sentinel for process in processes if process.is_alive()]:
            connection.wait(alive, _PATIENCE)
            requests.raise_if_ending()
            for process in processes:
                if process.exitcode:
                    raise MachineError(
                        f"Process {process.pid} of {jobs} ended with code {process.exitcode}. "
                        "The rows of finished trials are kept; the same command goes on."
                    )
    finally:
        _end(processes)


def _start(processes: Sequence[Any]) -> None:
    """Starts them, deaf to Ctrl-C, which a terminal sends to all of them: the process that started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for process in processes:
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Sequence[Any]) -> None:
    """Ends those that still run."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        if process.pid is not None:
            process.join(_FAREWELL)
            process.kill()
            process.join()


def _process(task: Task, turns: _Turns) -> None:
    """One of several processes, from its start to its end."""
    compilation.take_over(task.jax_settings)
    parent = multiprocessing.parent_process()

    def check(requests: Requests) -> None:
        requests.raise_if_ending()
        if parent is not None and not parent.is_alive():
            raise MachineError("The process that shares out the trials is gone.")

    try:
        with signals.deferred() as requests, compilation.memory_errors_named():
            _work(task, turns, task.load(), Console(progress=False), functools.partial(check, requests))
    except ProjectError as error:
        if error.exit_code < 128:  # whoever was interrupted knows it
            print(f"run.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
