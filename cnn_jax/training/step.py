"""The training step, the loop over steps and the order of images: pure functions, compiled by `compiled.py`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from cnn_jax.training.learner import Keys, Learner
from cnn_jax.training.metrics import MetricSums, mean_over_outputs
from cnn_jax.training.prefixes import merged, partition
from cnn_jax.training.state import TrainState

# variables, uint8 images [N, H, W, C] -> float32 logits [N, classes], or a dict of them by output
Apply = Callable[[dict, jax.Array], Any]
# state, images, targets, mask -> the next state, and the sums of the batch before the update
Step = Callable[[TrainState, jax.Array, Any, jax.Array], tuple[TrainState, MetricSums]]


def batch_indices(key: jax.Array, epoch: jax.Array, examples: int, batch_size: int, rows: int) -> jax.Array:
    """The images of each step of an epoch: int32 [steps, rows], a permutation that is cut into batches.

    -1 stands in rows without an image: at the end of the last, smaller batch, and in the `rows - batch_size` rows that
    give each device the same number.
    """
    permutation = jax.random.permutation(jax.random.fold_in(key, epoch), examples).astype(jnp.int32)
    steps = -(-examples // batch_size)
    batches = jnp.pad(permutation, (0, steps * batch_size - examples), constant_values=-1)
    return jnp.pad(jnp.reshape(batches, (steps, batch_size)), ((0, 0), (0, rows - batch_size)), constant_values=-1)


def make_step(learner: Learner, learning_rate: ArrayLike, steps: int) -> Step:
    """The training step of a run of so many steps.

    The loss is the mean over the images that the mask keeps, as in Keras. A model with several outputs has one loss for
    each; the gradient is taken of their mean. What is frozen is neither differentiated nor shown to the optimizer.
    """
    optimizer = learner.optimizer_for(learning_rate, steps)
    averaging = learner.averaging(steps) if learner.averaging and learner.keeps_average else None

    def mean_loss(
        trained: dict, frozen: dict, state: TrainState, images: jax.Array, targets: Any, mask: jax.Array
    ) -> tuple[jax.Array, tuple[MetricSums, dict]]:
        number = state.step + 1
        logits, model_state, mixed = learner.apply_in_training(
            merged(trained, frozen), state.model_state, images, mask, Keys.of_step(state.key, number)
        )
        sums = learner.measures.batch_sums(logits, targets, mask, number, mixed)
        return mean_over_outputs(sums.loss) / sums.count, (sums, model_state)

    def step(state: TrainState, images: jax.Array, targets: Any, mask: jax.Array) -> tuple[TrainState, MetricSums]:
        number = state.step + 1
        trained, frozen = partition(state.params, learner.frozen)
        gradients, (sums, model_state) = jax.grad(mean_loss, has_aux=True)(
            trained, frozen, state, images, targets, mask
        )
        norm = optax.tree.norm(gradients)
        # The norm is finite where the gradients are, but for very large ones: looking at each takes a pass over them.
        is_finite = jax.lax.cond(jnp.isfinite(norm), lambda _: True, _are_finite, gradients)
        sums = sums.replace(diverged_at=jnp.where(is_finite, sums.diverged_at, number), gradient_norm=norm)
        updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        trained = optax.apply_updates(trained, updates)
        average = state.average
        if averaging:
            averaged = averaging(learner.trained(average["params"]), trained, number)
            average = {**average, "params": merged(averaged, frozen)}
        params = merged(trained, frozen)
        return state.replace(
            step=number, params=params, model_state=model_state, average=average, opt_state=opt_state
        ), sums

    return step


def _are_finite(tree: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def make_chunk(make_step: Callable[[ArrayLike], Step], batch_sharding: NamedSharding | PartitionSpec) -> Callable:
    """The loop over the steps `first` (included) to `last` (excluded) of an epoch. It adds up their sums.

    The bounds are arguments, so that every way of cutting an epoch runs the same program and gives the same bits. The
    learning rate is an argument too, so that one program serves all learning rates. make_step: learning rate -> step.
    batch_sharding: how the devices share a batch.
    """

    def chunk(
        state: TrainState,
        sums: MetricSums,
        images: jax.Array,
        targets: Any,
        indices: jax.Array,
        first: jax.Array,
        last: jax.Array,
        learning_rate: jax.Array,
    ) -> tuple[TrainState, MetricSums]:
        step = make_step(learning_rate)

        def body(position: jax.Array, carry: tuple[TrainState, MetricSums]) -> tuple[TrainState, MetricSums]:
            state, sums = carry
            of_batch = jax.lax.with_sharding_constraint(indices[position], batch_sharding)
            state, batch_sums = step(state, *batch(images, targets, of_batch))
            return state, sums + batch_sums

        state, sums = jax.lax.fori_loop(first, last, body, (state, sums))
        return state, sums.replace(parameter_norm=optax.tree.norm(state.params))

    return chunk


def batch(images: jax.Array, targets: Any, indices: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
    """Images, targets and mask of a batch. indices: int32 [rows], -1 in rows without an image."""
    rows = jnp.maximum(indices, 0)
    return images[rows], jax.tree.map(lambda leaf: leaf[rows], targets), indices >= 0


def make_infer(apply: Apply, rows: int, batch_sharding: NamedSharding) -> Apply:
    """Logits of all images, computed `rows` images at a time: (variables, images) -> logits as `apply` gives them."""

    def infer(variables: dict, images: jax.Array) -> Any:
        examples = images.shape[0]
        batches = -(-examples // rows)
        # The last batch is filled up with the last image. The logits of these repetitions are cut off.
        indices = jnp.reshape(jnp.minimum(jnp.arange(batches * rows), examples - 1), (batches, rows))

        def one_batch(of_batch: jax.Array) -> Any:
            return apply(variables, images[jax.lax.with_sharding_constraint(of_batch, batch_sharding)])

        logits = jax.lax.map(one_batch, indices)
        return jax.tree.map(lambda leaf: jnp.reshape(leaf, (batches * rows, -1))[:examples], logits)

    return infer


def make_statistics(learner: Learner, batch_sharding: NamedSharding) -> Callable[[dict, jax.Array, jax.Array], dict]:
    """The module's state over fixed batches of images: the mean of what each batch gives.

    The function takes variables, uint8 images [N, H, W, C] and indices, int32 [batches, rows], all of real images.
    """

    def statistics(variables: dict, images: jax.Array, indices: jax.Array) -> dict:
        def one_batch(of_batch: jax.Array) -> dict:
            rows = jax.lax.with_sharding_constraint(of_batch, batch_sharding)
            return learner.batch_statistics(variables, images[rows])

        of_batches = jax.lax.map(one_batch, indices)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0, dtype=leaf.dtype), of_batches)

    return statistics
