"""This project's training and inference, measured in the same way as its peers.

    python cnn_jax_peer.py --data=mnist.npz --steps=200
    python cnn_jax_peer.py --data=mnist.npz --epochs=5 --no-pooling

Prints one JSON line: images per second of training and inference, or the test loss and accuracy of a whole run. The
project's root must be on the path. The measured seconds do not include compilation, as they do not include the warm-up
steps of the peers.
"""

import argparse
import time

import flax
import jax
import numpy as np
import optax
import protocol

from cnn_jax.data.dataset import Split
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import loop
from cnn_jax.training.compiled import CompiledFunctions, compile_all


def compile_functions(flags: argparse.Namespace) -> CompiledFunctions:
    settings = {"batch_size": flags.batch_size, "seed": flags.seed, "epochs": flags.epochs or 1}
    experiment = Experiment().vary(pooling=flags.pooling, **settings)
    with np.load(flags.data) as arrays:
        train, test = (Split(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("train", "test"))
    return compile_all(build(experiment), train, None, test)


def measure(run: CompiledFunctions, flags: argparse.Namespace) -> dict[str, float]:
    """Runs chunks of steps, as `fit` does, with new batch indices for each epoch."""
    training = run.training
    state, sums, done = training.create_state(flags.seed), training.zeros(), 0
    last = flags.warmup + flags.steps
    marks: dict[int, float] = {}
    while done < last:
        epoch, first = divmod(done, training.epoch_steps)
        end = flags.warmup if done < flags.warmup else last
        chunk = min(end - done, training.epoch_steps - first)
        indices = training.batch_indices(state.key, epoch + 1)
        state, sums = jax.block_until_ready(training.chunk(state, sums, indices, first, first + chunk))
        done += chunk
        marks[done] = time.perf_counter()
    seconds = marks[last] - marks[flags.warmup]
    run.test.logits(state.variables)
    start = time.perf_counter()
    logits = run.test.logits(state.variables)
    rate = len(logits) / (time.perf_counter() - start)
    numbers = {"steps": flags.steps, "images": flags.steps * flags.batch_size, "seconds": seconds}
    return numbers | {"inference_images_per_second": rate}


def train(run: CompiledFunctions, flags: argparse.Namespace) -> dict[str, float]:
    last, _ = loop.train(run.training, flags.seed)
    score = run.test.score(last.state.variables)
    numbers = {"steps": last.step, "images": last.images, "seconds": last.clock.total}
    return numbers | {"test_loss": score.loss, "test_accuracy": score.accuracy}


def main() -> None:
    flags = protocol.read_flags(__doc__)
    if flags.device == "gpu":
        protocol.require_gpu("jax", is_there=jax.default_backend() == "gpu")
    run = compile_functions(flags)
    numbers = train(run, flags) if flags.epochs else measure(run, flags)
    versions = {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__}
    protocol.report("cnn_jax", flags, numbers, versions, jax.devices()[0].device_kind)


if __name__ == "__main__":
    main()
