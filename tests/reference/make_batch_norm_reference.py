"""Makes batch_norm_reference.npz: what Keras does with a network with BatchNormalization in its first three updates.

    KERAS_BACKEND=jax python make_batch_norm_reference.py

Writes the file beside this script. It was made with Keras 3.15.1 on jax 0.10.2 (CPU) and numpy 2.4.6. Only this script
needs Keras: the project reads the arrays and never imports it.

The network: Conv 4 (3 x 3, zero padding, no bias, whose gradient before a BatchNorm is rounding alone),
BatchNormalization (momentum 0.9, epsilon 1e-3), ReLU, global mean, Dense 10. The optimizer: RMSprop with Keras's
defaults at learning rate 1e-3, on the mean softmax cross-entropy of a batch. The last batch has five images only. What
the file holds, float32 unless noted:

    images, labels             uint8 [37, 12, 12, 1], to be divided by 255 in float32; int32 [37]: batches of 16, 16, 5
    initial/<layer>/<array>    before any update; layers are conv, norm, dense; the norm has gamma, beta, mean, variance
    after<n>/<layer>/<array>   after update n: 1, 2, 3
    loss                       [3] of each batch, before its update
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

SEED = 21
BATCHES = (slice(0, 16), slice(16, 32), slice(32, 37))
ARRAYS = {
    "conv": ("kernel",),
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
}


def build() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.9, name="norm"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="dense"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def weights(model: keras.Model, prefix: str) -> dict[str, np.ndarray]:
    return {
        f"{prefix}/{layer}/{name}": np.asarray(getattr(model.get_layer(layer), name))
        for layer, names in ARRAYS.items()
        for name in names
    }


def main() -> None:
    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (37, 12, 12, 1), dtype=np.uint8)
    labels = rng.integers(0, 10, 37, dtype=np.int32)
    keras.utils.set_random_seed(SEED)
    model = build()
    arrays = {"images": images, "labels": labels} | weights(model, "initial")
    inputs, losses = images.astype(np.float32) / np.float32(255), []
    for update, batch in enumerate(BATCHES, start=1):
        model.reset_metrics()
        losses.append(model.train_on_batch(inputs[batch], labels[batch]))
        arrays |= weights(model, f"after{update}")
    arrays["loss"] = np.float32(losses)
    path = Path(__file__).with_name("batch_norm_reference.npz")
    np.savez_compressed(path, **arrays)
    print(
        f"{path.name}: {path.stat().st_size:,} bytes, Keras {keras.__version__} on {keras.backend.backend()}, {losses}"
    )


if __name__ == "__main__":
    main()
