"""The lecture's CNN in flax linen with its stock layers and a jitted training step: a peer of this project.

    python flax_stock.py --data=mnist.npz --steps=200
    python flax_stock.py --data=mnist.npz --epochs=5 --no-pooling

Prints one JSON line: images per second of training and inference, or the test loss and accuracy of a whole run.
As in flax's tutorials, a Python loop calls the step with batches of host arrays, and the last, smaller batch of an
epoch is left out.
"""

import argparse
import functools
import time

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import protocol
from flax import linen as nn
from flax.training.train_state import TrainState


class CNN(nn.Module):
    pooling: bool

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        pool = functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2)) if self.pooling else lambda x: x
        x = pool(nn.relu(nn.Conv(32, (3, 3), padding="VALID")(images)))
        x = pool(nn.relu(nn.Conv(64, (3, 3), padding="VALID")(x)))
        x = nn.relu(nn.Conv(128, (3, 3), padding="VALID")(x))
        return nn.Dense(10)(x.reshape(len(x), -1))


@jax.jit
def train_step(state: TrainState, images: jax.Array, labels: jax.Array) -> tuple[TrainState, jax.Array, jax.Array]:
    def loss_and_logits(params: dict) -> tuple[jax.Array, jax.Array]:
        logits = state.apply_fn({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits

    (loss, logits), gradients = jax.value_and_grad(loss_and_logits, has_aux=True)(state.params)
    return state.apply_gradients(grads=gradients), loss, (logits.argmax(-1) == labels).mean()


def train_steps(state: TrainState, images: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> TrainState:
    """Trains on each row of indices in `batches`; returns when the results of the last step are computed."""
    metrics = []
    for rows in batches:
        state, *numbers = train_step(state, images[rows], labels[rows])
        metrics.append(numbers)
    return jax.block_until_ready((state, metrics))[0]


@jax.jit
def logits_of(state: TrainState, images: jax.Array) -> jax.Array:
    return state.apply_fn({"params": state.params}, images)


def infer(state: TrainState, images: np.ndarray) -> np.ndarray:
    size = protocol.INFERENCE_BATCH_SIZE
    return np.concatenate([logits_of(state, images[first : first + size]) for first in range(0, len(images), size)])


def measure(state: TrainState, flags: argparse.Namespace, data: protocol.Mnist) -> dict[str, float]:
    rng = np.random.default_rng(flags.seed)
    batches = protocol.permutations(rng, len(data.images), flags.batch_size, flags.warmup + flags.steps)
    state = train_steps(state, data.images, data.labels, batches[: flags.warmup])
    start = time.perf_counter()
    state = train_steps(state, data.images, data.labels, batches[flags.warmup :])
    seconds = time.perf_counter() - start
    numbers = {"steps": flags.steps, "images": flags.steps * flags.batch_size, "seconds": seconds}
    rate = protocol.inference_rate(lambda batch: infer(state, batch), data.test_images)
    return numbers | {"inference_images_per_second": rate}


def train(state: TrainState, flags: argparse.Namespace, data: protocol.Mnist) -> dict[str, float]:
    steps = flags.epochs * (len(data.images) // flags.batch_size)
    batches = protocol.permutations(np.random.default_rng(flags.seed), len(data.images), flags.batch_size, steps)
    start = time.perf_counter()
    state = train_steps(state, data.images, data.labels, batches)
    seconds = time.perf_counter() - start
    logits = infer(state, data.test_images)
    numbers = {"steps": steps, "images": steps * flags.batch_size, "seconds": seconds}
    numbers["test_loss"] = float(optax.softmax_cross_entropy_with_integer_labels(logits, data.test_labels).mean())
    numbers["test_accuracy"] = float((logits.argmax(-1) == data.test_labels).mean())
    return numbers


def main() -> None:
    flags = protocol.read_flags(__doc__)
    if flags.device == "gpu":
        protocol.require_gpu("jax", is_there=jax.default_backend() == "gpu")
        jax.config.update("jax_default_matmul_precision", "float32")  # no TensorFloat-32, as everywhere here
    data = protocol.load(flags.data)
    model = CNN(pooling=flags.pooling)
    params = model.init(jax.random.key(flags.seed), jnp.zeros((1, 28, 28, 1)))["params"]
    # optax adds eps under the root by default, as Keras does.
    optimizer = optax.rmsprop(1e-3, decay=0.9, eps=1e-7)
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optimizer)
    numbers = train(state, flags, data) if flags.epochs else measure(state, flags, data)
    versions = {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__}
    protocol.report("flax_stock", flags, numbers, versions, jax.devices()[0].device_kind)


if __name__ == "__main__":
    main()
