"""The training loop: a generator that runs compiled chunks of steps and yields where training stands between them.

One seed or several train in the same loop. Seeds that train together do not influence one another: each has the numbers
that it has alone, except for rounding. After 20 steps they agree to 1e-5. Later they need not agree, because training
amplifies every rounding error.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from cnn_jax.display import Displayed
from cnn_jax.errors import DivergedError
from cnn_jax.training import metrics
from cnn_jax.training.compiled import Inference, Training
from cnn_jax.training.mesh import on_host, whole
from cnn_jax.training.metrics import MetricSums, Score
from cnn_jax.training.state import TrainState

CHUNK_SECONDS = 0.5  # the aim for a chunk: a progress bar then moves twice a second

Row = dict[str, float]  # a line of `metrics.jsonl`, without the seed


@dataclass
class Clock:
    """How the time of training was spent, in seconds: in chunks on the device, and on the host between them.

    saving: the part of the host's time that went into checkpoints. epoch_began: the total at the beginning of the
    current epoch.
    """

    device: float = 0.0
    host: float = 0.0
    saving: float = 0.0
    epoch_began: float = 0.0
    _mark: float = field(default_factory=time.perf_counter)

    @property
    def total(self) -> float:
        return self.device + self.host

    @property
    def epoch_seconds(self) -> float:
        """The time since the current epoch began."""
        return self.total - self.epoch_began

    def lap(self) -> float:
        """Returns the seconds since the last call. They are not counted: validation is no part of training."""
        now = time.perf_counter()
        seconds, self._mark = now - self._mark, now
        return seconds

    def count_host(self) -> None:
        """Counts the time since the last call as the host's."""
        self.host += self.lap()

    def count_device(self) -> float:
        """Counts the time since the last call as the device's, and returns it."""
        seconds = self.lap()
        self.device += seconds
        return seconds

    def share(self, num_seeds: int) -> "Clock":
        """The clock of one of several seeds that train together: an equal part of all times."""
        return Clock(*(seconds / num_seeds for seconds in self._times))

    @staticmethod
    def of_all(clocks: Sequence["Clock"]) -> "Clock":
        """The clock of several seeds that train together, from those of the seeds."""
        return Clock(*(sum(times) for times in zip(*(clock._times for clock in clocks), strict=True)))

    @property
    def _times(self) -> tuple[float, float, float, float]:
        return self.device, self.host, self.saving, self.epoch_began


