"""A small network of depthwise separable convolutions."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.models.layers import Conv, Dense, GlobalAveragePool
from cnn_jax.settings import About


class SeparableCNN(nn.Module):
    """A 3 x 3 convolution; for each further width two separable convolutions, the first with stride 2; the mean; dense.

    The blocks are those of Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications" (2017), section 3; there are fewer of them, and the first convolution has no stride, because the
    images are small. Initial weights: He et al., "Delving Deep into Rectifiers" (2015).

    images: float [N, H, W, C]; returns logits: float32 [N, classes]. On 28 x 28 x 1 images and ten classes it has
    36,298 parameters.
    """

    classes: int
    widths: Annotated[
        tuple[int, ...],
        About("filters of the first convolution and of each pair of blocks", at_least=1, at_most=65_536),
    ] = (32, 64, 128)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        first, *others = self.widths
        x = _conv(first, dtype=self.dtype)(images)
        x = nn.relu(_norm(self.dtype, train=train)(x))
        for width in others:
            x = SeparableBlock(width, 2, self.dtype)(x, train=train)
            x = SeparableBlock(width, 1, self.dtype)(x, train=train)
        return Dense(self.classes, dtype=self.dtype)(GlobalAveragePool()(x)).astype(jnp.float32)


class SeparableBlock(nn.Module):
    """A 3 x 3 filter for each channel, then a 1 x 1 convolution over channels: [N, H, W, C] to [N, H', W', features].

    Each is followed by BatchNorm and ReLU.
    """

    features: int
    strides: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        channels = images.shape[-1]
        x = _conv(channels, strides=self.strides, groups=channels, dtype=self.dtype, name="depthwise")(images)
        x = nn.relu(_norm(self.dtype, train=train)(x))
        x = _conv(self.features, kernel_size=1, dtype=self.dtype, name="pointwise")(x)
        return nn.relu(_norm(self.dtype, train=train)(x))


def _conv(features: int, **settings: Any) -> Conv:
    return Conv(features, padding="SAME", use_bias=False, kernel_init=nn.initializers.he_normal(), **settings)


def _norm(dtype: Any, *, train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=dtype)
