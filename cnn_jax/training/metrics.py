"""Losses and correct answers as masked sums with a count, divided once.

They are therefore exact for every batch size and every number of devices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from cnn_jax.training.losses import PerImage, cross_entropy, is_plain_cross_entropy

NEVER = np.iinfo(np.int32).max


class MetricSums(struct.PyTreeNode):
    """Sums over images. loss, correct: float32 [], or a dict of them by output. count: float32 [], the images.

    metrics: float32 [] by name. gradient_norm: float32 [], the sum over steps. parameter_norm: float32 [], after the
    last step. diverged_at: int32 [], the first step whose loss or gradient was not finite; NEVER if there was none.
    """

    loss: Any
    correct: Any
    metrics: dict[str, jax.Array]
    count: jax.Array
    gradient_norm: jax.Array
    parameter_norm: jax.Array
    diverged_at: jax.Array

    def __add__(self, other: "MetricSums") -> "MetricSums":
        added = jax.tree.map(jnp.add, self, other)
        diverged_at = jnp.minimum(self.diverged_at, other.diverged_at)
        return added.replace(parameter_norm=other.parameter_norm, diverged_at=diverged_at)


@dataclass(frozen=True)
class Measures:
    """What is measured of a model's outputs.

    loss: training reduces its mean. metrics: more functions by name, of the main output. main_output: the name of the
    output for the dataset's classes where there are several.
    """

    loss: PerImage = cross_entropy
    metrics: Mapping[str, PerImage] = field(default_factory=dict)
    main_output: str | None = None

    @property
    def adds_cross_entropy(self) -> bool:
        """Whether the cross-entropy is a metric: it is always reported, so that runs of other losses compare."""
        return not is_plain_cross_entropy(self.loss)

    @property
    def names(self) -> list[str]:
        """The names of all metrics."""
        return [*(["cross_entropy"] if self.adds_cross_entropy else []), *self.metrics]

    def zeros(self, outputs: Any = 0) -> MetricSums:
        """The sums over no images. outputs: any tree with the structure of the model's outputs."""
        zero = jnp.zeros((), jnp.float32)
        by_output, metrics = jax.tree.map(lambda _: zero, outputs), dict.fromkeys(self.names, zero)
        return MetricSums(by_output, by_output, metrics, zero, zero, zero, jnp.full((), NEVER, jnp.int32))

    def main(self, by_output: Any) -> Any:
        """That of the dataset's classes: logits, targets, or whatever there is for each output."""
        return by_output if self.main_output is None else by_output[self.main_output]

    def batch_sums(self, logits: Any, targets: Any, mask: jax.Array, step: jax.Array, mixed: Any = None) -> MetricSums:
        """Sums over the images of a batch that the mask keeps.

        logits: float32 [N, classes]; targets: int32 [N]; or dicts of them by output. mask: bool [N]. step: int32 [],
        stored as `diverged_at` if the loss is not finite. mixed: for the loss of mixtures, the targets of the partners
        and the weights of their own, float32 [N].
        """

        def masked_sum(function: PerImage) -> Callable[..., jax.Array]:
            return lambda logits, *targets: jnp.sum(jnp.where(mask, function(logits, *targets), 0.0))

        def correct(logits: jax.Array, targets: jax.Array) -> jax.Array:
            return jnp.sum(mask & (jnp.argmax(logits, axis=-1) == targets), dtype=jnp.float32)

        if mixed is None:
            losses = jax.tree.map(masked_sum(self.loss), logits, targets)
        else:
            partners, weight = mixed
            losses = jax.tree.map(masked_sum(_of_mixtures(self.loss, weight)), logits, targets, partners)
        metrics = {
            name: masked_sum(function)(self.main(logits), self.main(targets)) for name, function in self.metrics.items()
        }
        if self.adds_cross_entropy:
            metrics["cross_entropy"] = mean_over_outputs(jax.tree.map(masked_sum(cross_entropy), logits, targets))
        sums = self.zeros(targets)
        return sums.replace(
            loss=losses,
            correct=jax.tree.map(correct, logits, targets),
            metrics=metrics,
            count=jnp.sum(mask, dtype=jnp.float32),
            diverged_at=jnp.where(jnp.isfinite(mean_over_outputs(losses)), NEVER, step),
        )

    def score(self, logits: Any, targets: Any) -> "Score":
        """Scores every given image, in float64 on the host.

        logits: float [N, classes]; targets: int [N]; or dicts of them by output.
        """
        if isinstance(logits, dict):
            total = _mean({name: self._score(logits[name], targets[name]) for name in logits})
        else:
            total = self._score(logits, targets)
        main = self.main(logits), self.main(targets)
        metrics = {name: _mean_of(function, *main) for name, function in self.metrics.items()}
        return total._replace(metrics={**total.metrics, **metrics})

    def _score(self, logits: Any, targets: Any) -> "Score":
        """Loss, cross-entropy and accuracy of one output."""
        found = score(logits, targets)
        if not self.adds_cross_entropy:
            return found
        return found._replace(loss=_mean_of(self.loss, logits, targets), metrics={"cross_entropy": found.loss})


