"""A learner: the network, what it is asked, and how it is trained, as pure functions. Nothing in here is compiled."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array
from jax.typing import ArrayLike

from cnn_jax.data import augmentations
from cnn_jax.data.augmentations import Augment, Mixed
from cnn_jax.data.dataset import Spec
from cnn_jax.data.tasks import Task
from cnn_jax.display import Displayed
from cnn_jax.errors import InputError
from cnn_jax.models.summary import train_argument
from cnn_jax.ops.interception import stock_layers
from cnn_jax.training.metrics import Measures, MetricSums
from cnn_jax.training.optimizers import Averaging
from cnn_jax.training.prefixes import is_under, merged, partition
from cnn_jax.training.schedules import warmed_up
from cnn_jax.training.state import TrainState, create

# What random numbers are for. Epochs fold 1, 2, ... into the run's key, so these numbers begin at the other end.
_FOR_AUGMENTATION, _FOR_MODULE = 2**32 - 1, 2**32 - 2


@dataclass(frozen=True, repr=False)
class Learner(Displayed):
    """Everything that `experiment.build` makes of an Experiment and a dataset's spec.

    module: task inputs -> logits. optimizer: learning rate as a function of the step -> optimizer. schedule: all steps
    of the run -> (step -> factor of the learning rate). averaging: all steps of the run -> how an average of the
    parameters is kept; None where none is. augmentations: by name, in their order. matmul_precision: of
    float32 products, as `jax.default_matmul_precision` takes it. initial: variables that training starts from instead
    of the module's own; None where they are not given, so that training can only be resumed. frozen: prefixes of the
    names of variables that training leaves as they are. warmup_steps: of the learning rate, before the schedule. clip:
    of the gradients, without a state. microbatches: the equal parts that a batch is computed in.
    """

    module: nn.Module
    task: Task
    spec: Spec
    measures: Measures
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation]
    schedule: Callable[[int], optax.Schedule]
    learning_rate: float
    epochs: int
    batch_size: int
    averaging: Callable[[int], Averaging | None] | None = None
    augmentations: Mapping[str, Augment] = field(default_factory=dict)
    matmul_precision: str = "float32"
    initial: dict | None = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    warmup_steps: int = 0
    clip: optax.GradientTransformation = field(default_factory=optax.identity)
    microbatches: int = 1

    def _facts(self) -> dict[str, str]:
        return {
            "module": type(self.module).__name__,
            "parameters": f"{self.parameters:,}",
            "dataset": self.spec.name,
            "epochs": str(self.epochs),
            "batch size": str(self.batch_size),
            "learning rate": f"{self.learning_rate:g}",
        }

    def inputs(self, images: Any) -> Any:
        """What the module receives for uint8 images [N, H, W, C]."""
        return self.task.inputs(self.spec.inputs(images))

    def apply(self, variables: dict, images: Array) -> Any:
        """Logits of uint8 images [N, H, W, C], for scoring: float32 [N, classes], or a dict of them by output."""
        with jax.default_matmul_precision(self.matmul_precision), stock_layers():
            train = train_argument(self.module, is_training=False)
            return _in_float32(self.module.apply(variables, self.inputs(images), **train))

    def apply_in_training(
        self, params: dict, model_state: dict, inputs: Any, mask: Array, key: Array
    ) -> tuple[Any, dict]:
        """Logits of a batch, and the module's next state.

        inputs: as `augmented` gives them. mask: bool [N], the rows that are real images. key: for the module.
        """
        with jax.default_matmul_precision(self.matmul_precision), stock_layers(mask=mask, is_frozen=self.is_frozen):
            outputs = self.module.apply(
                {"params": params, **model_state},
                inputs,
                # `params` stands for every other stream that the module asks for.
                rngs={"params": key, "dropout": jax.random.fold_in(key, 0)},
                mutable=list(model_state) or False,
                **train_argument(self.module, is_training=True),
            )
        logits, changed = outputs if model_state else (outputs, {})
        return _in_float32(logits), self._with_frozen({**model_state, **changed}, model_state)

    def batch_statistics(self, variables: dict, images: Array) -> dict:
        """The module's state with the statistics of these images alone in every BatchNorm. No dropout is applied."""
        state = {name: value for name, value in variables.items() if name != "params"}
        layers = stock_layers(own_statistics=True, is_frozen=self.is_frozen)
        with jax.default_matmul_precision(self.matmul_precision), layers:
            _, changed = self.module.apply(
                variables,
                self.inputs(images),
                rngs={"params": jax.random.key(0)},
                mutable=list(state),
                **train_argument(self.module, is_training=True),
            )
        return self._with_frozen({**state, **changed}, state)

    def is_frozen(self, path: tuple[str, ...]) -> bool:
        """Whether the module or variable at this path is left as it is."""
        return is_under(path, self.frozen)

    def trained(self, params: dict) -> dict:
        """The parameters that are not frozen, which optimizer and averages work with."""
        return partition(params, self.frozen)[0]

    def _with_frozen(self, after: dict, before: dict) -> dict:
        """The module's next state, in which what is frozen is as it was before."""
        if not self.frozen:
            return after
        return {name: merged(after[name], partition(before[name], self.frozen)[1]) for name in after}

    def augmented(self, images: Array, key: Array) -> tuple[Any, Any]:
        """What the module receives in training, and partners and weights of mixtures, or None."""
        if not self.augmentations:
            return self.inputs(images), None
        result = augmentations.apply(self.augmentations.values(), key, images.astype(jnp.float32) / 255)
        changed, mixed = (result.images, result[1:]) if isinstance(result, Mixed) else (result, None)
        return self.task.inputs(self.spec.inputs(changed * 255)), mixed

    def init(self, key: Array) -> dict:
        """The module's initial variables."""
        with stock_layers():
            return dict(self.module.init(key, self._example(), **train_argument(self.module, is_training=False)))

    def create_state(self, seed: ArrayLike, initial: dict | None = None) -> TrainState:
        """The state before the first step. initial: variables that are given instead of the module's own."""
        # The number of steps does not change the form of the optimizer's state.
        optimizer, averages = self.optimizer_for(self.learning_rate, 1), self.keeps_average
        return create(self.init, optimizer, seed, initial or {}, averages=averages, frozen=self.frozen)

    def require_initial(self) -> None:
        """Raises InputError where training cannot start, because the variables that it starts from are not given."""
        if self.initial is None:
            raise InputError("--init_hash: this run starts from parameters of another one. Name it: --init_from=RUN.")

    @property
    def keeps_average(self) -> bool:
        """Whether an average of the parameters is kept and scored."""
        return self.averaging is not None and self.averaging(1) is not None

    def optimizer_for(self, learning_rate: ArrayLike, steps: int) -> optax.GradientTransformation:
        """The optimizer of a run of so many steps."""
        factor = self.factor(steps)
        return self.optimizer(lambda step: learning_rate * factor(step))

    def factor(self, steps: int) -> optax.Schedule:
        """The factor of the learning rate in a run of so many steps: the warm-up, and then the schedule."""
        return warmed_up(self.schedule, self.warmup_steps, steps)

    @functools.cached_property
    def abstract_state(self) -> tuple[TrainState, MetricSums]:
        """Shapes and dtypes of what a checkpoint holds. Makes no array.

        Raises InputError if the images of the dataset do not fit the module.
        """
        return jax.eval_shape(
            lambda: (self.create_state(0), self.measures.zeros(self.targets(jnp.zeros(1, jnp.int32))))
        )

    def targets(self, labels: Any) -> Any:
        """What the module is asked: int32 [N], or a dict of them by output."""
        return self.task.targets(labels)

    @functools.cached_property
    def abstract_variables(self) -> dict:
        """Shapes and dtypes of what `apply` takes."""
        return self.abstract_state[0].variables

    @functools.cached_property
    def input_shapes(self) -> Any:
        """Shapes and dtypes of what the module receives for one image."""
        return jax.eval_shape(self._example)

    @property
    def parameters(self) -> int:
        """How many numbers the module learns."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.abstract_state[0].params))

    @property
    def frozen_parameters(self) -> int:
        """How many of these numbers are left as they are."""
        return sum(leaf.size for leaf in jax.tree.leaves(partition(self.abstract_state[0].params, self.frozen)[1]))

    def _example(self) -> Any:
        return self.task.inputs(jnp.zeros((1, *self.spec.image_shape), jnp.float32))


def _in_float32(logits: Any) -> Any:
    """The outputs of a module, which may compute in bfloat16."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if _is_floating(leaf) else leaf, logits)


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jnp.floating)


@dataclass(frozen=True)
class Keys:
    """The random keys of a step. module: for dropout and whatever else the module draws."""

    augmentation: Array
    module: Array

    @staticmethod
    def of_step(key: Array, step: ArrayLike) -> "Keys":
        """The keys, a function of the run's key and the step alone."""
        return Keys(
            *(jax.random.fold_in(jax.random.fold_in(key, use), step) for use in (_FOR_AUGMENTATION, _FOR_MODULE))
        )