@dataclass(frozen=True, kw_only=True, repr=False)
class Progress(Displayed):
    """Where training stands between two chunks. The next chunk donates `state`: copy what is needed later.

    state, sums: with an axis of seeds in front where several seeds train together. sums: of the current epoch so far,
    or of the finished one. step: the number of steps taken. images: seen by all seeds. scores, diverged_at: of each
    seed. A score is None before the first step and after divergence; diverged_at is None or the step. rows: a line of
    `metrics.jsonl` for each seed at the end of an epoch, empty for a seed that has diverged; else no rows.
    """

    state: TrainState
    sums: MetricSums
    step: int
    epoch_steps: int
    images: int
    clock: Clock
    scores: tuple[Score | None, ...]
    diverged_at: tuple[int | None, ...]
    rows: tuple[Row, ...] = ()
    num_seeds: int | None = None

    def _facts(self) -> dict[str, str]:
        score = {"loss": f"{self.train.loss:.4f}", "accuracy": f"{self.train.accuracy:.2%}"} if self.train else {}
        return {"epoch": str(self.epoch), "step": f"{self.step:,}", **score}

    @property
    def epoch(self) -> int:
        """The epoch of the last step, counted from 1."""
        return -(-self.step // self.epoch_steps)

    @property
    def finished_epochs(self) -> int:
        return self.step // self.epoch_steps

    @property
    def train(self) -> Score | None:
        """The training score of the epoch so far: the mean over seeds that have not diverged."""
        if self.num_seeds is None or not self.step:
            return self.scores[0]
        return metrics.mean_score([score for score in self.scores if score is not None])

    @property
    def row(self) -> Row | None:
        """At the end of an epoch its line of `metrics.jsonl`: the mean over seeds that have not diverged."""
        rows = [row for row in self.rows if row]
        if self.num_seeds is None or not rows:
            return rows[0] if rows else None
        common = [name for name in rows[0] if all(name in row for row in rows)]
        mean = {name: float(np.mean([row[name] for row in rows])) for name in common}
        return mean | {"epoch": self.epoch, "step": self.step, "seconds": self.clock.epoch_seconds}

    @property
    def images_per_second(self) -> float | None:
        """Over all training so far, without compilation and evaluation. None before the first step."""
        return self.images / self.clock.total if self.images else None

    def of_seed(self, index: int) -> "Progress":
        """One of the seeds as if it had trained alone. Its clock has an equal part of all times."""
        if self.num_seeds is None:
            return self
        state, sums = jax.tree.map(lambda leaf: leaf[index], whole((self.state, self.sums)))
        return dataclasses.replace(
            self,
            state=state,
            sums=sums,
            images=self.images // self.num_seeds,
            clock=self.clock.share(self.num_seeds),
            scores=(self.scores[index],),
            diverged_at=(self.diverged_at[index],),
            rows=self.rows[index : index + 1],
            num_seeds=None,
        )


def initial_progress(training: Training, seed: int | Sequence[int]) -> Progress:
    """Before the first step. seed: of the run, or of each seed that trains together."""
    return progress_at(training, training.create_state(seed), training.zeros(), Clock())


def progress_at(training: Training, state: TrainState, sums: MetricSums, clock: Clock) -> Progress:
    """Between two chunks. sums: of the current epoch so far."""
    sums_on_host, step = on_host((sums, state.step))
    step = int(np.max(step))
    by_seed = _by_seed(sums_on_host, training.num_seeds)
    diverged_at = tuple(None if one.diverged_at == metrics.NEVER else int(one.diverged_at) for one in by_seed)
    finished_epochs, steps = divmod(step, training.epoch_steps)
    images = finished_epochs * training.examples + (int(by_seed[0].count) if steps else 0)
    return Progress(
        state=state,
        sums=sums,
        step=step,
        epoch_steps=training.epoch_steps,
        images=images * len(by_seed),
        clock=clock,
        scores=tuple(
            metrics.compute_metrics(one) if bad is None else None for one, bad in zip(by_seed, diverged_at, strict=True)
        ),
        diverged_at=diverged_at,
        num_seeds=training.num_seeds,
    )


def _itself(steps: int) -> int:
    return steps


Within = Callable[[float], AbstractContextManager[Any]]


def fit(
    training: Training,
    start: Progress,
    validation: Inference | None = None,
    agreed: Callable[[int], int] = _itself,
    within: Within = nullcontext,
) -> Iterator[Progress]:
    """Trains from `start` until `training.epochs` are finished, and yields after each chunk of steps.

    validation: scored at the end of each epoch. agreed: makes all processes take as many steps in a chunk, whose number
    each chooses by its own time. within: surrounds each chunk, and is told how many seconds it should take. Raises
    DivergedError, which names epoch and step, if the loss or a gradient is not finite. Where several seeds train
    together, a seed that diverges does not end the loop; it ends after all have diverged.
    """
    for state, sums in _chunks(training, start, agreed, within):
        progress = progress_at(training, state, sums, start.clock)
        [*ends] = {step for step in progress.diverged_at if step is not None}
        if training.num_seeds is None and ends:
            raise diverged(progress.epoch, ends[0])
        if progress.step % training.epoch_steps == 0:
            progress = _with_rows(progress, training, validation)
        yield progress
        if None not in progress.diverged_at:
            return


def train(
    training: Training, seed: int, on_progress: Callable[[Progress], None] = lambda progress: None
) -> tuple[Progress, list[Row]]:
    """Trains one seed from the beginning to the end, in memory. Returns the last progress and a row for each epoch.

    on_progress: called after each chunk of steps. Raises DivergedError.
    """
    rows: list[Row] = []
    for progress in fit(training, initial_progress(training, seed)):
        on_progress(progress)
        rows += progress.rows
    return progress, rows


def diverged(epoch: int, step: int) -> DivergedError:
    """The error of a run whose loss is not finite at this step."""
    where = f"in epoch {epoch} at step {step}"
    remedy = "Try a smaller --learning_rate."
    if step == 1:  # nothing has been learned yet
        remedy = "No learning rate has been used yet: look at images, augmentations, targets and loss."
    return DivergedError(f"The loss or its gradient is not finite {where}. {remedy}", step)


def _chunks(
    training: Training, start: Progress, agreed: Callable[[int], int], within: Within
) -> Iterator[tuple[TrainState, MetricSums]]:
    """Trains from `start`; yields state and sums after each chunk. The end of an epoch always ends a chunk."""
    state, sums, step, clock = start.state, start.sums, start.step, start.clock
    indices, chunk_steps, step_seconds = None, 1, math.inf
    clock.lap()
    while step < training.epochs * training.epoch_steps:
        finished_epochs, first = divmod(step, training.epoch_steps)
        if first == 0:
            clock.epoch_began = clock.total
            # The step that diverged is kept: beside other seeds, a seed that diverged does not end the loop.
            sums = training.zeros().replace(diverged_at=sums.diverged_at)
        if first == 0 or indices is None:
            indices = training.batch_indices(state.key, finished_epochs + 1)
        last = min(first + chunk_steps, training.epoch_steps)
        clock.count_host()
        # The sums name the step that diverged; --jax_debug_nans would end with a traceback.
        with within(step_seconds * (last - first)), jax.debug_nans(False):
            state, sums = jax.block_until_ready(training.chunk(state, sums, indices, first, last))
        step_seconds = clock.count_device() / (last - first)
        chunk_steps = agreed(max(1, round(CHUNK_SECONDS / step_seconds)))
        step += last - first
        yield state, sums


def _with_rows(progress: Progress, training: Training, validation: Inference | None) -> Progress:
    """The same at the end of an epoch. The clock does not count the scoring of held-out images.

    Where there are any, the state is settled: what is scored can be stored, and training goes on from it all the same.
    """
    held_out: list[Score | None] = [None] * len(progress.scores)
    if validation is not None:
        progress.clock.count_host()
        progress = dataclasses.replace(progress, state=training.settled(progress.state))
        held_out = [
            validation.score(progress.of_seed(index).state.variables) if train else None
            for index, train in enumerate(progress.scores)
        ]
        progress.clock.lap()
    others = {"learning_rate": training.learning_rate_at(progress.step - 1)}
    norms = [_norms(sums, training.epoch_steps) for sums in _by_seed(on_host(progress.sums), training.num_seeds)]
    rows = tuple(
        _row(progress, train, score, others | norm)
        for train, score, norm in zip(progress.scores, held_out, norms, strict=True)
    )
    if progress.num_seeds is None and not rows[0]:
        raise diverged(progress.epoch, progress.step)
    return dataclasses.replace(progress, rows=rows)


def _by_seed(sums: MetricSums, num_seeds: int | None) -> list[MetricSums]:
    """The sums of each seed."""
    if num_seeds is None:
        return [sums]
    return [jax.tree.map(lambda leaf, index=index: leaf[index], sums) for index in range(num_seeds)]


def _norms(sums: MetricSums, epoch_steps: int) -> Row:
    """The mean L2 norm of the epoch's gradients, and that of all parameters at its end."""
    return {"gradient_norm": float(sums.gradient_norm) / epoch_steps, "parameter_norm": float(sums.parameter_norm)}


def _row(progress: Progress, train: Score | None, held_out: Score | None, others: Row) -> Row:
    """A seed's row at the end of an epoch; empty if the seed has diverged. Numbers that are not finite are left out."""
    if train is None or (held_out is not None and not math.isfinite(held_out.loss)):
        return {}
    seconds = progress.clock.epoch_seconds / len(progress.scores)
    row = {
        "epoch": progress.epoch,
        "step": progress.step,
        **train.named("train"),
        **(held_out.named("validation") if held_out else {}),
        **others,
        "seconds": seconds,
        "images_per_second": train.examples / seconds,
    }
    return {name: value for name, value in row.items() if math.isfinite(value)}
