"""One run from its Config to its result, on disk: begun, gone on with, or already finished."""

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, Spec, Split, split_training_images
from cnn_jax.errors import DivergedError, InputError, Interrupted
from cnn_jax.report.console import Console
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs import checkpoint, machine, signals
from cnn_jax.runs.checkpoint import Saved
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.result import Result
from cnn_jax.runs.signals import Requests
from cnn_jax.training import culprit, optimizer, programs, together
from cnn_jax.training import mesh as meshes
from cnn_jax.training.fit import Progress, at, begin, diverged, fit
from cnn_jax.training.metrics import score
from cnn_jax.training.programs import Programs
from cnn_jax.training.state import TrainState
from cnn_jax.training.together import Together


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and how to run: nothing in here changes a number.

    data_dir, manual_dir: as tensorflow_datasets means them; None: its defaults. overwrite: delete a run that is there.
    resume_from: go back to the checkpoint of this step. checkpoint_every: seconds between two checkpoints, 0: at the
    ends of epochs. keep_checkpoints: so many of them. max_time: stop after so many seconds. debug_nans: name the
    operation that diverged. command_line, remark: what was typed and what else is to be known, for the record.
    """

    workdir: Path
    data_dir: Path | None = None
    manual_dir: Path | None = None
    overwrite: bool = False
    resume_from: int | None = None
    checkpoint_every: float = 60.0
    keep_checkpoints: int = 3
    max_time: float = math.inf
    debug_nans: bool = False
    command_line: tuple[str, ...] = ()
    remark: str | None = None

    def __post_init__(self) -> None:
        for name, value, is_good, wanted in (
            ("resume_from", self.resume_from, self.resume_from is None or self.resume_from >= 0, "at least 0"),
            ("checkpoint_every", self.checkpoint_every, self.checkpoint_every >= 0, "at least 0 seconds"),
            ("keep_checkpoints", self.keep_checkpoints, self.keep_checkpoints >= 1, "at least 1"),
            ("max_time", self.max_time, self.max_time > 0, "above 0, as in 30s, 5m or 2h"),
        ):
            if not is_good:
                raise InputError(f"--{name}={value}: must be {wanted}.")


@dataclass(frozen=True)
class Run:
    """A run under way. rows: the finished epochs' lines of `metrics.jsonl`, more with each. began: when it did.

    seeds: of the config alone, or of all that are trained together.
    """

    config: Config
    spec: Spec
    place: Place
    directory: RunDirectory
    programs: Programs
    console: Console
    rows: list[dict[str, float]]
    requests: Requests
    seeds: tuple[int, ...]
    began: float = field(default_factory=time.monotonic)

    @property
    def is_out_of_time(self) -> bool:
        """Whether `max_time` is over."""
        return time.monotonic() - self.began >= self.place.max_time


def execute(config: Config, place: Place, console: Console) -> Result:
    """Trains, scores the test set, and leaves the run's files in `place.workdir`.

    A run of the same config that is there is gone on with from its newest checkpoint, and a finished one is not
    trained again: its result is read. Raises InputError before anything is written; DivergedError and Interrupted
    after `result.json` says so.
    """
    directory = RunDirectory(place.workdir)
    if place.resume_from is not None and not directory.is_run():
        raise InputError(f"--resume_from={place.resume_from}: there is no run in {place.workdir} to go back in.")
    finished = None if place.overwrite or place.resume_from is not None else directory.finished(config)
    if finished:
        console.note(f"{place.workdir} holds this run, finished: its result again. To train anew: --overwrite.")
        return finished
    images = load(config, place, console)
    with signals.deferred() as requests, compilation.memory_errors_named(), directory.locked():
        saved = open_directory(config, place, directory, images, console)
        compiled = compile_programs(config, place, images, console)
        return run_from(saved, config, place, images, compiled, console, requests)


@dataclass(frozen=True)
class Images:
    """A dataset, and what of its training images a run trains on and holds out."""

    dataset: Dataset
    train: Split
    validation: Split | None

    @property
    def spec(self) -> Spec:
        return self.dataset.spec


def load(config: Config, place: Place, console: Console) -> Images:
    """The images of a run. Raises InputError where there are none, and before that where there is no such model."""
    spec = data.spec(config.dataset)
    programs.state_shapes(config, spec, meshes.over_all_devices())
    dataset = data.load(
        config.dataset,
        data_dir=place.data_dir,
        manual_dir=place.manual_dir,
        glyph_seed=config.glyph_seed,
        warn=console.note,
    )
    return Images(dataset, *split_training_images(dataset, config.train_examples, config.validation_examples))


def compile_programs(
    config: Config, place: Place, images: Images, console: Console, lanes: int | None = None, *, spread: bool = False
) -> Programs:
    """The programs of a run, whatever its seed. lanes, spread: as `programs.compile_all` has them."""
    train, test = images.train, images.dataset.test
    console.line(f"{config.model} on {len(train):,} images of {config.dataset}, {machine.device()}, {place.workdir}")
    compiled = programs.compile_all(config, images.spec, train, images.validation, test, lanes, spread=spread)
    console.line(f"{compiled.parameters:,} parameters, compiled in {compiled.compile_seconds:.1f} s")
    return compiled


def run_from(
    saved: Saved | None,
    config: Config,
    place: Place,
    images: Images,
    compiled: Programs,
    console: Console,
    requests: Requests,
) -> Result:
    """Trains on from a checkpoint, or from the beginning, in a directory that was brought there; scores and stores."""
    rows = saved.rows if saved else []
    run = Run(
        config, images.spec, place, RunDirectory(place.workdir), compiled, console, rows, requests, (config.seed,)
    )
    return score_and_store(run, train(run, _start(run, saved)))


def open_directory(
    config: Config, place: Place, directory: RunDirectory, images: Images, console: Console
) -> Saved | None:
    """Brings the run directory to where its newest checkpoint stands, or to the beginning: then None."""
    known = machine_record(place, images)
    saved = None if place.overwrite else _saved(config, place, directory, images.spec, console)
    if saved is None:
        directory.begin(config, known)
        return None
    directory.go_on(config, known, saved.rows)
    checkpoint.discard_after(directory.checkpoints, saved.step)
    return saved


def machine_record(place: Place, images: Images) -> dict:
    """The content of `machine.json`."""
    known = machine.describe(list(place.command_line)) | {"data_fingerprint": images.dataset.fingerprint}
    return known | ({"remark": place.remark} if place.remark else {})


def _saved(config: Config, place: Place, directory: RunDirectory, spec: Spec, console: Console) -> Saved | None:
    """The checkpoint to go on from, if there is one."""
    like = programs.saved_shapes(config, spec, meshes.over_all_devices())
    if place.resume_from is not None:
        return checkpoint.of_step(directory.checkpoints, place.resume_from, like)
    return checkpoint.newest(directory.checkpoints, like, console) if directory.is_run() else None


def _start(run: Run, saved: Saved | None) -> Progress:
    """Where training starts: at the beginning, or where it was saved."""
    if saved is None:
        return begin(run.programs.training, run.config.seed)
    run.console.line(f"goes on from step {saved.step:,}, {len(saved.rows)} of {run.config.epochs} epochs done")
    return at(run.programs.training, saved.state, saved.sums, saved.clock)


def train(run: Run, progress: Progress) -> Progress:
    """Trains until the epochs are done or the time is over; where something else ends it, `result.json` says what."""
    before = _kept(run, progress)
    with checkpoint.Writer(run.directory.checkpoints, run.place.keep_checkpoints) as writer:
        chunks = _chunks(run, progress, writer)
        try:
            for progress in chunks:
                before = _kept(run, progress)
        except DivergedError as end:
            writer.finish()
            run.directory.write_result(result_of(run, "diverged", progress))
            raise _explained(run, end, before) from None
        except Interrupted:
            writer.save(progress, run.rows)
            writer.finish()
            run.directory.write_result(result_of(run, "interrupted", progress))
            raise
        writer.save(progress, run.rows)
        writer.finish()
    return progress


def _chunks(run: Run, start: Progress, writer: checkpoint.Writer) -> Iterator[Progress]:
    """Trains chunk after chunk, and does between two of them what has to be done on the host."""
    epochs, epoch_steps = run.config.epochs, run.programs.training.epoch_steps
    options: dict[str, Any] = {
        "epochs": epochs,
        "learning_rate": optimizer.schedule(run.config, epochs * epoch_steps),
        "validation": run.programs.validation,
    }
    training = run.programs.training
    chunks: Iterator[Progress]
    if isinstance(start, Together):
        chunks = together.fit(training, start, **options)
    else:
        chunks = fit(training, start, **options)
    run.requests.raise_if_ending()
    with run.directory.events(run.rows) as events, run.console.bar(epochs, epoch_steps) as show:
        for progress in chunks:
            assert progress.train is not None, "a chunk has at least one step, and a step at least one image"
            show(progress.step, progress.train.loss, progress.train.accuracy, progress.images / progress.clock.total)
            if progress.row:
                _record(run, progress.rows, events)
                run.console.row(progress.row, epochs)
            yield progress
            run.requests.raise_if_ending()
            if run.is_out_of_time:
                return
            _save_if_due(run, writer, progress)


def _kept(run: Run, progress: Progress) -> TrainState | None:
    """A copy of the state, where it may be needed to find out what diverged."""
    return jax.tree.map(jnp.copy, progress.state) if run.place.debug_nans else None


def _explained(run: Run, end: DivergedError, before: TrainState | None) -> DivergedError:
    """The error with the operation in it that diverged, where a state from before was kept."""
    if before is None:
        return end
    name = culprit.of_step(run.config, run.spec, run.programs.training, before, end.step)
    return DivergedError(f"{end} First not finite: {name}.", end.step)


def _record(run: Run, rows: Iterable[dict[str, float]], events: EventWriter) -> None:
    """Writes a finished epoch's lines, one for each seed that has not diverged, to wherever they belong."""
    for row in [{"seed": seed, **row} for seed, row in zip(run.seeds, rows, strict=True) if row]:
        run.rows.append(row)
        run.directory.append_row(row)
        events.write(row)


