"""The layers that the models are made of: linen modules with Keras's defaults.

Initial kernels are Glorot uniform and initial biases are zero, as in Keras. Parameters are float32; a layer computes
in `dtype`. The layers call the operators of `cnn_jax/ops/operators.py`: a faster implementation belongs there.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

from cnn_jax.errors import InputError
from cnn_jax.ops import operators

Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.glorot_uniform())


class Conv(nn.Module):
    """Convolution: [N, H, W, C] to [N, H', W', features].

    padding: "VALID" pads nothing; "SAME" pads with zeros, so that the outputs have the height and width of the images
    over `strides`, rounded up; or the zeros before and after rows and columns. groups: so many groups of channels have
    filters of their own; as many as there are channels make a depthwise convolution. pooled: also apply `MaxPool`,
    without computing the values that it drops; only where padding, strides and groups have their defaults. relu: also
    apply `nn.relu`, in the same pass. Raises InputError where the filters are larger than the images, or where the
    groups do not divide the channels.
    """

    features: int
    kernel_size: int = 3
    dtype: Any = jnp.float32
    padding: str | Sequence[tuple[int, int]] = "VALID"
    strides: int = 1
    groups: int = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, images: jax.Array, *, pooled: bool = False, relu: bool = False) -> jax.Array:
        self._require_fitting(images, pooled=pooled)
        shape = (self.kernel_size, self.kernel_size, images.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        operands = jax.tree.map(lambda operand: operand.astype(self.dtype), (images, kernel, bias))
        if pooled:
            return operators.convolution_max_pool(*operands, relu=relu)
        return operators.convolution(
            *operands, stride=self.strides, padding=self.padding, groups=self.groups, relu=relu
        )

    def _require_fitting(self, images: jax.Array, *, pooled: bool) -> None:
        height, width, channels = images.shape[-3:]
        if channels % self.groups or self.features % self.groups:
            raise InputError(
                f"{self.name}: its {channels} channels and {self.features} features cannot be divided into "
                f"{self.groups} equal groups. Use a number that divides both."
            )
        zeros = ((0, 0), (0, 0)) if isinstance(self.padding, str) else self.padding
        least = self.kernel_size + 1 if pooled else self.kernel_size
        size = min(height + sum(zeros[0]), width + sum(zeros[1]))
        if self.padding != "SAME" and least > size:
            needed = "too small for its filters and its pooling" if pooled else "smaller than its filters"
            raise InputError(
                f"{self.name}: receives images of {height} x {width} pixels, {needed} of {self.kernel_size} x "
                f"{self.kernel_size}. Use larger images, smaller filters or fewer layers."
            )


class MaxPool(nn.Module):
    """The largest value of each 2 x 2 window: [N, H, W, C] to [N, H // 2, W // 2, C].

    An odd last row or column is dropped, as in Keras.
    """

    kernel_size: ClassVar[int] = 2
    strides: ClassVar[int] = 2

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return operators.max_pool(images)


class GlobalAveragePool(nn.Module):
    """The mean of each channel over all positions: [N, H, W, C] to [N, C].

    Lin, Chen and Yan, "Network In Network" (2013), section 3.2.
    """

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return jnp.mean(images, (1, 2))


class Flatten(nn.Module):
    """Puts all numbers of an example into one row: [N, ...] to [N, M]."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        return jnp.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))
