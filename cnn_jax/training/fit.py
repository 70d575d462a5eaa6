"""The training loop: a generator that runs compiled chunks and yields between them."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import jax

from cnn_jax.errors import DivergedError
from cnn_jax.training import metrics
from cnn_jax.training.metrics import Score, Sums
from cnn_jax.training.programs import Inference, Training
from cnn_jax.training.state import TrainState

CHUNK_SECONDS = 0.5  # what a chunk should last: a progress bar moves twice a second


@dataclass
class Clock:
    """Where the time of training went, in seconds: in chunks on the device, and on the host between them.

    saving: the part of the host's that went into checkpoints. epoch_began: the total when the epoch under way began.
    """

    device: float = 0.0
    host: float = 0.0
    saving: float = 0.0
    epoch_began: float = 0.0
    _mark: float = field(default_factory=time.perf_counter)

    @property
    def total(self) -> float:
        return self.device + self.host

    def enter_device(self) -> None:
        """The host has done its chores."""
        self.host += self.skip()

    def leave_device(self) -> float:
        """The device is ready; returns the seconds of its chunk."""
        seconds = self.skip()
        self.device += seconds
        return seconds

    def skip(self) -> float:
        """Counts the time since the last call as nobody's, and returns it: validation is no part of training."""
        now = time.perf_counter()
        seconds, self._mark = now - self._mark, now
        return seconds


@dataclass(frozen=True)
class Progress:
    """Where training stands. The next chunk donates `state`: copy what must outlive it.

    step: taken in all. sums: of the epoch under way so far, or of the finished one. images: seen in all. train: what
    the sums say; None before the first step. row: the finished epoch's line of `metrics.jsonl`, else None.
    """

    state: TrainState
    sums: Sums
    step: int
    epoch_steps: int
    images: int
    clock: Clock
    train: Score | None = None
    row: dict[str, float] | None = None

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return -(-self.step // self.epoch_steps)

    @property
    def finished_epochs(self) -> int:
        return self.step // self.epoch_steps

    @property
    def rows(self) -> tuple[dict[str, float], ...]:
        """The finished epoch's lines of `metrics.jsonl`, without the seed; empty within an epoch."""
        return (self.row,) if self.row else ()

    @property
    def images_per_second(self) -> float | None:
        """Over all training so far, without compilation and evaluation."""
        return self.images / self.clock.total if self.images else None


def begin(training: Training, seed: int) -> Progress:
    """Before the first step."""
    return at(training, training.start(seed), training.zeros(), Clock())


def at(training: Training, state: TrainState, sums: Sums, clock: Clock) -> Progress:
    """Between two chunks: where the state stands, with the sums of its epoch so far."""
    step = int(state.step)
    finished_epochs, steps = divmod(step, training.epoch_steps)
    images = finished_epochs * training.examples + (int(sums.count) if steps else 0)
    return Progress(state, sums, step, training.epoch_steps, images, clock, _train_score(sums, step, training))


def fit(
    training: Training,
    start: Progress,
    *,
    epochs: int,
    learning_rate: Callable[[int], float],
    validation: Inference | None = None,
) -> Iterator[Progress]:
    """Trains on from where `start` stands until so many epochs are done in all; yields after each chunk of steps.

    learning_rate: of the steps taken before. validation: scored at the end of each epoch. Raises DivergedError that
    names epoch and step of the first loss or gradient that is not finite.
    """
    for state, sums, step in chunks(training, start.state, start.sums, start.step, start.clock, epochs=epochs):
        progress = at(training, state, sums, start.clock)
        if step % training.epoch_steps == 0:
            row = row_of(progress, _held_out_score(validation, progress), float(learning_rate(step - 1)))
            progress = replace(progress, row=row)
        yield progress


def chunks(
    training: Training, state: TrainState, sums: Sums, step: int, clock: Clock, *, epochs: int
) -> Iterator[tuple[TrainState, Sums, int]]:
    """Trains on from this step; yields state, sums and step after each chunk, which an epoch's end always ends."""
    order, chunk_steps = None, 1
    clock.skip()
    while step < epochs * training.epoch_steps:
        finished_epochs, first = divmod(step, training.epoch_steps)
        if first == 0:
            clock.epoch_began = clock.total
        if first == 0 or order is None:
            order = training.order(state.key, finished_epochs + 1)
        # Which step went bad is kept: beside other seeds, one that diverged does not end the loop.
        sums = sums if first else training.zeros().replace(diverged_at=sums.diverged_at)
        last = min(first + chunk_steps, training.epoch_steps)
        clock.enter_device()
        state, sums = jax.block_until_ready(training.chunk(state, sums, order, first, last))
        chunk_steps = max(1, round((last - first) * CHUNK_SECONDS / clock.leave_device()))
        step += last - first
        yield state, sums, step


def diverged(epoch: int, step: int) -> DivergedError:
    """The error of a run whose loss is not finite, at this step."""
    where = f"in epoch {epoch} at step {step}"
    return DivergedError(f"The loss or its gradient is not finite {where}. Try a smaller --learning_rate.", step)


def _train_score(sums: Sums, step: int, training: Training) -> Score | None:
    """What the sums of an epoch say so far."""
    on_host = jax.device_get(sums)
    if on_host.diverged_at != metrics.NEVER:
        raise diverged(-(-step // training.epoch_steps), int(on_host.diverged_at))
    return metrics.score_of(on_host)


def _held_out_score(validation: Inference | None, progress: Progress) -> Score | None:
    """What the held-out images say of the parameters now; the clock does not count it."""
    if validation is None:
        return None
    progress.clock.enter_device()
    held_out = validation.score(progress.state.params)
    progress.clock.skip()
    if not math.isfinite(held_out.loss):
        raise diverged(progress.epoch, progress.step)
    return held_out


def row_of(progress: Progress, held_out: Score | None, learning_rate: float) -> dict[str, float]:
    """An epoch's line of `metrics.jsonl`, without the seed. The learning rate is that of the epoch's last step."""
    train, seconds = progress.train, progress.clock.total - progress.clock.epoch_began
    assert train is not None, "an epoch has at least one image"
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        **train.named("train"),
        **(held_out.named("validation") if held_out else {}),
        "learning_rate": learning_rate,
        "seconds": seconds,
        "images_per_second": train.examples / seconds,
    }
