"""Networks without convolutions: the dense network of the lecture's first assignment, and logistic regression."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.models.layers import Dense, Flatten
from cnn_jax.settings import About


class DenseNetwork(nn.Module):
    """Hidden dense layers with ReLU, then one dense layer: 784-512-10 on MNIST.

    images: float [N, H, W, C]; returns logits: float32 [N, classes].
    """

    classes: int
    widths: Annotated[tuple[int, ...], About("units of each hidden layer", at_least=1, at_most=65_536)] = (512,)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = Flatten()(images)
        for width in self.widths:
            x = nn.relu(Dense(width, dtype=self.dtype)(x))
        return Dense(self.classes, dtype=self.dtype)(x).astype(jnp.float32)


class LogisticRegression(nn.Module):
    """One dense layer from pixels to classes, also called softmax regression: 784-10 on MNIST.

    images: float [N, H, W, C]; returns logits: float32 [N, classes].
    """

    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return Dense(self.classes, dtype=self.dtype)(Flatten()(images)).astype(jnp.float32)
