"""The layers that the models are made of: linen modules with Keras's defaults.

Initial kernels are Glorot uniform and initial biases are zero, as in Keras. Parameters are float32; a layer computes
in `dtype`. The layers call the operators of `cnn_jax/ops/operators.py`: a faster implementation belongs there.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.errors import InputError
from cnn_jax.ops import operators

Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())


class Conv(nn.Module):
    """Convolution with bias: [N, H, W, C] to [N, H - kernel_size + 1, W - kernel_size + 1, features].

    padding: "VALID" pads nothing; "SAME" pads with zeros, so that the outputs have the height and width of the images.
    pooled: also apply `MaxPool`, without computing the values that it drops. Raises InputError where the filters are
    larger than the images.
    """

    features: int
    kernel_size: int = 3
    dtype: Any = jnp.float32
    padding: str = "VALID"

    @nn.compact
    def __call__(self, images: jax.Array, *, pooled: bool = False) -> jax.Array:
        height, width, channels = images.shape[-3:]
        least = self.kernel_size + 1 if pooled else self.kernel_size
        if self.padding == "VALID" and least > min(height, width):
            needed = "too small for its filters and its pooling" if pooled else "smaller than its filters"
            raise InputError(
                f"--kernel_size={self.kernel_size}: {self.name} receives images of {height} x {width} pixels, "
                f"{needed}. Use smaller filters or fewer layers."
            )
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        operands = images.astype(self.dtype), kernel.astype(self.dtype)
        if pooled:
            outputs = operators.convolution_max_pool(*operands)
        else:
            outputs = operators.convolution(*operands, padding=self.padding)
        return outputs + jnp.reshape(bias.astype(self.dtype), (1, 1, 1, -1))


class MaxPool(nn.Module):
    """The largest value of each 2 x 2 window: [N, H, W, C] to [N, H // 2, W // 2, C].

    An odd last row or column is dropped, as in Keras.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return operators.max_pool(images)


class Flatten(nn.Module):
    """Puts all numbers of an example into one row: [N, ...] to [N, M]."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        return jnp.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))
