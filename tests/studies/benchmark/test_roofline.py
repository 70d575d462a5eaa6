"""The roofline: bounds follow the definition, our counts equal XLA's, and the words fit the numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import compilation
from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models.summary import Layer, layers
from cnn_jax.studies.benchmark.cases import build_model
from cnn_jax.studies.benchmark.layers import (
    measure,
    moved_bytes,
    operations,
    operations_by_xla,
    training_multiply_adds,
    working_layers,
)
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work, compare, measure_peaks

PEAKS = DevicePeaks(multiply_adds_per_second=100.0, bytes_per_second=10.0)


def table(**settings: object) -> list[Layer]:
    return layers(build_module(Experiment().vary(settings), 10), jax.ShapeDtypeStruct((1, 28, 28, 1), "float32"))


def test_high_intensity_is_bound_by_compute_and_low_intensity_by_memory() -> None:
    compute = compare(Work("a product", multiply_adds=1000, moved_bytes=10, seconds=20.0), PEAKS)
    assert (compute["bound"], compute["share"]) == ("compute", 0.5)
    memory = compare(Work("a copy", multiply_adds=10, moved_bytes=100, seconds=40.0), PEAKS)
    assert (memory["bound"], memory["share"]) == ("memory", 0.25)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5.0, "above the bound"),
        (11.0, "near the compute bound"),
        (20.0, "below the compute bound"),
        (99.0, "far"),
    ],
)
def test_verdict_follows_the_share(seconds: float, words: str) -> None:
    compared = compare(Work("a product", multiply_adds=1000, moved_bytes=10, seconds=seconds), PEAKS)
    assert compared["verdict"].startswith(words)


@pytest.mark.parametrize("settings", [{}, {"pooling": False}, {"model": "dense"}, {"kernel_size": 5, "widths": (8, 8)}])
def test_our_count_of_operations_equals_the_count_of_xla(settings: dict) -> None:
    for layer in table(**settings):
        if not layer.name.startswith("Flatten"):
            np.testing.assert_allclose(
                operations(layer, 64), operations_by_xla(layer, 64), rtol=1e-3, err_msg=layer.name
            )


def test_our_count_of_operations_equals_that_of_a_compiled_matrix_product() -> None:
    dense = table(model="logistic")[-1]
    program, _ = compilation.compiled(
        compilation.jit(lambda p, x: dense.module.apply({"params": p}, x)), dense.params, jnp.ones((64, 784))
    )
    np.testing.assert_allclose(program.cost_analysis()["flops"], operations(dense, 64), rtol=1e-3)


def test_first_layer_needs_no_gradient_for_the_images() -> None:
    first, second = table()[0], table()[2]
    assert training_multiply_adds(first, is_first=True) == 2 * first.multiply_adds
    assert training_multiply_adds(second, is_first=False) == 3 * second.multiply_adds
    dtype = jnp.dtype("bfloat16")
    images, kernel, outputs = 2 * 64 * 13 * 13 * 32, 4 * 18_496, 2 * 64 * 11 * 11 * 64
    assert moved_bytes(second, 64, dtype, is_first=False) == 3 * images + 3 * kernel + 2 * outputs


@pytest.mark.parametrize("name", ["cnn", "dense", "logistic"])
def test_training_step_has_the_multiply_adds_of_its_layers(name: str) -> None:
    model = build_model(Experiment().vary(model=name, train_examples=16))
    layers = [training_multiply_adds(layer, is_first=is_first) for layer, is_first in working_layers(model.layers)]
    assert model.training_multiply_adds == sum(layers)
    assert layers[0] == 2 * next(layer.multiply_adds for layer in model.layers if layer.multiply_adds)


def test_every_layer_is_timed_by_itself() -> None:
    timed = measure(table(model="dense", widths=(8,)), 16, "float32", "float32", seconds=0.05)
    assert [layer.name for layer in timed] == ["Dense_0", "Dense_1"]
    assert all(0 < layer.seconds < 1 for layer in timed)


class Stateful(nn.Module):
    """Layers that keep something between steps, that draw, and one that takes two arrays."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.Conv(4, (3, 3))(images)
        x = nn.Dropout(0.5)(nn.BatchNorm()(x, use_running_average=not train), deterministic=not train)
        return nn.Dense(10)(Gate()(x.mean((1, 2)), x.max((1, 2))))


class Gate(nn.Module):
    """The product of two arrays and of weights."""

    @nn.compact
    def __call__(self, one: jax.Array, other: jax.Array) -> jax.Array:
        return one * other * self.param("weights", nn.initializers.ones, (1, one.shape[-1]))


def test_layers_of_every_kind_are_timed_as_in_training() -> None:
    found = layers(Stateful(), jax.ShapeDtypeStruct((1, 9, 9, 1), "float32"), is_training=True)
    assert [layer.name for layer in found] == ["Conv_0", "BatchNorm_0", "Dropout_0", "Gate_0", "Dense_0"]
    assert [layer.stands_alone for layer in found] == [True, True, True, False, True]
    assert [layer.parameters for layer in found] == [40, 8, 0, 4, 50]
    timed = measure(found, 16, "float32", "float32", seconds=0.01)
    assert [layer.name for layer in timed] == ["Conv_0", "BatchNorm_0", "Dropout_0", "Dense_0"]
    assert all(layer.seconds > 0 for layer in timed)


@pytest.mark.slow
def test_measured_peaks_are_plausible() -> None:
    measured = measure_peaks("float32", "float32", seconds=0.05)
    assert 1e8 < measured.multiply_adds_per_second < 1e17
    assert 1e8 < measured.bytes_per_second < 1e15
