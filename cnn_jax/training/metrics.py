"""Losses and hits as masked sums with a count, divided once: exact whatever the batch size or the number of devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

NEVER = np.iinfo(np.int32).max


class Sums(struct.PyTreeNode):
    """Sums over images. loss, correct, count: float32 []. diverged_at: int32 [], the first step that went bad."""

    loss: jax.Array
    correct: jax.Array
    count: jax.Array
    diverged_at: jax.Array

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            loss=self.loss + other.loss,
            correct=self.correct + other.correct,
            count=self.count + other.count,
            diverged_at=jnp.minimum(self.diverged_at, other.diverged_at),
        )


def zeros() -> Sums:
    """The sums over no images."""
    zero = jnp.zeros((), jnp.float32)
    return Sums(loss=zero, correct=zero, count=zero, diverged_at=jnp.full((), NEVER, jnp.int32))


def batch_sums(logits: jax.Array, labels: jax.Array, mask: jax.Array, step: jax.Array) -> Sums:
    """Sums over the images of a batch that the mask keeps, with natural-log softmax cross-entropy as loss.

    logits: float32 [N, classes]. labels: int32 [N]. mask: bool [N]. step: int32 [], kept where the loss is not finite.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    loss = jnp.sum(jnp.where(mask, losses, 0.0))
    return Sums(
        loss=loss,
        correct=jnp.sum(mask & (jnp.argmax(logits, axis=-1) == labels), dtype=jnp.float32),
        count=jnp.sum(mask, dtype=jnp.float32),
        diverged_at=jnp.where(jnp.isfinite(loss), NEVER, step),
    )


class Score(NamedTuple):
    """What a set of images says of a model: mean natural-log cross-entropy, share of right answers, images scored."""

    loss: float
    accuracy: float
    examples: int


def score(logits: np.ndarray, labels: np.ndarray) -> Score:
    """Scores every given image, in float64 on the host. logits: float [N, classes]. labels: int [N]."""
    exact = logits.astype(np.float64)
    losses = np.logaddexp.reduce(exact, axis=-1) - exact[np.arange(len(labels)), labels]
    hits = logits.argmax(axis=-1) == labels
    return Score(float(losses.mean()), float(hits.mean()), len(labels))
