"""A trained network becomes a chain of layers for the page, or the page says why not."""

import base64

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment
from cnn_jax.studies.lesson.live.chain import NotShown, chain
from cnn_jax.studies.lesson.live.payload import MOST, Trained, compute
from tests.studies.lesson.live.conftest import SMALL, random_variables


class Stock(nn.Module):
    """Of Flax's own layers and functions, with padding and strides."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(3, (5, 3), strides=2)(images))
        x = nn.Dropout(0.5, deterministic=True)(nn.max_pool(x, (3, 2), strides=(2, 1)))
        return nn.Dense(self.classes, use_bias=False)(x.reshape((x.shape[0], -1)))


STOCK = Experiment(models={"stock": Stock}).vary(model="stock")


def test_chain_has_the_layers_in_order_with_their_relu_and_parameters() -> None:
    layers = chain(SMALL[0].experiment, SMALL[0].variables)
    kinds = ["input", "convolution", "max_pool", "convolution", "max_pool", "convolution", "flatten", "dense"]
    assert [layer["kind"] for layer in layers] == kinds
    assert [layer["name"] for layer in layers if layer.get("relu")] == ["Conv_0", "Conv_1", "Conv_2"]
    kernel = SMALL[0].variables["params"]["Conv_1"]["kernel"]
    stored = np.frombuffer(base64.b64decode(layers[3]["kernel"]), "<f2").reshape(3, 3, 4, 8)
    np.testing.assert_array_equal(stored, kernel.astype(np.float16))


def test_chain_of_stock_layers_has_their_windows() -> None:
    layers = chain(STOCK, random_variables(STOCK))
    assert [layer["kind"] for layer in layers] == ["input", "convolution", "max_pool", "flatten", "dense"]
    assert [layers[1][name] for name in ("size", "stride", "padding")] == [(5, 3), (2, 2), (1, 0)]
    assert [layers[2][name] for name in ("size", "stride")] == [(3, 2), (2, 1)]
    assert "bias" not in layers[4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dataset": "rgb200", "widths": (4,)}, "its images have colours"),
        ({"model": "two_inputs_two_outputs", "task": "with_metadata", "widths": (4, 8)}, "it has several inputs: "),
        ({"task": "permuted"}, "its task permuted changes the images"),
        ({"model": "resnet"}, "does not read the layer before it alone"),
        ({"model": "lenet5"}, "the page cannot compute "),
        ({"model": "separable"}, "the page cannot compute "),
    ],
)
def test_network_that_the_page_cannot_compute_is_left_out_with_the_reason(settings: dict, reason: str) -> None:
    experiment = Experiment().vary(**settings)
    with pytest.raises(NotShown, match=reason):
        chain(experiment, {"params": {}})


def test_parameters_that_float16_cannot_hold_are_refused_with_the_layer() -> None:
    experiment, variables = SMALL[0].experiment, jax.tree.map(np.copy, SMALL[0].variables)
    variables["params"]["Conv_1"]["bias"][0] = 70_000
    with pytest.raises(NotShown, match="weights of Conv_1 are too large"):
        chain(experiment, variables)


@pytest.mark.slow
def test_networks_left_out_are_named(drawn_digits: Dataset) -> None:
    odd = Trained("Odd", "", Experiment().vary(model="resnet"), {"params": {}})
    data = compute(
        [SMALL[0], odd, SMALL[2], SMALL[1]], drawn_digits.spec, drawn_digits.test, drawn_digits.test.images[0]
    )
    assert [network["title"] for network in data["networks"]] == ["With pooling", "Dense"]
    assert [reason.partition(":")[0] for reason in data["left_out"]] == ["Odd", "Without pooling"]
    assert f"room for {MOST} networks" in data["left_out"][1]
