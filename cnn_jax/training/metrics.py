"""Losses and hits as masked sums with a count, divided once: exact whatever the batch size or the number of devices."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

NEVER = np.iinfo(np.int32).max


class Sums(struct.PyTreeNode):
    """Sums over images. loss, correct: float32 [], or a dict of them by output. count: float32 [].

    diverged_at: int32 [], the first step that went bad.
    """

    loss: Any
    correct: Any
    count: jax.Array
    diverged_at: jax.Array

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            loss=jax.tree.map(jnp.add, self.loss, other.loss),
            correct=jax.tree.map(jnp.add, self.correct, other.correct),
            count=self.count + other.count,
            diverged_at=jnp.minimum(self.diverged_at, other.diverged_at),
        )


def zeros(outputs: Any = 0) -> Sums:
    """The sums over no images. outputs: anything with the model's outputs as structure; by default it has one."""
    zero = jnp.zeros((), jnp.float32)
    each = jax.tree.map(lambda _: zero, outputs)
    return Sums(loss=each, correct=each, count=zero, diverged_at=jnp.full((), NEVER, jnp.int32))


def batch_sums(logits: Any, targets: Any, mask: jax.Array, step: jax.Array) -> Sums:
    """Sums over the images of a batch that the mask keeps, with natural-log softmax cross-entropy as loss.

    logits: float32 [N, classes]; targets: int32 [N]; or dicts of them by output. mask: bool [N]. step: int32 [], kept
    where the loss is not finite.
    """

    def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.sum(jnp.where(mask, losses, 0.0))

    def correct(logits: jax.Array, targets: jax.Array) -> jax.Array:
        return jnp.sum(mask & (jnp.argmax(logits, axis=-1) == targets), dtype=jnp.float32)

    losses = jax.tree.map(loss, logits, targets)
    return Sums(
        loss=losses,
        correct=jax.tree.map(correct, logits, targets),
        count=jnp.sum(mask, dtype=jnp.float32),
        diverged_at=jnp.where(jnp.isfinite(total(losses)), NEVER, step),
    )


def total(by_output: Any) -> Any:
    """The mean over outputs: what a model of several is trained on and told by."""
    first, *others = jax.tree.leaves(by_output)
    return sum(others, first) / (1 + len(others)) if others else first


class Score(NamedTuple):
    """What a set of images says of a model: mean natural-log cross-entropy, share of right answers, images scored.

    outputs: of a model of several outputs the score of each; loss and accuracy are then the means of theirs.
    """

    loss: float
    accuracy: float
    examples: int
    outputs: Mapping[str, "Score"] = {}

    def named(self, part: str) -> dict[str, float]:
        """As in a row: `train_loss`, `train_accuracy`, and of several outputs `train_loss/digit` and so on."""
        rows = {"": self} | {f"/{name}": score for name, score in self.outputs.items()}
        return {
            f"{part}_{what}{name}": getattr(score, what)
            for what in ("loss", "accuracy")
            for name, score in rows.items()
        }


def score(logits: Any, targets: Any) -> Score:
    """Scores every given image, in float64 on the host.

    logits: float [N, classes]; targets: int [N]; or dicts of them by output.
    """
    if isinstance(logits, dict):
        return _mean({name: score(logits[name], targets[name]) for name in logits})
    exact = logits.astype(np.float64)
    losses = np.logaddexp.reduce(exact, axis=-1) - exact[np.arange(len(targets)), targets]
    hits = logits.argmax(axis=-1) == targets
    return Score(float(losses.mean()), float(hits.mean()), len(targets))


def score_of(sums: Sums) -> Score | None:
    """What sums on the host say; None where they are over no images."""
    if not sums.count:
        return None
    if isinstance(sums.loss, dict):
        return _mean({name: _score_of(sums.loss[name], sums.correct[name], sums.count) for name in sums.loss})
    return _score_of(sums.loss, sums.correct, sums.count)


def _score_of(loss: Any, correct: Any, count: Any) -> Score:
    return Score(float(loss / count), float(correct / count), int(count))


def _mean(outputs: dict[str, Score]) -> Score:
    losses, accuracies, examples, _ = zip(*outputs.values(), strict=True)
    return Score(float(np.mean(losses)), float(np.mean(accuracies)), examples[0], outputs)
