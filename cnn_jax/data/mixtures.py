"""Augmentations that mix two images, each with the next one of the batch, whose order is random in each epoch."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn_jax.data.intensity import boxes
from cnn_jax.settings import About

_QUANTILES = 4096


class Mixed(NamedTuple):
    """Images that are mixtures of two, as mixup and cutmix make them.

    An augmentation may return this. partners: int32 [N], the row of each image's other label. weight: float32 [N], from
    0 to 1, of the image's own label. The loss is `weight * own + (1 - weight) * partner's`. Metrics use the own label.
    """

    images: Array
    partners: Array
    weight: Array

    def __repr__(self) -> str:
        arrays = (f"{name}: {array.dtype}{list(array.shape)}" for name, array in self._asdict().items())
        return f"Mixed({', '.join(arrays)})"


_Alpha = Annotated[float, About("both parameters of the Beta distribution of the weight", above=0, at_most=100)]


def mixup(key: Array, images: Array, alpha: _Alpha = 0.2) -> Mixed:
    """Mixes each image with the next one of the batch; the larger weight is that of the own label.

    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (2018). Which of the two weights is
    the own one makes no difference in a random order, but for metrics.
    """
    weight = _weights(key, images.shape[0], alpha)
    weight = jnp.maximum(weight, 1 - weight)
    of_pixels = weight[:, None, None, None]
    return Mixed(of_pixels * images + (1 - of_pixels) * _next(images), _partners(images), weight)


def cutmix(key: Array, images: Array, alpha: _Alpha = 1.0) -> Mixed:
    """Puts a box of the next image of the batch into each one; the labels have the weights of their areas.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features" (2019). The
    box's centre is any pixel, so that a part may lie outside; only what is inside counts for the weights.
    """
    of_share, of_box = jax.random.split(key)
    side = jnp.sqrt(1 - _weights(of_share, images.shape[0], alpha))
    heights, widths = (jnp.rint(side * length).astype(jnp.int32) for length in images.shape[1:3])
    is_partner = boxes(of_box, images.shape, heights, widths)
    weight = 1 - jnp.mean(is_partner, axis=(1, 2, 3), dtype=jnp.float32)
    return Mixed(jnp.where(is_partner, _next(images), images), _partners(images), weight)


def _next(images: Array) -> Array:
    """The next image of each one. Only neighbours are exchanged between devices, and it is never the same image."""
    return jnp.roll(images, -1, axis=0)


def _partners(images: Array) -> Array:
    return jnp.roll(jnp.arange(images.shape[0], dtype=jnp.int32), -1)


def _weights(key: Array, examples: int, alpha: float) -> Array:
    """Random numbers from Beta(alpha, alpha), as one of many quantiles: jax.random.beta takes seconds to compile."""
    from scipy import special  # only mixtures need it

    quantiles = special.betaincinv(alpha, alpha, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    return jnp.asarray(quantiles, jnp.float32)[jax.random.randint(key, (examples,), 0, _QUANTILES)]
