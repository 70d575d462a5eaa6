"""A learner: the network, what it is asked, and how it is trained, as pure functions. Nothing in here is compiled."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.typing import ArrayLike

from cnn_jax.data.dataset import Spec
from cnn_jax.data.tasks import Task
from cnn_jax.training import metrics
from cnn_jax.training.metrics import MetricSums
from cnn_jax.training.state import TrainState, create


@dataclass(frozen=True)
class Learner:
    """Everything that `experiment.build` makes of a Config and a dataset's spec.

    module: task inputs -> logits. optimizer: learning rate or schedule -> optimizer. schedule: peak learning rate and
    all steps of the run -> schedule. matmul_precision: of float32 products, as `jax.default_matmul_precision` takes it.
    """

    module: nn.Module
    task: Task
    spec: Spec
    optimizer: Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]
    schedule: Callable[[ArrayLike, int], optax.Schedule]
    learning_rate: float
    epochs: int
    batch_size: int
    matmul_precision: str = "float32"

    def inputs(self, images: Any) -> Any:
        """What the module receives for uint8 images [N, H, W, C]."""
        return self.task.inputs(self.spec.inputs(images))

    def apply(self, params: dict, images: jax.Array) -> Any:
        """Logits of uint8 images [N, H, W, C]: float32 [N, classes], or a dict of them by output."""
        with jax.default_matmul_precision(self.matmul_precision):
            return self.module.apply({"params": params}, self.inputs(images))

    def init(self, key: jax.Array) -> dict:
        """The initial parameters."""
        return self.module.init(key, self._example())["params"]

    def create_state(self, seed: ArrayLike) -> TrainState:
        """The state before the first step."""
        # The number of steps does not change the form of the optimizer's state.
        return create(self.init, self.optimizer(self.schedule(self.learning_rate, 1)), seed)

    @functools.cached_property
    def abstract_state(self) -> tuple[TrainState, MetricSums]:
        """Shapes and dtypes of what a checkpoint holds. Makes no array.

        Raises InputError if the images of the dataset do not fit the module.
        """
        return jax.eval_shape(lambda: (self.create_state(0), metrics.zeros(self.task.targets(jnp.zeros(1, jnp.int32)))))

    def require_fitting_images(self) -> None:
        """Raises InputError if the images of the dataset do not fit the module."""
        _ = self.abstract_state

    @functools.cached_property
    def input_shapes(self) -> Any:
        """Shapes and dtypes of what the module receives for one image."""
        return jax.eval_shape(self._example)

    @property
    def parameters(self) -> int:
        """How many numbers the module learns."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_state[0].params))

    def _example(self) -> Any:
        return self.task.inputs(jnp.zeros((1, *self.spec.image_shape), jnp.float32))
