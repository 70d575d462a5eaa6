"""Losses and metrics: functions of logits, float32 [N, classes], and labels, int32 [N]; they give float32 [N]."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import optax
from jax import Array

PerImage = Callable[..., Array]  # (logits, labels, **settings) -> float32 [N]


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Softmax cross-entropy with natural logarithms."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def accuracy(logits: Array, labels: Array) -> Array:
    """1 where the largest logit is that of the label, else 0."""
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)


LOSSES: Mapping[str, PerImage] = {"cross_entropy": cross_entropy}
METRICS: Mapping[str, PerImage] = {"accuracy": accuracy}
