"""The lecture's CNN in Keras, trained with `fit` on the TensorFlow backend: a peer of this project.

    python keras_tensorflow.py --data=mnist.npz --steps=200
    python keras_tensorflow.py --data=mnist.npz --epochs=5 --no-pooling

Prints one JSON line: images per second of training and inference, or the test loss and accuracy of a whole run.
`fit` takes numpy arrays, shuffles them and compiles the step by its own defaults.
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import protocol
import tensorflow as tf
from keras import layers


def build(*, pooling: bool) -> keras.Model:
    def pool() -> list[layers.Layer]:
        return [layers.MaxPooling2D(2)] if pooling else []

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            *pool(),
            layers.Conv2D(64, 3, activation="relu"),
            *pool(),
            layers.Conv2D(128, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Stopwatch(keras.callbacks.Callback):
    """Measures the seconds of `steps` steps after the first `warmup` ones. The start of `fit` does not count."""

    def __init__(self, warmup: int, steps: int) -> None:
        super().__init__()
        self.first, self.last = warmup - 1, warmup + steps - 1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch == self.first:
            self.start = time.perf_counter()
        elif batch == self.last:
            self.seconds = time.perf_counter() - self.start


def measure(model: keras.Model, flags: argparse.Namespace, data: protocol.Mnist) -> dict[str, float]:
    """Training and inference speed after warm-up. Keras calls the callback when the step has ended on the host."""
    rows = np.resize(np.arange(len(data.images)), (flags.warmup + flags.steps) * flags.batch_size)
    watch = Stopwatch(flags.warmup, flags.steps)
    images, labels = data.images[rows], data.labels[rows]
    model.fit(images, labels, batch_size=flags.batch_size, epochs=1, verbose=0, callbacks=[watch])

    def predict(batch: np.ndarray) -> np.ndarray:
        return model.predict(batch, batch_size=protocol.INFERENCE_BATCH_SIZE, verbose=0)

    return {
        "steps": flags.steps,
        "images": flags.steps * flags.batch_size,
        "seconds": watch.seconds,
        "inference_images_per_second": protocol.inference_rate(predict, data.test_images),
    }


def train(model: keras.Model, flags: argparse.Namespace, data: protocol.Mnist) -> dict[str, float]:
    start = time.perf_counter()
    model.fit(data.images, data.labels, batch_size=flags.batch_size, epochs=flags.epochs, verbose=0)
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(data.test_images, data.test_labels, batch_size=1000, verbose=0)
    steps = flags.epochs * -(-len(data.images) // flags.batch_size)
    numbers = {"steps": steps, "images": flags.epochs * len(data.images), "seconds": seconds}
    return numbers | {"test_loss": loss, "test_accuracy": accuracy}


def main() -> None:
    flags = protocol.read_flags(__doc__)
    if flags.device == "gpu":
        protocol.require_gpu("TensorFlow", is_there=bool(tf.config.list_physical_devices("GPU")))
        tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.threading.set_intra_op_parallelism_threads(protocol.THREADS)
    keras.utils.set_random_seed(flags.seed)
    data = protocol.load(flags.data)
    model = build(pooling=flags.pooling)
    numbers = train(model, flags, data) if flags.epochs else measure(model, flags, data)
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    found = tf.config.list_physical_devices(flags.device.upper())[0].name
    protocol.report("keras_tensorflow", flags, numbers, versions, found)


if __name__ == "__main__":
    main()
