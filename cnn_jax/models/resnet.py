"""The residual networks that He et al. made for CIFAR."""

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.errors import InputError
from cnn_jax.models.layers import Conv, Dense, GlobalAveragePool
from cnn_jax.settings import About

_WIDTHS = (16, 32, 64)
_GROUPS = 8  # of GroupNorm; they divide every width
_AROUND = ((1, 1), (1, 1))  # with stride 2 too, a filter's middle is on the pixel that the shortcut takes
_he_normal = nn.initializers.he_normal()


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks with 16, 32 and 64 filters, the mean of each, a dense layer.

    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2016), section 4.2. Shortcuts have no
    parameters (option A). Initial weights: He et al., "Delving Deep into Rectifiers" (2015). GroupNorm: Wu and He
    (2018).

    images: float [N, H, W, C]; returns logits: float32 [N, classes]. On RGB images and ten classes it has 269,722
    parameters at depth 20. Raises InputError where the depth is not 6n + 2.
    """

    classes: int
    depth: Annotated[int, About("layers with weights, 6n + 2: 20, 32, 44, 56, 110", at_least=8, at_most=1202)] = 20
    norm: Annotated[Literal["batch", "group"], About("BatchNorm, or GroupNorm with 8 groups")] = "batch"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        blocks, rest = divmod(self.depth - 2, 6)
        if rest:
            below = self.depth - rest
            raise InputError(f"--depth={self.depth}: must be 6n + 2, as {below} or {below + 6}.")
        x = Conv(_WIDTHS[0], dtype=self.dtype, padding=_AROUND, use_bias=False, kernel_init=_he_normal)(images)
        x = nn.relu(_norm(self.norm, self.dtype, train=train)(x))
        for stage, width in enumerate(_WIDTHS):
            for block in range(blocks):
                strides = 2 if stage > 0 and block == 0 else 1
                x = ResidualBlock(width, strides, self.norm, self.dtype)(x, train=train)
        x = GlobalAveragePool()(x)
        return Dense(self.classes, dtype=self.dtype, kernel_init=_he_normal)(x).astype(jnp.float32)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each with its norm, added to what they read: [N, H, W, C] to [N, H', W', features].

    Where the convolutions have a stride, the shortcut takes every second pixel; new channels of it are zero.
    """

    features: int
    strides: int = 1
    norm: str = "batch"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        common = {"dtype": self.dtype, "padding": _AROUND, "use_bias": False, "kernel_init": _he_normal}
        x = Conv(self.features, strides=self.strides, **common)(images)
        x = nn.relu(_norm(self.norm, self.dtype, train=train)(x))
        x = Conv(self.features, **common)(x)
        x = _norm(self.norm, self.dtype, train=train)(x)
        shortcut = images[:, :: self.strides, :: self.strides]
        if new_channels := self.features - images.shape[-1]:
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, new_channels)))
        return nn.relu(x + shortcut)


def _norm(name: str, dtype: Any, *, train: bool) -> nn.Module:
    if name == "group":
        return nn.GroupNorm(_GROUPS, dtype=dtype)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=dtype)