def _save_if_due(run: Run, writer: checkpoint.Writer, progress: Progress) -> None:
    """Saves where a signal asks for it, or the last checkpoint is old enough."""
    every = run.place.checkpoint_every
    is_due = writer.seconds_since_last >= every and not writer.is_busy if every else progress.row is not None
    if run.requests.take_save() or is_due:
        start = time.perf_counter()
        writer.save(progress, run.rows)
        progress.clock.saving += time.perf_counter() - start


def score_and_store(run: Run, progress: Progress) -> Result:
    """Scores the test set and stores what the run came to."""
    start = time.perf_counter()
    logits = run.programs.test.logits(progress.state.params)
    test = score(logits, run.programs.test.targets)
    seconds = time.perf_counter() - start
    if not math.isfinite(test.loss):
        run.directory.write_result(result_of(run, "diverged", progress))
        raise diverged(progress.epoch, progress.step)
    run.directory.write_predictions(logits, run.programs.test.targets)
    is_done = progress.finished_epochs >= run.config.epochs
    result = dataclasses.replace(
        result_of(run, "done" if is_done else "stopped", progress),
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_examples=test.examples,
        outputs={name: {"test_loss": s.loss, "test_accuracy": s.accuracy} for name, s in test.outputs.items()} or None,
        evaluate_seconds=seconds,
    )
    run.directory.write_result(result)
    return result


def result_of(run: Run, status: str, progress: Progress) -> Result:
    """What is known of a run after its last chunk, without the test set."""
    config, train = run.config, progress.train
    return Result(
        status=status,
        experiment=config.experiment,
        dataset=config.dataset,
        model=config.model,
        parameters=run.programs.parameters,
        seed=config.seed,
        epochs=progress.finished_epochs,
        steps=progress.step,
        train_loss=train.loss if train else None,
        train_accuracy=train.accuracy if train else None,
        compile_seconds=run.programs.compile_seconds,
        train_seconds=progress.clock.total,
        host_seconds=progress.clock.host,
        saving_seconds=progress.clock.saving,
        images_per_second=progress.images_per_second,
        device=machine.device(),
    )
