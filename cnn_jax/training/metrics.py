"""Losses and correct answers as masked sums with a count, divided once.

They are therefore exact for every batch size and every number of devices.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

NEVER = np.iinfo(np.int32).max


class MetricSums(struct.PyTreeNode):
    """Sums over images. loss, correct: float32 [], or a dict of them by output. count: float32 [], the images.

    diverged_at: int32 [], the first step whose loss or gradient was not finite; NEVER if there was none.
    """

    loss: Any
    correct: Any
    count: jax.Array
    diverged_at: jax.Array

    def __add__(self, other: "MetricSums") -> "MetricSums":
        return MetricSums(
            loss=jax.tree.map(jnp.add, self.loss, other.loss),
            correct=jax.tree.map(jnp.add, self.correct, other.correct),
            count=self.count + other.count,
            diverged_at=jnp.minimum(self.diverged_at, other.diverged_at),
        )


def zeros(outputs: Any = 0) -> MetricSums:
    """The sums over no images. outputs: any tree with the structure of the model's outputs; the default has one."""
    zero = jnp.zeros((), jnp.float32)
    by_output = jax.tree.map(lambda _: zero, outputs)
    return MetricSums(loss=by_output, correct=by_output, count=zero, diverged_at=jnp.full((), NEVER, jnp.int32))


def batch_sums(logits: Any, targets: Any, mask: jax.Array, step: jax.Array) -> MetricSums:
    """Sums over the images of a batch that the mask keeps. The loss is softmax cross-entropy with natural logarithms.

    logits: float32 [N, classes]; targets: int32 [N]; or dicts of them by output. mask: bool [N]. step: int32 [], stored
    as `diverged_at` if the loss is not finite.
    """

    def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.sum(jnp.where(mask, losses, 0.0))

    def correct(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return jnp.sum(mask & (jnp.argmax(logits, axis=-1) == targets), dtype=jnp.float32)

    losses = jax.tree.map(loss, logits, targets)
    return MetricSums(
        loss=losses,
        correct=jax.tree.map(correct, logits, targets),
        count=jnp.sum(mask, dtype=jnp.float32),
        diverged_at=jnp.where(jnp.isfinite(mean_over_outputs(losses)), NEVER, step),
    )


def mean_over_outputs(by_output: Any) -> Any:
    """The mean of an array for each output. A model of several outputs is trained on the mean of their losses."""
    first, *others = jax.tree.leaves(by_output)
    return sum(others, first) / (1 + len(others)) if others else first


class Score(NamedTuple):
    """Mean cross-entropy (natural logarithm), share of correct answers, and number of images of a model.

    outputs: the score of each output where there are several; loss and accuracy are then the means of theirs.
    """

    loss: float
    accuracy: float
    examples: int
    outputs: Mapping[str, "Score"] = {}

    def named(self, split: str) -> dict[str, float]:
        """The numbers under their names in a row: `train_loss`, `train_accuracy`, `train_loss/digit` and so on."""
        scores = {"": self} | {f"/{name}": score for name, score in self.outputs.items()}
        return {
            f"{split}_{metric}{name}": getattr(score, metric)
            for metric in ("loss", "accuracy")
            for name, score in scores.items()
        }


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the predicted probabilities, in float64 on the host. logits: float [..., classes].

    A probability of 1e-400 is 0 in float64, but its logarithm is finite: use it for likelihoods.
    """
    exact = logits.astype(np.float64)
    return exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True)


def score(logits: Any, targets: Any) -> Score:
    """Scores every given image, in float64 on the host.

    logits: float [N, classes]; targets: int [N]; or dicts of them by output.
    """
    if isinstance(logits, dict):
        return _mean({name: score(logits[name], targets[name]) for name in logits})
    losses = -log_softmax(logits)[np.arange(len(targets)), targets]
    is_correct = logits.argmax(axis=-1) == targets
    return Score(float(losses.mean()), float(is_correct.mean()), len(targets))


def compute_metrics(sums: MetricSums) -> Score | None:
    """The score that sums on the host come to; None if they are over no images."""
    if not sums.count:
        return None
    if isinstance(sums.loss, dict):
        return _mean({name: _divided(sums.loss[name], sums.correct[name], sums.count) for name in sums.loss})
    return _divided(sums.loss, sums.correct, sums.count)


def mean_score(scores: list[Score]) -> Score:
    """The mean over seeds, with the images of all; NaN if there is none."""
    losses, accuracies = [score.loss for score in scores] or [np.nan], [score.accuracy for score in scores] or [np.nan]
    return Score(float(np.mean(losses)), float(np.mean(accuracies)), sum(score.examples for score in scores))


def _divided(loss: Any, correct: Any, count: Any) -> Score:
    return Score(float(loss / count), float(correct / count), int(count))


def _mean(outputs: dict[str, Score]) -> Score:
    losses, accuracies, examples, _ = zip(*outputs.values(), strict=True)
    return Score(float(np.mean(losses)), float(np.mean(accuracies)), examples[0], outputs)
