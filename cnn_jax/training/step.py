"""The training step, the loop over steps and the order of images: pure functions, compiled by `compiled.py`."""

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Batch(NamedTuple):
    """A batch, or a part of one, by rows. inputs: what the module receives. mask: bool [N], the rows of real images.

    mixed: for mixtures, the partners' targets and the weights of their own, as `Measures.batch_sums` takes them.
    """

    inputs: Any
    targets: Any
    mask: jax.Array
    mixed: Any

    @property
    def examples(self) -> jax.Array:
        """The number of real images, float32 []."""
        return jnp.sum(self.mask, dtype=jnp.float32)


# variables that are trained, the module's state, a batch, the module's key -> gradients, sums and the next state
Differentiate = Callable[[dict, dict, Batch, jax.Array], tuple[dict, MetricSums, dict]]


def make_step(learner: Learner, learning_rate: ArrayLike, steps: int) -> Step:
    """The training step of a run of so many steps.

    The loss is the mean over the images that the mask keeps, as in Keras. A model with several outputs has one loss for
    each; the gradient is taken of their mean. What is frozen is neither differentiated nor shown to the optimizer.
    """
    optimizer = learner.optimizer_for(learning_rate, steps)
    averaging = learner.averaging(steps) if learner.averaging and learner.keeps_average else None

    def step(state: TrainState, images: jax.Array, targets: Any, mask: jax.Array) -> tuple[TrainState, MetricSums]:
        number = state.step + 1
        trained, frozen = partition(state.params, learner.frozen)
        keys = Keys.of_step(state.key, number)
        inputs, mixed = learner.augmented(images, keys.augmentation)
        batch = Batch(inputs, targets, mask, mixed and _with_targets(mixed, targets))
        differentiate = _make_differentiate(learner, frozen, number, batch.examples)
        if learner.microbatches > 1:
            differentiate = _in_parts(differentiate, learner)
        gradients, sums, model_state = differentiate(trained, state.model_state, batch, keys.module)
        norm = optax.tree.norm(gradients)
        # The norm is finite where the gradients are, but for very large ones: looking at each takes a pass over them.
        is_finite = jax.lax.cond(jnp.isfinite(norm), lambda _: True, _are_finite, gradients)
        sums = sums.replace(diverged_at=jnp.where(is_finite, sums.diverged_at, number), gradient_norm=norm)
        clipped, _ = learner.clip.update(gradients, learner.clip.init(trained))
        updates, opt_state = optimizer.update(clipped, state.opt_state, trained)
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


def _with_targets(mixed: tuple[jax.Array, jax.Array], targets: Any) -> tuple[Any, jax.Array]:
    """The targets of the partners, instead of their rows, and the weights: these can be divided by rows."""
    partners, weight = mixed
    return jax.tree.map(lambda leaf: leaf[partners], targets), weight


def _make_differentiate(learner: Learner, frozen: dict, number: jax.Array, count: jax.Array) -> Differentiate:
    """Gradients and sums of a batch or of a part. number: of the step. count: the images of the whole batch.

    The gradients are of the sum of the losses, divided by `count`: those of the parts of a batch can be added.
    """

    def loss(trained: dict, model_state: dict, batch: Batch, key: jax.Array) -> tuple[jax.Array, Any]:
        logits, after = learner.apply_in_training(merged(trained, frozen), model_state, batch.inputs, batch.mask, key)
        sums = learner.measures.batch_sums(logits, batch.targets, batch.mask, number, batch.mixed)
        return mean_over_outputs(sums.loss) / count, (sums, after)

    def differentiate(trained: dict, model_state: dict, batch: Batch, key: jax.Array) -> tuple[dict, MetricSums, dict]:
        gradients, (sums, after) = jax.grad(loss, has_aux=True)(trained, model_state, batch, key)
        return gradients, sums, after

    return differentiate


def _in_parts(differentiate: Differentiate, learner: Learner) -> Differentiate:
    """The same for a batch in equal parts, one after the other. The module's state goes through all of them.

    Dropout has a key for each part. A BatchNorm takes the statistics of each part alone.
    """
    parts = learner.microbatches

    def part(leaf: jax.Array, index: jax.Array) -> jax.Array:
        # Every so many rows, so that each part has rows of every device, and real images before rows without one.
        return jnp.reshape(leaf, (leaf.shape[0] // parts, parts, *leaf.shape[1:]))[:, index]

    def all_parts(trained: dict, model_state: dict, batch: Batch, key: jax.Array) -> tuple[dict, MetricSums, dict]:
        def add(index: jax.Array, so_far: tuple[dict, MetricSums, dict]) -> tuple[dict, MetricSums, dict]:
            of_part = jax.tree.map(lambda leaf: part(leaf, index), batch)
            found = differentiate(trained, so_far[2], of_part, jax.random.fold_in(key, index))
            return jax.tree.map(jnp.add, so_far[0], found[0]), so_far[1] + found[1], found[2]

        nothing = jax.tree.map(jnp.zeros_like, trained), learner.measures.zeros(batch.targets), model_state
        # Parts without an image are left out: a BatchNorm would divide by 0.
        with_images = jnp.minimum(parts, batch.examples.astype(jnp.int32))
        return jax.lax.fori_loop(0, with_images, add, nothing)

    return all_parts


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
