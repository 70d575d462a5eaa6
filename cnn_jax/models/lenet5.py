"""LeNet-5: as published, and as it is built today."""

import math
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cnn_jax.models.layers import Conv, Dense, Flatten, MaxPool
from cnn_jax.ops import operators
from cnn_jax.settings import About

_SIDE = 32  # pixels of the published network's images in each direction
# The maps of S2 that each map of C3 reads: table I of the paper.
_READ_BY_C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


class LeNet5(nn.Module):
    """Two convolutions with subsampling, a convolution and a dense layer, squashed; then a dense layer for the classes.

    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition" (1998), section II.B.
    Its output layer of radial basis functions is a dense layer here: its codes are drawings of the characters. Images
    of less than 32 x 32 pixels get zeros around them. The modern form has full connections, max-pooling and ReLU.

    images: float [N, H, W, C]; returns logits: float32 [N, classes]. On 28 x 28 x 1 images and ten classes it has
    60,850 parameters, and 61,706 in the modern form.
    """

    classes: int
    modern: Annotated[bool, About("max-pooling, ReLU and full connections, in place of the published layers")] = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return self._as_today(images) if self.modern else self._as_published(images)

    def _as_published(self, images: jax.Array) -> jax.Array:
        init = {"dtype": self.dtype, "kernel_init": _uniform}
        x = _squashed(Conv(6, 5, padding=_padding(images), **init, name="C1")(images))
        x = _squashed(Subsampling(self.dtype, name="S2")(x))
        x = _squashed(PartialConv(self.dtype, name="C3")(x))
        x = _squashed(Subsampling(self.dtype, name="S4")(x))
        x = _squashed(Conv(120, 5, **init, name="C5")(x))
        x = _squashed(Dense(84, **init, name="F6")(Flatten()(x)))
        return Dense(self.classes, **init, name="output")(x).astype(jnp.float32)

    def _as_today(self, images: jax.Array) -> jax.Array:
        x = nn.relu(Conv(6, 5, self.dtype, _padding(images), name="C1")(images))
        x = MaxPool(name="S2")(x)
        x = nn.relu(Conv(16, 5, self.dtype, name="C3")(x))
        x = MaxPool(name="S4")(x)
        x = nn.relu(Conv(120, 5, self.dtype, name="C5")(x))
        x = nn.relu(Dense(84, dtype=self.dtype, name="F6")(Flatten()(x)))
        return Dense(self.classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)


class Subsampling(nn.Module):
    """The sum of each 2 x 2 window, times a number and plus a bias of its channel: [N, H, W, C] to [N, H/2, W/2, C]."""

    dtype: Any = jnp.float32
    kernel_size: ClassVar[int] = 2
    strides: ClassVar[int] = 2

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        channels = images.shape[-1]
        scale = self.param("scale", lambda key: _uniform(key, (4, channels))[0])  # a unit has four inputs
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        batch, rows, columns = images.shape[0], images.shape[1] // 2, images.shape[2] // 2
        # Not `nn.avg_pool`: XLA computes its gradient slowly on a CPU.
        windows = jnp.reshape(images[:, : 2 * rows, : 2 * columns], (batch, rows, 2, columns, 2, channels))
        sums = jnp.sum(windows, (2, 4))
        scale, bias = (jnp.reshape(numbers.astype(self.dtype), (1, 1, 1, -1)) for numbers in (scale, bias))
        return sums * scale + bias


class PartialConv(nn.Module):
    """Unpadded 5 x 5 convolution in which each map reads only some of the six: [N, H, W, 6] to [N, H - 4, W - 4, 16].

    Its parameters are 60 filters of one channel, one for each connection, and 16 biases.
    """

    dtype: Any = jnp.float32
    kernel_size: ClassVar[int] = 5

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        size = self.kernel_size
        inputs = np.concatenate(_READ_BY_C3)
        outputs = np.repeat(np.arange(len(_READ_BY_C3)), [*map(len, _READ_BY_C3)])

        def init(key: jax.Array) -> jax.Array:
            drawn = [
                _uniform(one, (size, size, len(read), 1))[..., 0]
                for one, read in zip(jax.random.split(key, len(_READ_BY_C3)), _READ_BY_C3, strict=True)
            ]
            return jnp.concatenate(drawn, -1)

        filters = self.param("kernel", init)
        bias = self.param("bias", nn.initializers.zeros, (len(_READ_BY_C3),))
        kernel = jnp.zeros((size, size, images.shape[-1], len(_READ_BY_C3)), self.dtype)
        kernel = kernel.at[:, :, inputs, outputs].set(filters.astype(self.dtype), unique_indices=True)
        return operators.convolution(images.astype(self.dtype), kernel, bias.astype(self.dtype))


def _squashed(x: jax.Array) -> jax.Array:
    """The paper's hyperbolic tangent, eq. 6: its slope is about 1 where the inputs have a variance of 1."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


def _uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """The paper's initial weights, uniform in ± 2.4 / inputs of a unit. shape: [..., in, out]."""
    limit = 2.4 / math.prod(shape[:-1])
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def _padding(images: jax.Array) -> tuple[tuple[int, int], ...]:
    """The zeros around images that make them 32 x 32."""
    missing = [max(0, _SIDE - pixels) for pixels in images.shape[-3:-1]]
    return tuple((zeros // 2, zeros - zeros // 2) for zeros in missing)
