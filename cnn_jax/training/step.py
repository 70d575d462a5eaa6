"""The training step, the loop over steps and the order of images: pure functions, compiled by `programs.py`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.typing import ArrayLike

from cnn_jax.training import metrics
from cnn_jax.training.metrics import Sums
from cnn_jax.training.state import TrainState

# params, uint8 images [N, H, W, C] -> float32 logits [N, classes], or a dict of them by output
Apply = Callable[[dict, jax.Array], Any]


def epoch_order(key: jax.Array, epoch: jax.Array, examples: int, batch_size: int, rows: int) -> jax.Array:
    """Which images each step of an epoch sees: int32 [steps, rows], a permutation cut into batches.

    -1 marks rows without an image: the end of the last, smaller batch, and `rows - batch_size` that fill up devices.
    """
    permutation = jax.random.permutation(jax.random.fold_in(key, epoch), examples).astype(jnp.int32)
    steps = -(-examples // batch_size)
    batches = jnp.pad(permutation, (0, steps * batch_size - examples), constant_values=-1)
    return jnp.pad(jnp.reshape(batches, (steps, batch_size)), ((0, 0), (0, rows - batch_size)), constant_values=-1)


def make_step(apply: Apply, optimizer: optax.GradientTransformation) -> Callable[..., tuple[TrainState, Sums]]:
    """The training step: (state, images, targets, mask) -> (state, sums of the batch before the update).

    The gradient is that of the mean cross-entropy over the images that the mask keeps, as Keras takes it, and over the
    outputs, where there are several.
    """

    def mean_loss(
        params: dict, images: jax.Array, targets: Any, mask: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Sums]:
        sums = metrics.batch_sums(apply(params, images), targets, mask, step)
        return metrics.total(sums.loss) / sums.count, sums

    def step(state: TrainState, images: jax.Array, targets: Any, mask: jax.Array) -> tuple[TrainState, Sums]:
        now = state.step + 1
        gradients, sums = jax.grad(mean_loss, has_aux=True)(state.params, images, targets, mask, now)
        is_finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradients)]))
        sums = sums.replace(diverged_at=jnp.where(is_finite, sums.diverged_at, now))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(step=now, params=params, opt_state=opt_state), sums

    return step


def make_chunk(step_at: Callable[[ArrayLike], Callable], batch_sharding: NamedSharding | None) -> Callable:
    """The loop: steps `first` (included) to `last` (excluded) of an epoch, adding up their sums.

    The bounds are arguments, so that every way of cutting an epoch runs the same program and gives the same bits; so is
    the learning rate, so that one program serves all of them. step_at: gives the step of a learning rate.
    batch_sharding: how devices share a batch; None where each has its own.
    """

    def chunk(
        state: TrainState,
        sums: Sums,
        images: jax.Array,
        targets: Any,
        order: jax.Array,
        first: jax.Array,
        last: jax.Array,
        learning_rate: jax.Array,
    ) -> tuple[TrainState, Sums]:
        step = step_at(learning_rate)

        def body(position: jax.Array, carry: tuple[TrainState, Sums]) -> tuple[TrainState, Sums]:
            state, sums = carry
            chosen = order[position]
            if batch_sharding is not None:
                chosen = jax.lax.with_sharding_constraint(chosen, batch_sharding)
            state, batch_sums = step(state, *batch(images, targets, chosen))
            return state, sums + batch_sums

        return jax.lax.fori_loop(first, last, body, (state, sums))

    return chunk


def batch(images: jax.Array, targets: Any, chosen: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
    """Images, targets and mask of the chosen examples. chosen: int32 [rows], -1 where a row has none."""
    rows = jnp.maximum(chosen, 0)
    return images[rows], jax.tree.map(lambda leaf: leaf[rows], targets), chosen >= 0


def make_infer(apply: Apply, rows: int, batch_sharding: NamedSharding) -> Apply:
    """Logits of all images, `rows` at a time: (params, images [N, ...]) -> float32 [N, classes], or a dict of them."""

    def infer(params: dict, images: jax.Array) -> Any:
        examples = images.shape[0]
        batches = -(-examples // rows)
        # The last batch is filled up with repetitions of the last image, whose logits are cut off again.
        order = jnp.reshape(jnp.minimum(jnp.arange(batches * rows), examples - 1), (batches, rows))

        def one_batch(chosen: jax.Array) -> Any:
            return apply(params, images[jax.lax.with_sharding_constraint(chosen, batch_sharding)])

        logits = jax.lax.map(one_batch, order)
        return jax.tree.map(lambda leaf: jnp.reshape(leaf, (batches * rows, -1))[:examples], logits)

    return infer
