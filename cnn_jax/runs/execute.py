"""One run from its Config to its result, on disk: started, resumed, or already finished.

Several seeds that train together are a run for each of them.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import Config, differences_in_words
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import DivergedError, InputError, Interrupted
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.report.format import counted
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs import checkpoint, machine, signals
from cnn_jax.runs.checkpoint import Checkpoint, Rows, Writer
from cnn_jax.runs.directory import RunDirectory, input_errors, require_same_code
from cnn_jax.runs.events import write_test
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.read_only import run_directory
from cnn_jax.runs.result import BEST, Result
from cnn_jax.runs.selection import is_patience_over, kept_row
from cnn_jax.runs.session import Session, open_session, require_other_folder
from cnn_jax.training.compiled import CompiledFunctions, Training
from cnn_jax.training.loop import Clock, Progress, diverged, fit, initial_progress, progress_at
from cnn_jax.training.mesh import place, replicated, stacked
from cnn_jax.training.metrics import Score


@dataclass(frozen=True)
class Run:
    """A run in progress. rows: the lines of `metrics.jsonl` so far, one more after each epoch; events have them too."""

    session: Session
    functions: CompiledFunctions
    config: Config
    directory: RunDirectory
    rows: list[dict[str, float]]
    events: EventWriter


def execute(experiment: Experiment, options: RunOptions, console: Console, dataset: Dataset | None = None) -> Result:
    """Trains, scores the test set, and leaves the run's files in `options.folder`.

    A run of the same experiment that is there is resumed from its newest checkpoint. A finished run is not trained
    again: its result is read. dataset: the experiment's, if it is loaded already. Raises InputError before anything is
    written; DivergedError and Interrupted after `result.json` is written.
    """
    require_other_folder(experiment, options.folder)
    directory = run_directory(options.folder, options.processes)
    is_run = directory.is_run()  # raises InputError before a lock is made in a folder of something else
    if options.resume_from is not None and not is_run:
        raise InputError(f"--resume_from={options.resume_from}: there is no run in {options.folder} to resume.")
    if options.resume_from is not None:
        require_same_code(directory, experiment)
    completed = None if options.overwrite or options.resume_from is not None else directory.completed(experiment)
    if completed:
        advice = "To train again, name another --workdir; --overwrite deletes this one."
        console.note(f"{options.folder} holds this run, finished. {advice}")
        return completed
    session = open_session(experiment, options, console, dataset)
    session.require_initial([directory])
    with signals.deferred() as session.signals, compilation.memory_errors_named():
        [result] = train_runs(session, [experiment], [directory])
        return result


def train_runs(
    session: Session, experiments: Sequence[Experiment], directories: Sequence[RunDirectory]
) -> list[Result]:
    """Trains a run, or several that differ in their seed alone and train together; scores and stores each.

    Each run starts or resumes in its directory. Raises DivergedError after a single run has diverged; of several runs
    those that have diverged get a result that says so.
    """
    with ExitStack() as stack:
        stack.enter_context(jax.debug_nans(False))  # --jax_debug_nans: a seed that diverged must not end the others
        for directory in directories:
            stack.enter_context(directory.locked(session.console.note))
        configs = [experiment.config for experiment in experiments]
        session.mesh(_num_seeds(configs))  # raises InputError before a file is written
        checkpoints = _open(session, experiments, directories)
        functions = session.functions(_num_seeds(configs))
        rows = [[] for _ in configs] if checkpoints is None else [saved.rows for saved in checkpoints]
        events = [stack.enter_context(run.events(lines)) for run, lines in zip(directories, rows, strict=True)]
        runs = [Run(session, functions, *parts) for parts in zip(configs, directories, rows, events, strict=True)]
        progress = _train(session, runs, _start(session, functions.training, configs, checkpoints))
        is_alone = len(runs) == 1
        return [_score_and_store(run, progress.of_seed(i), is_alone=is_alone) for i, run in enumerate(runs)]


def _num_seeds(configs: Sequence[Config]) -> int | None:
    return len(configs) if len(configs) > 1 else None


def _open(
    session: Session, experiments: Sequence[Experiment], directories: Sequence[RunDirectory]
) -> list[Checkpoint] | None:
    """Brings the directories to their newest common checkpoint, or to the beginning: then None."""
    record = session.machine_record() | _group_record([experiment.config for experiment in experiments])
    checkpoints = None if session.options.overwrite else _load(session, directories)
    # Also waits until all have read what process 0 now changes.
    session.options.processes.require_same({"the newest checkpoint": checkpoints and checkpoints[0].step})
    if checkpoints is None:
        session.learner.require_initial()
        for experiment, directory in zip(experiments, directories, strict=True):
            _say_what_is_deleted(session, directory)
            directory.start(experiment, record)
        return None
    for experiment, directory, saved in zip(experiments, directories, checkpoints, strict=True):
        directory.require_same_origin(experiment.config, record, session.console.note)
        if best := kept_row(experiment.config, saved.rows):
            checkpoint.require_best(directory.checkpoints, best)
        _say_what_is_undone(session, experiment, directory, saved)
    for experiment, directory, saved in zip(experiments, directories, checkpoints, strict=True):
        directory.resume(experiment, record, saved.rows, saved.step)
        if session.options.processes.is_first:
            with input_errors(directory.path):
                checkpoint.discard_after(directory.checkpoints, saved.step)
    return checkpoints


def _say_what_is_undone(session: Session, experiment: Experiment, directory: RunDirectory, saved: Checkpoint) -> None:
    """Names what `--resume_from` takes back, and settings that are others from there on."""
    if session.options.resume_from is None:
        return
    note = f"{directory.path}: goes back to step {saved.step:,}; what came after it is deleted"
    if changed := experiment.differences(directory.config()):
        note += f". Other settings from there on: {differences_in_words(changed)}"
    session.console.note(note)


def _say_what_is_deleted(session: Session, directory: RunDirectory) -> None:
    """Names the run that `--overwrite` deletes. Raises InputError if a finished run would be deleted without it."""
    if not directory.is_run():
        return
    if session.options.overwrite:
        session.console.note(f"--overwrite deletes the run in {directory.path}: {directory.trained_in_words()}")
    elif (result := directory.result()) and result.status in ("done", "stopped"):
        raise InputError(
            f"--workdir={directory.path}: this run has a result, but no checkpoint to resume from. Name another "
            "--workdir, or use --overwrite to delete that run."
        )


def _group_record(configs: Sequence[Config]) -> dict:
    """What `machine.json` says of seeds that train together. `seeds` decides which are resumed together."""
    if len(configs) == 1:
        return {}
    remark = f"trained together with {len(configs) - 1} other seeds: its seconds are an equal part of the time of all"
    return {"seeds": [config.seed for config in configs], "seed_strategy": "vmap", "remark": remark}


def _load(session: Session, directories: Sequence[RunDirectory]) -> list[Checkpoint] | None:
    """The checkpoints to resume from, if there are any."""
    abstract_state, step = session.learner.abstract_state, session.options.resume_from
    if step is not None:
        return [checkpoint.load_step(directory.checkpoints, step, abstract_state) for directory in directories]
    if not all(directory.is_run() for directory in directories):
        return None
    folders = [directory.checkpoints for directory in directories]
    return checkpoint.load_latest(folders, abstract_state, session.console)


def _start(
    session: Session, training: Training, configs: Sequence[Config], checkpoints: Sequence[Checkpoint] | None
) -> Progress:
    """Where training starts: at the beginning, or at the checkpoints."""
    seeds = [config.seed for config in configs]
    if checkpoints is None:
        if session.experiment.init:
            session.console.line(f"starts from {session.experiment.init}")
        return initial_progress(training, seeds[0] if training.num_seeds is None else seeds)
    first = checkpoints[0]
    epochs = first.step // training.epoch_steps
    session.console.line(f"resumes from step {first.step:,}, {epochs} of {session.config.epochs} epochs done")
    if training.num_seeds is None:
        state, sums = place((first.state, first.sums), replicated(training.mesh))
        return progress_at(training, state, sums, first.clock)
    state, sums = stacked([(saved.state, saved.sums) for saved in checkpoints], training.mesh)
    return progress_at(training, state, sums, Clock.of_all([saved.clock for saved in checkpoints]))


def _train(session: Session, runs: Sequence[Run], progress: Progress) -> Progress:
    """Trains until the epochs, the patience or the time are over. Writes `result.json` if something else ends it."""
    folders, rows = [run.directory.checkpoints for run in runs], [run.rows for run in runs]
    options, best_step = session.options, functools.partial(_kept_step, session.config)
    with Writer(folders, options.keep_checkpoints, session.console.note, best_step, options.processes) as writer:
        try:
            for latest in _chunks(session, runs, progress, writer):
                progress = latest
        except DivergedError:
            writer.finish()
            _write_results(runs, "diverged", progress)
            raise
        except Interrupted:
            if _is_at_end(runs, progress):
                progress = _settled(runs[0].functions.training, progress)
            writer.save(progress, rows)
            writer.finish()
            _write_results(runs, "interrupted", progress)
            raise
        progress = _settled(runs[0].functions.training, progress)
        writer.save(progress, rows)
        writer.finish()
    session.options.processes.exchange("saved")  # all read the best epoch from the disk
    return progress


def _kept_step(config: Config, rows: Rows) -> int | None:
    row = kept_row(config, rows)
    return None if row is None else int(row["step"])


def _is_at_end(runs: Sequence[Run], progress: Progress) -> bool:
    """Whether nothing is left to train. Only a run that trains alone has patience."""
    is_over = len(runs) == 1 and is_patience_over(runs[0].config, runs[0].rows)
    return is_over or progress.finished_epochs >= runs[0].functions.training.epochs


def _settled(training: Training, progress: Progress) -> Progress:
    """The end of training, its state ready to be scored."""
    return dataclasses.replace(progress, state=training.settled(progress.state))


def _chunks(session: Session, runs: Sequence[Run], start: Progress, writer: Writer) -> Iterator[Progress]:
    """Trains chunk by chunk, and does between two chunks what the host has to do."""
    functions = runs[0].functions
    epochs, epoch_steps = functions.training.epochs, functions.training.epoch_steps
    session.agree()
    if _is_at_end(runs, start):
        return
    with session.console.bar(epochs, epoch_steps) as show:
        within = session.options.processes.within
        for progress in fit(functions.training, start, functions.validation, session.agreed_steps, within):
            train = progress.train
            assert train is not None, "a chunk has at least one step, and a step at least one image"
            show(progress.step, train, progress.images / progress.clock.total)
            _record(runs, progress)
            if progress.row:
                session.console.row(progress.row, epochs)
            yield progress
            agreement = session.agree(is_due=_is_due(session, progress, writer), is_busy=True)
            if agreement.is_over or _is_at_end(runs, progress):
                return
            _save(runs, progress, writer, is_asked=agreement.saves)


def _record(runs: Sequence[Run], progress: Progress) -> None:
    """Writes the row of a finished epoch of each seed that has not diverged."""
    for run, row in zip(runs, progress.rows, strict=False):
        if row:
            _note_missing_metrics(run, row)
            row = {"seed": run.config.seed, **row}
            run.rows.append(row)
            run.directory.append_row(row)
            run.events.write(row)


def _note_missing_metrics(run: Run, row: Mapping[str, float]) -> None:
    """Says once which metrics are no numbers: they are left out of the rows."""
    for name in run.functions.test.measures.names:
        was_there = not run.rows or f"train_{name}" in run.rows[-1]
        if was_there and f"train_{name}" not in row:
            run.session.console.note(f"epoch {row['epoch']}: the metric {name} is no number: it is left out")


def _is_due(session: Session, progress: Progress, writer: Writer) -> bool:
    """Whether the last checkpoint is old enough for another one."""
    every = session.options.checkpoint_every
    return writer.seconds_since_last >= every and not writer.is_busy if every else bool(progress.rows)


def _save(runs: Sequence[Run], progress: Progress, writer: Writer, *, is_asked: bool) -> None:
    """Holds what is the best so far, and saves if that is asked for."""
    start = time.perf_counter()
    _hold_best(runs, progress, writer)
    if is_asked:
        writer.save(progress, [run.rows for run in runs])
    progress.clock.saving += time.perf_counter() - start


def _hold_best(runs: Sequence[Run], progress: Progress, writer: Writer) -> None:
    """Holds the state of each seed whose best epoch has just ended."""
    for index, (run, row) in enumerate(zip(runs, progress.rows, strict=False)):
        if row and kept_row(run.config, run.rows) is run.rows[-1]:
            writer.hold(run.directory.checkpoints, progress.of_seed(index), run.rows)


def _score_and_store(run: Run, progress: Progress, *, is_alone: bool) -> Result:
    """Scores the test set once and stores the result. is_alone: raise DivergedError if the run has diverged."""
    if progress.diverged_at != (None,):
        return _write_result(run, "diverged", progress)
    _say_if_patience_is_over(run, progress)
    variables, start = _kept_variables(run, progress), time.perf_counter()
    logits, targets = run.functions.test.logits(variables), run.functions.test.targets
    test = run.functions.test.measures.score(logits, targets)
    seconds = time.perf_counter() - start
    if not math.isfinite(test.loss):
        result = _write_result(run, "diverged", progress)
        if is_alone:
            raise diverged(progress.epoch, progress.step)
        return result
    run.directory.write_predictions(logits, targets, run.session.original_index)
    write_test(run.events, progress.step, test, logits, targets, run.session)
    status = "done" if _is_at_end([run], progress) else "stopped"
    result = dataclasses.replace(
        _result(run, status, progress),
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_examples=test.examples,
        test_metrics=_finite({"cross_entropy": test.cross_entropy, **test.metrics}, run.session.console),
        main_output=run.session.learner.task.main_output,
        outputs={name: _of_output(score) for name, score in test.outputs.items()} or None,
        evaluate_seconds=seconds,
    )
    run.directory.write_result(result)
    return result


def _say_if_patience_is_over(run: Run, progress: Progress) -> None:
    """Says why training has ended before its last epoch, and what trains on."""
    config, epochs = run.config, progress.finished_epochs
    if epochs < config.epochs and is_patience_over(config, run.rows):
        run.session.console.line(
            f"ends after epoch {epochs} of {config.epochs}: the last {counted(config.patience or 0, 'epoch')} had no "
            f"better validation {config.monitor}; a larger --patience trains on"
        )


def _kept_variables(run: Run, progress: Progress) -> dict[str, Any]:
    """The variables that are scored: those of the best epoch as they are stored, or the newest ones."""
    best = kept_row(run.config, run.rows)
    if best is None:
        return progress.state.variables
    abstract_state = run.session.learner.abstract_state
    return checkpoint.load_step(run.directory.checkpoints, int(best["step"]), abstract_state).state.variables


def _of_output(score: Score) -> dict[str, float]:
    return {"test_loss": score.loss, "test_accuracy": score.accuracy, "test_cross_entropy": score.cross_entropy}


def _finite(metrics: dict[str, float], console: Console) -> dict[str, float]:
    """The metrics that are numbers. The others are named on the console."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            console.note(f"the metric {name} is {value} on the test images: it is left out of result.json")
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _write_results(runs: Sequence[Run], status: str, progress: Progress) -> None:
    for index, run in enumerate(runs):
        _write_result(run, status, progress.of_seed(index))


def _write_result(run: Run, status: str, progress: Progress) -> Result:
    result = _result(run, status, progress)
    run.directory.write_result(result)
    return result


def _result(run: Run, status: str, progress: Progress) -> Result:
    """What is known of a run after its last chunk, without the test set."""
    config, [train], [end] = run.config, progress.scores, progress.diverged_at
    steps = progress.step if end is None else end - 1
    best: Mapping[str, Any] = kept_row(config, run.rows) or {}
    return Result(
        status=status,
        experiment=config.experiment,
        dataset=config.dataset.name,
        model=config.model.name,
        parameters=run.session.learner.parameters,
        seed=config.seed,
        epochs=steps // progress.epoch_steps,
        steps=steps,
        train_loss=train.loss if train else None,
        train_accuracy=train.accuracy if train else None,
        **{f"best_{name}": best.get(name) for name in BEST},
        compile_seconds=run.functions.compile_seconds,
        train_seconds=progress.clock.total,
        host_seconds=progress.clock.host,
        saving_seconds=progress.clock.saving,
        images_per_second=progress.images_per_second,
        device=machine.device(),
    )
