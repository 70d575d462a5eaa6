"""The training loop: a generator that runs compiled chunks and yields between them."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import jax

from cnn_jax.errors import DivergedError
from cnn_jax.training import metrics
from cnn_jax.training.metrics import Score, Sums
from cnn_jax.training.programs import Inference, Training
from cnn_jax.training.state import TrainState

CHUNK_SECONDS = 0.5  # what a chunk should last: a progress bar moves twice a second


@dataclass
class Clock:
    """Where the time of training went, in seconds: in chunks on the device, and on the host between them."""

    device: float = 0.0
    host: float = 0.0
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
    """Where training stands after a chunk. The next chunk donates `state`: copy what must outlive it.

    epoch: from 1. step, images: taken and seen in all. train: this epoch so far, as the steps saw it. row: the
    finished epoch's line of `metrics.jsonl`, else None. clock: where the time went so far.
    """

    state: TrainState
    epoch: int
    step: int
    images: int
    train: Score
    row: dict[str, float] | None
    clock: Clock

    @property
    def finished_epochs(self) -> int:
        return self.epoch if self.row else self.epoch - 1

    @property
    def images_per_second(self) -> float:
        """Over all training so far, without compilation and evaluation."""
        return self.images / self.clock.total


def fit(
    training: Training,
    state: TrainState,
    *,
    epochs: int,
    learning_rate: Callable[[int], float],
    validation: Inference | None = None,
) -> Iterator[Progress]:
    """Trains from the given state for so many epochs; yields after each chunk of steps.

    learning_rate: of the steps taken before. validation: scored at the end of each epoch. Raises DivergedError that
    names epoch and step of the first loss that is not finite.
    """
    clock, chunk_steps, images = Clock(), 1, 0
    for epoch in range(1, epochs + 1):
        order, sums, first, before = training.order(state.key, epoch), metrics.zeros(), 0, clock.total
        while first < training.epoch_steps:
            last = min(first + chunk_steps, training.epoch_steps)
            clock.enter_device()
            state, sums = jax.block_until_ready(training.chunk(state, sums, order, first, last))
            chunk_steps = max(1, round((last - first) * CHUNK_SECONDS / clock.leave_device()))
            step, train, row = (epoch - 1) * training.epoch_steps + last, _train_score(sums, epoch), None
            if last == training.epoch_steps:
                seconds = clock.total - before
                held_out = _held_out_score(validation, state, epoch, step)
                clock.skip()
                row = _row(epoch, step, train, held_out, float(learning_rate(step - 1)), seconds)
            yield Progress(state, epoch, step, images + train.examples, train, row, clock)
            first = last
        images += train.examples


def diverged(epoch: int, step: int) -> DivergedError:
    """The error of a run whose loss is not finite, at this step."""
    return DivergedError(f"The loss is not finite in epoch {epoch} at step {step}. Try a smaller --learning_rate.")


def _train_score(sums: Sums, epoch: int) -> Score:
    """What the sums of an epoch say so far."""
    loss, correct, count, diverged_at = jax.device_get((sums.loss, sums.correct, sums.count, sums.diverged_at))
    if diverged_at != metrics.NEVER:
        raise diverged(epoch, int(diverged_at))
    return Score(float(loss / count), float(correct / count), int(count))


def _held_out_score(validation: Inference | None, state: TrainState, epoch: int, step: int) -> Score | None:
    """What the held-out images say of the parameters now."""
    if validation is None:
        return None
    held_out = validation.score(state.params)
    if not math.isfinite(held_out.loss):
        raise diverged(epoch, step)
    return held_out


def _row(
    epoch: int, step: int, train: Score, held_out: Score | None, learning_rate: float, seconds: float
) -> dict[str, float]:
    """An epoch's line of `metrics.jsonl`, without the seed. The learning rate is that of the epoch's last step."""
    return {
        "epoch": epoch,
        "step": step,
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        **({"validation_loss": held_out.loss, "validation_accuracy": held_out.accuracy} if held_out else {}),
        "learning_rate": learning_rate,
        "seconds": seconds,
        "images_per_second": train.examples / seconds,
    }