def _mean_of(function: PerImage, logits: Any, targets: Any) -> float:
    return float(np.mean(jax.device_get(jax.jit(function)(logits, targets)), dtype=np.float64))


def _of_mixtures(loss: PerImage, weight: jax.Array) -> PerImage:
    """The loss of images that are mixtures: of both labels, by their weights."""

    def of_both(logits: jax.Array, targets: jax.Array, partners: jax.Array) -> jax.Array:
        return weight * loss(logits, targets) + (1 - weight) * loss(logits, partners)

    return of_both


def mean_over_outputs(by_output: Any) -> Any:
    """The mean of an array for each output. A model of several outputs is trained on the mean of their losses."""
    first, *others = jax.tree.leaves(by_output)
    return sum(others, first) / (1 + len(others)) if others else first


class Score(NamedTuple):
    """Mean loss, share of correct answers, and number of images of a model.

    outputs: the score of each output where there are several; loss and accuracy are then the means of theirs.
    metrics: other means by name; the cross-entropy is one of them where the loss is another.
    """

    loss: float
    accuracy: float
    examples: int
    outputs: Mapping[str, "Score"] = {}
    metrics: Mapping[str, float] = {}

    @property
    def cross_entropy(self) -> float:
        """Mean cross-entropy, with natural logarithms."""
        return self.metrics.get("cross_entropy", self.loss)

    def of_output(self, name: str | None) -> "Score":
        """The score of one output, or of all where there is one."""
        return self if name is None else self.outputs[name]

    def named(self, split: str) -> dict[str, float]:
        """The numbers under their names in a row: `train_loss`, `train_accuracy`, `train_loss/digit` and so on."""
        scores = {"": self} | {f"/{name}": score for name, score in self.outputs.items()}
        numbers = {
            f"{split}_{metric}{name}": getattr(score, metric)
            for metric in ("loss", "accuracy")
            for name, score in scores.items()
        }
        return numbers | {f"{split}_{name}": value for name, value in self.metrics.items()}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the predicted probabilities, in float64 on the host. logits: float [..., classes].

    A probability of 1e-400 is 0 in float64, but its logarithm is finite: use it for likelihoods.
    """
    exact = logits.astype(np.float64)
    return exact - np.logaddexp.reduce(exact, axis=-1, keepdims=True)


def score(logits: Any, targets: Any) -> Score:
    """Cross-entropy as the loss, and accuracy, over every given image, in float64 on the host.

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
    metrics = {name: float(value / sums.count) for name, value in sums.metrics.items()}
    if isinstance(sums.loss, dict):
        total = _mean({name: _divided(sums.loss[name], sums.correct[name], sums.count) for name in sums.loss})
    else:
        total = _divided(sums.loss, sums.correct, sums.count)
    return total._replace(metrics=metrics)


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean over seeds, with the images of all; NaN if there is none."""
    if not scores:
        return Score(np.nan, np.nan, 0)
    metrics = {name: float(np.mean([score.metrics[name] for score in scores])) for name in scores[0].metrics}
    loss, accuracy = (float(np.mean([getattr(score, name) for score in scores])) for name in ("loss", "accuracy"))
    return Score(loss, accuracy, sum(score.examples for score in scores), metrics=metrics)


def _divided(loss: Any, correct: Any, count: Any) -> Score:
    return Score(float(loss / count), float(correct / count), int(count))


def _mean(outputs: dict[str, Score]) -> Score:
    """The score of several outputs: the means of theirs."""
    scores = list(outputs.values())
    return mean_score(scores)._replace(examples=scores[0].examples, outputs=outputs)
