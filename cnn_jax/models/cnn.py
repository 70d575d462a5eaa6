"""The lecture's convolutional network."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.models.layers import Conv, Dense, Flatten, MaxPool
from cnn_jax.settings import About

Widths = Annotated[tuple[int, ...], About("filters of each convolution", at_least=1, at_most=65_536)]


class CNN(nn.Module):
    """Unpadded convolutions with ReLU, 2 x 2 max-pooling after each but the last, one dense layer.

    images: float [N, H, W, C]; returns logits: float32 [N, classes]. On 28 x 28 x 1 images and ten classes it has
    104,202 parameters with pooling and 712,202 without.
    """

    classes: int
    widths: Widths = (32, 64, 128)
    kernel_size: Annotated[int, About("height and width of the filters, in pixels", at_least=1, at_most=255)] = 3
    pooling: Annotated[bool, About("2 x 2 max-pooling after every convolution but the last")] = True
    dtype: Any = jnp.float32
    fused: bool = False  # compute each convolution with its ReLU and pooling: faster, same parameters, same outputs

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for layer, width in enumerate(self.widths, start=1):
            pooled = self.pooling and layer < len(self.widths)
            x = Conv(width, self.kernel_size, self.dtype)(x, pooled=pooled and self.fused, relu=self.fused)
            if not self.fused:
                x = nn.relu(x)
                x = MaxPool()(x) if pooled else x
        x = Flatten()(x)
        return Dense(self.classes, dtype=self.dtype)(x).astype(jnp.float32)
