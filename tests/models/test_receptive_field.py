"""Receptive fields: the lecture's numbers, and computed ones that the real module's gradients confirm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models.layers import Conv, MaxPool
from cnn_jax.models.receptive_field import Field, Window, computed, measured, window
from tests.conftest import first_quick
from tests.models.branching import INPUTS, Branching


def images(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def agree(module: nn.Module, inputs: object) -> dict[str, tuple[int, int]]:
    """The computed sizes, after every pixel of every layer's field was compared."""
    fields, masks = computed(module, inputs), measured(module, inputs)
    for name, mask in masks.items():
        expected = np.zeros_like(mask)
        if name in fields:
            expected[fields[name].box(mask.shape)] = True
        np.testing.assert_array_equal(mask, expected, err_msg=name)
    return {name: field.size for name, field in fields.items()}


@pytest.mark.parametrize(
    ("settings", "sizes"),
    first_quick(
        [  # the lecture's
            ({"pooling": False}, [3, 5, 7]),
            ({"pooling": True}, [3, 4, 8, 10, 18]),
        ]
    ),
)
def test_lecture_cnn_sees_what_the_lecture_says(settings: dict, sizes: list[int]) -> None:
    # Fields do not depend on the number of filters; few of them are measured faster.
    for fewer in ({}, {"widths": (3, 4, 5)}):
        module = build_module(Experiment().vary(settings | fewer), 10)
        fields = computed(module, images(28, 28, 1))
        maps = [field.size for field in fields.values() if field.units != (1, 1)]
        assert maps == [(size, size) for size in sizes]
    agree(module, images(28, 28, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"widths": (4, 4), "kernel_size": 5}, (30, 27, 3)),
        ({"widths": (3, 3, 3), "kernel_size": 2}, (21, 24, 1)),
        ({"widths": (16, 16), "pooling": False}, (12, 12, 1)),  # wide enough for the fast 3 x 3 convolution
        ({"model": "dense", "widths": (5,)}, (9, 8, 1)),
    ],
)
def test_computed_fields_are_the_measured_ones(settings: dict, shape: tuple[int, ...]) -> None:
    assert agree(build_module(Experiment().vary(settings), 10), images(*shape))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"model": "separable", "widths": (3, 4)}, (12, 13, 1)),
        ({"model": "all_convolutional", "widths": (3, 4)}, (13, 12, 1)),
        ({"model": "lenet5"}, (24, 20, 1)),
        ({"model": "resnet", "depth": 8}, (12, 13, 2)),
    ],
)
def test_computed_fields_of_published_models_are_the_measured_ones(settings: dict, shape: tuple[int, ...]) -> None:
    assert agree(build_module(Experiment().vary(settings), 10), images(*shape))


def test_residual_network_sees_what_its_strides_and_windows_say() -> None:
    fields = computed(build_module(Experiment().vary(model="resnet", depth=8), 10), images(32, 32, 3))
    # 3 pixels, and 2 more at each convolution, times the strides before it.
    assert fields["ResidualBlock_0/Conv_1"].size == (7, 7)
    assert fields["ResidualBlock_1/Conv_1"].size == (7 + 2 + 4, 7 + 2 + 4)
    assert fields["ResidualBlock_2/Conv_1"].size == (13 + 4 + 8, 13 + 4 + 8)
    assert fields["ResidualBlock_2/Conv_1"].jump == (4, 4)


def test_rows_that_pooling_drops_are_seen_by_nothing() -> None:
    fields = computed(build_module(Experiment(), 10), images(28, 28, 1))
    assert fields["Dense_0"].size == (26, 26)  # 11 x 11 is pooled to 5 x 5, and the last row of the image is lost


@pytest.mark.slow
def test_fields_grow_along_branches_and_padding() -> None:
    sizes = agree(Branching(), INPUTS)
    assert sizes["Residual_0/same"] == (5, 5)
    assert sizes["Residual_0/same (call 2)"] == (7, 7)
    assert sizes["Residual_0/shortcut"] == (1, 1)
    assert sizes["MaxPool_0"] == (8, 8)
    assert "Dense_0" not in sizes  # it sees the metadata alone


class Strided(nn.Module):
    """Strides, dilation and windows that are no squares, of flax's own layer."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(3, (3, 5), strides=(1, 2), padding="VALID")(x)
        x = nn.Conv(3, (2, 3), kernel_dilation=2, padding=1)(nn.relu(x))
        x = nn.LayerNorm()(x)
        x = nn.Conv(3, (3, 3), strides=2)(x)[:, ::2, 1:]
        return nn.Conv(2, (1, 1))(x)


@pytest.mark.slow
def test_strides_dilation_and_padding_of_flax_s_convolution() -> None:
    sizes = agree(Strided(), images(24, 30, 1))
    assert sizes == {
        "Conv_0": (3, 5),
        "Conv_1": (5, 13),
        "LayerNorm_0": (5, 13),
        "Conv_2": (7, 17),
        "Conv_3": (7, 17),
    }


def test_window_is_read_off_the_layer() -> None:
    assert window(Conv(4, kernel_size=5), (28, 28, 1)) == Window((5, 5))
    assert window(Conv(4, padding="SAME"), (28, 28, 1)) == Window((3, 3), padding=(1, 1))
    assert window(MaxPool(), (28, 28, 1)) == Window((2, 2), (2, 2))
    assert window(nn.LayerNorm(), (28, 28, 1)) is None


def test_box_stays_inside_of_the_image() -> None:
    field = Field((9, 3), start=(-4, 0), jump=(1, 2), units=(6, 6))
    assert field.box((6, 20, 1)) == (slice(0, 6), slice(6, 9))
