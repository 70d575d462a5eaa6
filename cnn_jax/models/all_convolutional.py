"""A network of convolutions alone: strides take the place of pooling, and a mean that of the dense layers."""

import functools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.models.layers import Conv, GlobalAveragePool
from cnn_jax.settings import About


class AllConvolutional(nn.Module):
    """All-CNN-C: twice three 3 x 3 convolutions, the third with stride 2; three more, of which two are 1 x 1; the mean.

    Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity: The All Convolutional Net" (2015), table
    1, without the ReLU behind its last convolution, which would make logits that are never negative. Initial weights:
    He et al., "Delving Deep into Rectifiers" (2015).

    images: float [N, H, W, C]; returns logits: float32 [N, classes]. On RGB images and ten classes it has 1,369,738
    parameters.
    """

    classes: int
    widths: Annotated[
        tuple[int, int], About("filters of the convolutions before and after the first stride", at_least=1)
    ] = (96, 192)
    input_dropout: Annotated[float, About("share of the inputs that dropout removes", at_least=0.0, at_most=1.0)] = 0.2
    dropout: Annotated[float, About("share of what dropout removes behind each stride", at_least=0.0, at_most=1.0)] = (
        0.5
    )
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        conv = functools.partial(Conv, dtype=self.dtype, padding="SAME", kernel_init=nn.initializers.he_normal())
        x = nn.Dropout(self.input_dropout, deterministic=not train)(images)
        for width in self.widths:
            x = nn.relu(conv(width)(x))
            x = nn.relu(conv(width)(x))
            x = nn.relu(conv(width, strides=2)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(conv(self.widths[-1], padding="VALID")(x))
        x = nn.relu(conv(self.widths[-1], kernel_size=1)(x))
        x = conv(self.classes, kernel_size=1)(x)
        return GlobalAveragePool()(x).astype(jnp.float32)
