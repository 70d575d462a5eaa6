"""One run from its Config to its result, on disk."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data.dataset import split_training_images
from cnn_jax.errors import DivergedError, Interrupted
from cnn_jax.execution import checkpoint, machine, signals
from cnn_jax.execution.directory import RunDirectory
from cnn_jax.execution.result import Result
from cnn_jax.reporting.console import Console
from cnn_jax.reporting.tensorboard import EventWriter
from cnn_jax.training import mesh as meshes
from cnn_jax.training import optimizer, programs
from cnn_jax.training.fit import Progress, diverged, fit
from cnn_jax.training.metrics import score
from cnn_jax.training.programs import Programs


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how to run: nothing in here changes a number.

    data_dir, manual_dir: as tensorflow_datasets means them; None: its defaults. overwrite: delete a run that is there.
    command_line: what was typed, for the record.
    """

    workdir: Path
    data_dir: Path | None = None
    manual_dir: Path | None = None
    overwrite: bool = False
    command_line: tuple[str, ...] = ()


def execute(config: Config, place: Place, console: Console) -> Result:
    """Trains, scores the test set once, and leaves the run's files in `place.workdir`.

    A finished run of the same config is not trained again: its result is read. Raises InputError before anything is
    written; DivergedError and Interrupted after `result.json` says so.
    """
    directory = RunDirectory(place.workdir)
    finished = None if place.overwrite else directory.finished(config)
    if finished:
        console.note(f"{place.workdir} holds this run, finished: its result again. To train anew: --overwrite.")
        return finished
    spec = data.spec(config.dataset)
    programs.state_shapes(config, spec, meshes.over_all_devices())  # complains of the model before any data are read
    dataset = data.load(config.dataset, data_dir=place.data_dir, manual_dir=place.manual_dir, warn=console.note)
    train, validation = split_training_images(dataset, config.train_examples, config.validation_examples)
    with signals.deferred() as raise_if_signalled, compilation.memory_errors_named():
        known = machine.describe(list(place.command_line)) | {"data_fingerprint": dataset.fingerprint}
        directory.begin(config, known)
        console.line(
            f"{config.model} on {len(train):,} images of {config.dataset}, {machine.device()}, {place.workdir}"
        )
        run = programs.compile_all(config, spec, train, validation, dataset.test)
        console.line(f"{run.parameters:,} parameters, compiled in {run.compile_seconds:.1f} s")
        progress = _train(config, directory, run, console, raise_if_signalled)
        return _score_and_store(config, directory, run, progress)


def _train(
    config: Config, directory: RunDirectory, run: Programs, console: Console, raise_if_signalled: Callable[[], None]
) -> Progress:
    """Trains to the end; where something ends it early, `result.json` says what."""
    progress = None
    epochs = fit(
        run.training,
        run.training.start(config.seed),
        epochs=config.epochs,
        learning_rate=optimizer.schedule(config, config.epochs * run.training.epoch_steps),
        validation=run.validation,
    )
    try:
        raise_if_signalled()
        with EventWriter(directory.path) as events, console.bar(config.epochs, run.training.epoch_steps) as show:
            for progress in epochs:
                show(progress.step, progress.train.loss, progress.train.accuracy, progress.images_per_second)
                if progress.row:
                    row = {"seed": config.seed, **progress.row}
                    directory.append_row(row)
                    events.write(row)
                    console.row(row, config.epochs)
                raise_if_signalled()
    except (DivergedError, Interrupted) as end:
        status = "diverged" if isinstance(end, DivergedError) else "interrupted"
        directory.write_result(_result(config, run, status, progress))
        raise
    assert progress is not None, "a Config has at least one epoch, and an epoch at least one step"
    return progress


def _score_and_store(config: Config, directory: RunDirectory, run: Programs, progress: Progress) -> Result:
    """Scores the test set, once, and stores what the run came to."""
    start = time.perf_counter()
    logits = run.test.logits(progress.state.params)
    test = score(logits, run.test.labels)
    seconds = time.perf_counter() - start
    if not math.isfinite(test.loss):
        directory.write_result(_result(config, run, "diverged", progress))
        raise diverged(progress.epoch, progress.step)
    checkpoint.save(directory.checkpoints, progress.state)
    directory.write_predictions(logits, run.test.labels)
    result = dataclasses.replace(
        _result(config, run, "done", progress),
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_examples=test.examples,
        evaluate_seconds=seconds,
    )
    directory.write_result(result)
    return result


def _result(config: Config, run: Programs, status: str, progress: Progress | None) -> Result:
    """What is known of a run after its last chunk, without the test set."""
    return Result(
        status=status,
        experiment=config.experiment,
        dataset=config.dataset,
        model=config.model,
        parameters=run.parameters,
        seed=config.seed,
        epochs=progress.finished_epochs if progress else 0,
        steps=progress.step if progress else 0,
        train_loss=progress.train.loss if progress else None,
        train_accuracy=progress.train.accuracy if progress else None,
        compile_seconds=run.compile_seconds,
        train_seconds=progress.clock.total if progress else 0.0,
        host_seconds=progress.clock.host if progress else 0.0,
        images_per_second=progress.images_per_second if progress else None,
        device=machine.device(),
    )
