"""Makes keras_reference.npz: what Keras does with the lecture's CNN in its first three updates.

    KERAS_BACKEND=tensorflow python make_keras_reference.py

Writes the file beside this script and prints a line per variant. It was made with Keras 3.15.1 on TensorFlow 2.21.0
(CPU) and numpy 2.4.6. Only this script needs them: the project reads the arrays and never imports Keras.

The network: Conv 4, pool, Conv 8, pool, Conv 16, Dense 10; 3 x 3 kernels, unpadded, ReLU; no_pooling leaves the pools
out. The optimizer: RMSprop with Keras's defaults (rho 0.9, epsilon 1e-7) at learning rate 1e-3, on the mean softmax
cross-entropy of a batch. What the file holds, float32 unless noted, NHWC and HWIO as in flax:

    images                                      uint8 [3, 16, 28, 28, 1], to be divided by 255 in float32
    labels                                      int32 [3, 16]
    <variant>/initial/<layer>/<kernel|bias>     before any update; layers are conv1, conv2, conv3, dense; biases not 0
    <variant>/after<n>/<layer>/<kernel|bias>    after update n: 1, 2, 3 for pooling, 3 alone for no_pooling (size)
    <variant>/logits                            [16, 10] of the initial weights on the first batch
    <variant>/loss, <variant>/accuracy          [3] of each batch, before its update
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

SEED = 20
BATCHES, BATCH_SIZE = 3, 16
LAYERS = ("conv1", "conv2", "conv3", "dense")
STORED_UPDATES = {"pooling": (1, 2, 3), "no_pooling": (3,)}


def draw_images(rng: np.random.Generator) -> np.ndarray:
    """Strokes of a round pen on an empty background: uint8 [3, 16, 28, 28, 1]; 85 % of the pixels are 0.

    The flat background and the saturated middle of a stroke make ties in the max-pools, as MNIST's digits do.
    """
    rows, columns = np.mgrid[0:28, 0:28]
    images = np.zeros((BATCHES * BATCH_SIZE, 28, 28))
    for image in images:
        for _ in range(rng.integers(2, 4)):
            start, end = rng.uniform(6, 22, (2, 2))
            for row, column in np.linspace(start, end, 12):
                ink = 2.0 - 0.8 * np.hypot(rows - row, columns - column)
                np.maximum(image, ink, out=image)
    return np.uint8(255 * np.clip(images, 0, 1)).reshape(BATCHES, BATCH_SIZE, 28, 28, 1)


def build(*, pooling: bool) -> keras.Model:
    def pool():
        return [layers.MaxPooling2D(2)] if pooling else []

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            *pool(),
            layers.Conv2D(8, 3, activation="relu", name="conv2"),
            *pool(),
            layers.Conv2D(16, 3, activation="relu", name="conv3"),
            layers.Flatten(),
            layers.Dense(10, name="dense"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    return model


def randomize_biases(model: keras.Model, rng: np.random.Generator) -> None:
    """Keras starts biases at zero; with other values the tied background passes a gradient from the first update on."""
    for name in LAYERS:
        bias = model.get_layer(name).bias
        bias.assign(rng.uniform(-0.1, 0.1, bias.shape).astype(np.float32))


def weights(model: keras.Model, prefix: str) -> dict[str, np.ndarray]:
    return {
        f"{prefix}/{name}/{part}": keras.ops.convert_to_numpy(getattr(model.get_layer(name), part))
        for name in LAYERS
        for part in ("kernel", "bias")
    }


def train(variant: str, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(SEED)
    model = build(pooling=variant == "pooling")
    randomize_biases(model, np.random.default_rng(SEED + 1))
    arrays = weights(model, f"{variant}/initial")
    inputs = images.astype(np.float32) / np.float32(255)
    arrays[f"{variant}/logits"] = keras.ops.convert_to_numpy(model(inputs[0]))
    losses, accuracies = [], []
    for update, (batch, targets) in enumerate(zip(inputs, labels, strict=True), start=1):
        # Keras's metrics are running means: without the reset, later entries would mix the batches.
        model.reset_metrics()
        loss, accuracy = model.train_on_batch(batch, targets)
        losses.append(loss)
        accuracies.append(accuracy)
        if update in STORED_UPDATES[variant]:
            arrays |= weights(model, f"{variant}/after{update}")
    arrays[f"{variant}/loss"] = np.float32(losses)
    arrays[f"{variant}/accuracy"] = np.float32(accuracies)
    return arrays


def main() -> None:
    rng = np.random.default_rng(SEED)
    arrays = {"images": draw_images(rng), "labels": rng.integers(0, 10, (BATCHES, BATCH_SIZE), dtype=np.int32)}
    for variant in STORED_UPDATES:
        arrays |= train(variant, arrays["images"], arrays["labels"])
        print(f"{variant}: losses {arrays[f'{variant}/loss']}, accuracies {arrays[f'{variant}/accuracy']}")
    path = Path(__file__).with_name("keras_reference.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size:,} bytes, Keras {keras.__version__} on {keras.backend.backend()}")


if __name__ == "__main__":
    main()
