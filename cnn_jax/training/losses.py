"""Losses and metrics: functions of logits, float32 [N, classes], and labels, int32 [N]; they give float32 [N]."""

from collections.abc import Callable, Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cnn_jax.errors import InputError
from cnn_jax.settings import About, as_text

PerImage = Callable[..., Array]  # (logits, labels, **settings) -> float32 [N]

Smoothing = Annotated[float, About("lay this share of the target evenly on all classes", at_least=0.0, at_most=1.0)]
ClassWeights = Annotated[
    tuple[float, ...], About("a factor of the loss for each class, in their order; (): 1 each", at_least=0.0)
]


def cross_entropy(
    logits: Array, labels: Array, label_smoothing: Smoothing = 0.0, class_weights: ClassWeights = ()
) -> Array:
    """Softmax cross-entropy with natural logarithms, with the label smoothing of Szegedy et al. (2016)."""
    if not label_smoothing:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    else:
        targets = optax.smooth_labels(_one_hot(logits, labels), label_smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
    return _weighted(losses, logits, labels, class_weights)


def is_plain_cross_entropy(loss: PerImage) -> bool:
    """Whether a loss is the cross-entropy, neither smoothed nor weighted."""
    settings = getattr(loss, "keywords", {})  # of functools.partial, as is func
    return getattr(loss, "func", loss) is cross_entropy and not any(settings.values())


def focal(
    logits: Array,
    labels: Array,
    gamma: Annotated[float, About("how much less easy images count; 0: as in the cross-entropy", at_least=0.0)] = 2.0,
    class_weights: ClassWeights = (),
) -> Array:
    """The cross-entropy times (1 - p) ** gamma, where p is the label's probability: easy images count less.

    Lin et al., "Focal Loss for Dense Object Detection" (2017), with softmax; their alpha are the class weights.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    # 1 - p without cancellation. At 0, a power below 1 has no derivative.
    missing = jnp.maximum(-jnp.expm1(-losses), jnp.finfo(losses.dtype).tiny)
    return _weighted(missing**gamma * losses, logits, labels, class_weights)


def squared_error(logits: Array, labels: Array, class_weights: ClassWeights = ()) -> Array:
    """The mean over classes of the squared difference between the logits and the one-hot label.

    Of logits, not of probabilities: through a softmax the gradient vanishes where a prediction is surely wrong. Hui and
    Belkin, "Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy" (2021).
    """
    losses = jnp.mean((logits - _one_hot(logits, labels)) ** 2, axis=-1)
    return _weighted(losses, logits, labels, class_weights)


def _one_hot(logits: Array, labels: Array) -> Array:
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)


def _weighted(losses: Array, logits: Array, labels: Array, class_weights: tuple[float, ...]) -> Array:
    """The losses times the weights of the labels' classes; without weights as they are.

    The mean is later taken over all images, as in Keras; PyTorch divides by the sum of the weights instead. Raises
    InputError where there is not one weight for each class.
    """
    if not class_weights:
        return losses
    if len(class_weights) != logits.shape[-1]:
        raise InputError(
            f"--loss.class_weights={as_text(class_weights)}: {len(class_weights)} weights for {logits.shape[-1]} "
            "classes. Give one for each class."
        )
    return losses * jnp.asarray(class_weights, losses.dtype)[labels]


def accuracy(logits: Array, labels: Array) -> Array:
    """1 where the largest logit is that of the label, else 0."""
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)


LOSSES: Mapping[str, PerImage] = {"cross_entropy": cross_entropy, "focal": focal, "squared_error": squared_error}
METRICS: Mapping[str, PerImage] = {"accuracy": accuracy}
