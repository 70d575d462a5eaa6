"""TrivialAugment: one change of random kind and strength for each image, all kinds in one pass over the batch."""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.geometric import affine
from cnn_jax.settings import About

# The largest changes of the paper's wide space.
DEGREES, _SLOPE, _FACTOR, _BITS = 135, 0.99, 0.99, 6
# One number for each kind. Kinds from _COLOUR on need three channels.
(_NONE, _ROTATION, _SLANT, _SLOPE_DOWN, _RIGHT, _DOWN, _BRIGHTNESS, _CONTRAST, _SHARPNESS, _POSTERIZE, _SOLARIZE,
 _COLOUR) = range(12)  # fmt: skip


def trivial(
    key: Array,
    images: Array,
    strength: Annotated[float, About("share of the paper's largest changes", at_least=0, at_most=1)] = 1.0,
) -> Array:
    """Changes each image in one random way and by a random amount; for digits, a strength of 0.3 is enough.

    It turns, slants or moves the image; changes brightness, contrast, sharpness or, of three channels, the colour;
    keeps fewer bits; inverts what is bright; or changes nothing. Müller and Hutter, "TrivialAugment: Tuning-free Yet
    State-of-the-Art Data Augmentation" (2021), their wide space without the kinds that have no strength. A batch pays
    for all kinds: each image takes its own from one affine map and from one choice between all changes of pixels.
    """
    examples, channels = images.shape[0], images.shape[-1]
    of_kind, of_amount = jax.random.split(key)
    kind = jax.random.randint(of_kind, (examples, 1, 1), 0, _COLOUR + int(channels == 3))
    amount = strength * jax.random.uniform(of_amount, (examples, 1, 1), minval=-1, maxval=1)
    return _with_other_pixels(_moved(images, kind, amount), kind[..., None], amount[..., None])


def _moved(images: Array, kind: Array, amount: Array) -> Array:
    """The images turned, slanted or moved; those of other kinds as they are. kind, amount: [N, 1, 1]."""
    height, width = images.shape[1:3]

    def of(one: int) -> Array:
        return jnp.where(kind == one, amount, 0)

    angle = math.radians(DEGREES) * of(_ROTATION)
    matrix = (
        (jnp.cos(angle), _SLOPE * of(_SLOPE_DOWN) - jnp.sin(angle)),
        (_SLOPE * of(_SLANT) + jnp.sin(angle), jnp.cos(angle)),
    )
    return affine(images, matrix, (jnp.rint(height * of(_DOWN)), jnp.rint(width * of(_RIGHT))))


def _with_other_pixels(images: Array, kind: Array, amount: Array) -> Array:
    """The images with other pixels; those of other kinds as they are. kind, amount: [N, 1, 1, 1]."""
    grey = _grey(images)
    blank = {  # brightness, contrast, sharpness and colour go towards one of these, or away from it
        _BRIGHTNESS: jnp.zeros_like(images),
        _CONTRAST: jnp.mean(grey, axis=(1, 2, 3), keepdims=True),
        _SHARPNESS: _smooth(images),
        _COLOUR: grey,
    }
    chosen = [kind == one for one in blank]
    base = jnp.select(chosen, [jnp.broadcast_to(value, images.shape) for value in blank.values()], images)
    blended = jnp.clip(base + (1 + _FACTOR * amount) * (images - base), 0, 1)
    step = 2.0 ** jnp.rint(_BITS * jnp.abs(amount))  # of a byte
    coarse = jnp.floor(jnp.rint(255 * images) / step) * step / 255
    inverted = jnp.where(images > 1 - jnp.abs(amount), 1 - images, images)
    return jnp.select([(kind == _POSTERIZE) & (step > 1), kind == _SOLARIZE], [coarse, inverted], blended)


def _grey(images: Array) -> Array:
    """The luma of three channels, as of a television (ITU-R 601); the mean of others: float32 [N, H, W, 1]."""
    shares = (0.299, 0.587, 0.114) if images.shape[-1] == 3 else (1 / images.shape[-1],) * images.shape[-1]
    return sum((share * images[..., [channel]] for channel, share in enumerate(shares)), jnp.zeros(()))


def _smooth(images: Array) -> Array:
    """The mean of each pixel, with weight 5, and its eight neighbours."""
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * images) / 13
