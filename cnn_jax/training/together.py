"""Many seeds trained beside one another in one program: what `fit.py` is for one.

The seeds know nothing of one another: the numbers of each are those that it has alone, to rounding. After 20 steps
they agree to 1e-5; later they need not, because training is chaotic and makes every rounding larger. One whose loss is
no longer finite stays in its lane, and the others go on.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from cnn_jax.training import fit as fitting
from cnn_jax.training import metrics
from cnn_jax.training.fit import Clock, Progress
from cnn_jax.training.metrics import Score, Sums
from cnn_jax.training.programs import Inference, Training
from cnn_jax.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class Together(Progress):
    """Where training of several seeds stands. state, sums: with an axis of lanes in front, a seed in each.

    There may be more lanes than seeds, so that devices have equal shares. images: seen by all seeds. diverged_at: of
    each seed the step that was not finite, or None. scores: of each seed; None where it has diverged, or before the
    first step. train, row: means over the seeds that have not diverged. seed_rows: each seed's own row, if it has one.
    """

    diverged_at: tuple[int | None, ...]
    scores: tuple[Score | None, ...]
    seed_rows: tuple[dict[str, float], ...] = ()

    @property
    def rows(self) -> tuple[dict[str, float], ...]:
        return self.seed_rows

    def alone(self, index: int) -> Progress:
        """One of the seeds as if it had been alone; its clock has its share of all seconds."""
        state, sums = jax.tree.map(lambda leaf: leaf[index], (self.state, self.sums))
        seeds, seconds = len(self.scores), ("device", "host", "saving", "epoch_began")
        clock = Clock(**{name: getattr(self.clock, name) / seeds for name in seconds})
        return Progress(state, sums, self.step, self.epoch_steps, self.images // seeds, clock, self.scores[index])


def begin(training: Training, seeds: Sequence[int]) -> Together:
    """Before the first step. Lanes without a seed of their own repeat the last one."""
    idle = (training.lanes or 0) - len(seeds)
    return at(training, training.start([*seeds, *[seeds[-1]] * idle]), training.zeros(), 0, Clock(), len(seeds))


def at(training: Training, state: TrainState, sums: Sums, step: int, clock: Clock, seeds: int) -> Together:
    """Between two chunks: where so many seeds stand after so many steps each."""
    on_host = jax.device_get(sums)
    each = [jax.tree.map(lambda leaf, lane=lane: leaf[lane], on_host) for lane in range(seeds)]
    diverged_at = tuple(None if one.diverged_at == metrics.NEVER else int(one.diverged_at) for one in each)
    scores = tuple(metrics.score_of(one) if bad is None else None for one, bad in zip(each, diverged_at, strict=True))
    finished_epochs, steps = divmod(step, training.epoch_steps)
    images = finished_epochs * training.examples + (int(on_host.count[0]) if steps else 0)
    return Together(
        state=state,
        sums=sums,
        step=step,
        epoch_steps=training.epoch_steps,
        images=images * seeds,
        clock=clock,
        train=_mean(scores) if step else None,
        diverged_at=diverged_at,
        scores=scores,
    )


def fit(
    training: Training,
    start: Together,
    *,
    epochs: int,
    learning_rate: Callable[[int], float],
    validation: Inference | None = None,
) -> Iterator[Together]:
    """Trains all seeds on as `fit.fit` does one. Ends early where all have diverged."""
    clock, seeds = start.clock, len(start.scores)
    for state, sums, step in fitting.chunks(training, start.state, start.sums, start.step, clock, epochs=epochs):
        progress = at(training, state, sums, step, clock, seeds)
        if step % training.epoch_steps == 0:
            progress = _with_rows(progress, validation, float(learning_rate(step - 1)))
        yield progress
        if None not in progress.diverged_at:
            return


def _with_rows(progress: Together, validation: Inference | None, learning_rate: float) -> Together:
    """The same at the end of an epoch. The clock does not count the held-out images."""
    progress.clock.enter_device()
    alone = [progress.alone(index) for index, score in enumerate(progress.scores) if score is not None]
    held_out = [validation.score(one.state.params) if validation else None for one in alone]
    progress.clock.skip()
    found = iter([fitting.row_of(one, score, learning_rate) for one, score in zip(alone, held_out, strict=True)])
    rows = tuple(next(found) if score is not None else {} for score in progress.scores)
    if not alone:
        return progress
    names = next(row for row in rows if row)
    mean = {name: float(np.mean([row[name] for row in rows if row])) for name in names}
    mean |= {"epoch": progress.epoch, "step": progress.step, "learning_rate": learning_rate}
    mean |= {"seconds": progress.clock.total - progress.clock.epoch_began}
    return dataclasses.replace(progress, row=mean, seed_rows=rows)


def _mean(scores: Sequence[Score | None]) -> Score:
    """The mean over the seeds that are left; NaN where none is."""
    left = [score for score in scores if score is not None]
    losses, accuracies = [score.loss for score in left] or [np.nan], [score.accuracy for score in left] or [np.nan]
    return Score(float(np.mean(losses)), float(np.mean(accuracies)), sum(score.examples for score in left))
