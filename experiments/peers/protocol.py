"""What all peer programs share: the flags, the MNIST arrays, and the JSON line that they print at the end.

Nothing here uses a framework, so that a peer's own file shows everything that its framework does. A peer runs in one of
two ways. `--steps` measures that many training steps after `--warmup` unmeasured ones, and then inference. `--epochs`
trains and evaluates as a user's program would, and the runner times the whole process.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

INFERENCE_BATCH_SIZE = 1000
THREADS = os.cpu_count() or 1


def read_flags(
    description: str | None, add: Callable[[argparse.ArgumentParser], object] | None = None
) -> argparse.Namespace:
    """Reads the common flags of all peers. add: adds a peer's own flags to the parser."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", required=True, metavar="FILE.npz", help="train_ and test_ images and labels")
    parser.add_argument("--pooling", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="a peer that does not find it fails")
    parser.add_argument("--warmup", type=int, default=20, help="unmeasured steps before the measured ones")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="measure this many training steps, and inference")
    length.add_argument("--epochs", type=int, help="train this many epochs, then score the test images")
    if add is not None:
        add(parser)
    flags = parser.parse_args()
    for name in ("batch_size", "warmup", "steps", "epochs"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            parser.error(f"--{name}={value}: must be at least 1")
    return flags


class Mnist(NamedTuple):
    """Images float32 [N, 28, 28, 1] in [0, 1], labels int32 [N]."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(path: str) -> Mnist:
    with np.load(path) as arrays:
        images, test_images = (arrays[f"{split}_images"].astype(np.float32) / 255 for split in ("train", "test"))
        return Mnist(images, arrays["train_labels"], test_images, arrays["test_labels"])


def permutations(rng: np.random.Generator, examples: int, batch_size: int, steps: int) -> np.ndarray:
    """Indices of `steps` batches, int [steps, batch_size]: a new permutation each epoch, no short batches."""
    epoch_steps = examples // batch_size
    epochs = [rng.permutation(examples)[: epoch_steps * batch_size] for _ in range(-(-steps // epoch_steps))]
    return np.concatenate(epochs).reshape(-1, batch_size)[:steps]


def inference_rate(predict: Callable[[Any], object], images: Any) -> float:
    """Images per second of `predict`, after two unmeasured batches. It must return when its results are computed."""
    predict(images[: 2 * INFERENCE_BATCH_SIZE])
    start = time.perf_counter()
    predict(images)
    return len(images) / (time.perf_counter() - start)


def require_gpu(framework: str, *, is_there: bool) -> None:
    """Ends a peer that is to run on a GPU and does not find one: it must not measure the processor instead."""
    if not is_there:
        sys.exit(f"--device=gpu: {framework} finds no GPU here")


def report(
    peer: str, flags: argparse.Namespace, numbers: Mapping[str, float], versions: Mapping[str, str], found: str
) -> None:
    """Prints the peer's JSON line.

    numbers: "steps", the number of training "images" in them, the "seconds" that they took, and other measurements.
    found: the device as the framework names it.
    """
    line = {
        "peer": peer,
        "pooling": flags.pooling,
        "batch_size": flags.batch_size,
        "images_per_second": numbers["images"] / numbers["seconds"],
        **numbers,
        "versions": {"python": platform.python_version(), **versions},
        "threads": THREADS,
        "device": {"kind": flags.device, "name": found},
    }
    print(json.dumps(line), flush=True)
