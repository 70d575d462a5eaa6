"""The operators are the stock ones in every value and gradient; on a CPU they compile to something faster."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from cnn_jax.ops import pooling, winograd
from cnn_jax.ops.operators import convolution, convolution_max_pool, max_pool
from tests.conftest import first_quick

# What LLVM does to a program changes neither its operations nor, much, its numbers, and takes most of the time.
QUICKLY = {"xla_backend_optimization_level": "0"}
NO_YNN = {"xla_cpu_experimental_ynn_fusion_type": ""} | QUICKLY
DTYPES = ("float32", "bfloat16")
few = settings(max_examples=8, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def ranks_must_be_spelled_out():
    with jax.numpy_rank_promotion("raise"):
        yield


def stock_convolution(images, kernel, *, stride=1, padding="VALID", groups=1):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=layout, feature_group_count=groups
    )


def stock_max_pool(images, *, window=2):
    square = (1, window, window, 1)
    return lax.reduce_window(images, -jnp.inf, lax.max, square, square, "VALID")


def stock_pair(images, kernel):
    return stock_max_pool(stock_convolution(images, kernel))


def normal(seed, shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32), dtype)


def tied(seed, shape, dtype="float32"):
    """Small whole numbers: most windows have several equal maxima."""
    return jnp.asarray(np.random.default_rng(seed).integers(-1, 2, shape), dtype)


def value_and_gradients(operator, *operands, options=QUICKLY):
    """The operator's output and, for one random output gradient, the gradients for all operands.

    options: of the compiler; None for what LLVM makes of the program too.
    """

    @partial(jax.jit, compiler_options=options)
    def run(operands, gradient):
        value, backward = jax.vjp(operator, *operands)
        return value, *backward(gradient)

    output = jax.eval_shape(operator, *operands)
    return run(operands, normal(7, output.shape, output.dtype))


def assert_close(actual, expected):
    """Equal within the rounding of a sum in another order, relative to the largest entry."""
    assert [leaf.dtype for leaf in jax.tree.leaves(actual)] == [leaf.dtype for leaf in jax.tree.leaves(expected)]
    for left, right in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert left.shape == right.shape
        tolerance = 2e-2 if right.dtype == jnp.bfloat16 else 1e-5
        left, right = np.asarray(left, np.float32), np.asarray(right, np.float32)
        scale = max(1.0, float(np.abs(right).max(initial=0.0)))
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * scale)


@st.composite
def convolutions(draw):
    """A shape that fits: (images, kernel, stride, padding)."""
    size = draw(st.integers(1, 5))
    height, width = draw(st.integers(size, 11)), draw(st.integers(size, 11))
    batch, channels, features = draw(st.integers(1, 5)), draw(st.integers(1, 8)), draw(st.integers(1, 8))
    kernel = (size, draw(st.integers(1, size)), channels, features)
    return (batch, height, width, channels), kernel, draw(st.integers(1, 2)), draw(st.sampled_from(("VALID", "SAME")))


@few
@given(convolutions(), st.sampled_from(DTYPES))
def test_convolution_and_its_gradients_equal_stock(shape, dtype):
    images, kernel, stride, padding = shape
    options = {"stride": stride, "padding": padding}
    operands = normal(0, images, dtype), normal(1, kernel, dtype)

    assert_close(
        value_and_gradients(partial(convolution, **options), *operands),
        value_and_gradients(partial(stock_convolution, **options), *operands),
    )


@pytest.mark.slow
@few
@given(
    st.sampled_from([(6, 6, 6), (6, 3, 6), (6, 2, 4), (4, 4, 8)]),
    st.sampled_from((1, 2, 3, 5)),
    st.integers(1, 3),
    st.sampled_from(("VALID", "SAME", ((0, 2), (1, 0)))),
    st.sampled_from(DTYPES),
)
def test_convolution_in_groups_and_its_gradients_equal_stock(channels, size, stride, padding, dtype):
    of_images, groups, features = channels
    operands = normal(0, (3, 7, 6, of_images), dtype), normal(1, (size, size, of_images // groups, features), dtype)
    options = {"stride": stride, "padding": padding, "groups": groups}

    assert_close(
        value_and_gradients(partial(convolution, **options), *operands, options=QUICKLY),
        value_and_gradients(partial(stock_convolution, **options), *operands, options=QUICKLY),
    )


@pytest.mark.parametrize(("kernel", "groups"), [((3, 3, 2, 4), 1), ((3, 3, 4, 4), 2), ((3, 3, 2, 3), 2)])
def test_kernel_that_is_not_for_these_groups_is_refused(kernel, groups):
    with pytest.raises(ValueError, match="is not one for"):
        convolution(normal(0, (1, 5, 5, 4)), normal(1, kernel), groups=groups)


# One shape for each form that the CPU may choose, at the lecture's sizes and where these do not divide evenly.
SHAPES = {
    "one channel": ((8, 28, 28, 1), (3, 3, 1, 32)),
    "few channels to many": ((2, 12, 11, 3), (3, 3, 3, 80)),
    "one tile": ((3, 5, 5, 64), (3, 3, 64, 128)),
    "even tiles": ((8, 13, 13, 32), (3, 3, 32, 64)),
    "odd tiles": ((3, 12, 11, 16), (3, 3, 16, 32)),
    "many blocks": ((19, 24, 24, 64), (3, 3, 64, 128)),
    "wide kernel": ((3, 20, 20, 12), (5, 5, 12, 16)),
}
DEPTHWISE = (8, 14, 14, 16), (3, 3, 1, 16)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("images", "kernel"), first_quick(SHAPES.values()), ids=SHAPES)
def test_convolution_equals_stock_in_every_form_that_the_cpu_chooses(images, kernel, padding):
    operands = normal(0, images), normal(1, kernel)

    assert_close(
        value_and_gradients(partial(convolution, padding=padding), *operands, options=None),
        value_and_gradients(partial(stock_convolution, padding=padding), *operands),
    )


@pytest.mark.parametrize("options", first_quick([QUICKLY, None]), ids=["quickly", "as LLVM makes it"])
@pytest.mark.parametrize(("images", "kernel"), SHAPES.values(), ids=SHAPES)
def test_convolution_with_pooling_equals_the_two_stock_operators(images, kernel, options):
    # Whole numbers keep the sums exact, so that ties are the same ties whatever the order of the additions.
    operands = tied(0, images), tied(1, kernel)

    assert_close(
        value_and_gradients(convolution_max_pool, *operands, options=options),
        value_and_gradients(stock_pair, *operands),
    )


def stock_layer(images, kernel, bias, *, pooled=False, groups=1, relu=True):
    outputs = stock_convolution(images, kernel, groups=groups) + bias.reshape(1, 1, 1, -1)
    outputs = jax.nn.relu(outputs) if relu else outputs
    return stock_max_pool(outputs) if pooled else outputs


@pytest.mark.parametrize(
    ("images", "kernel", "pooled"),
    first_quick([(*shape, pooled) for shape in SHAPES.values() for pooled in (False, True)] + [(*DEPTHWISE, False)]),
)
def test_bias_and_relu_in_the_operator_equal_those_behind_it(images, kernel, pooled):
    groups = images[3] // kernel[2]
    operands = normal(0, images), normal(1, kernel), normal(2, kernel[3:])
    ours = partial(convolution_max_pool, relu=True) if pooled else partial(convolution, relu=True, groups=groups)
    stock = partial(stock_layer, pooled=pooled, groups=groups)
    # Rounding may put a number near 0 on the other side of it.
    is_far = jnp.abs(stock_layer(*operands, pooled=pooled, groups=groups, relu=False)) > 1e-2

    assert_close(
        value_and_gradients(lambda *operands: ours(*operands) * is_far, *operands),
        value_and_gradients(lambda *operands: stock(*operands) * is_far, *operands),
    )


def test_bias_and_relu_hold_in_bfloat16():
    operands = [tied(seed, shape, "bfloat16") for seed, shape in enumerate([*SHAPES["one channel"], (32,)])]
    # Of the stock layer in bfloat16 the gradient of the bias is 5 % off: its sum over all positions has 8 bits.
    wide = [operand.astype(jnp.float32) for operand in operands]
    expected = value_and_gradients(partial(stock_layer, pooled=True), *wide)

    actual = value_and_gradients(partial(convolution_max_pool, relu=True), *operands)

    assert_close(actual, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), expected))


def test_relu_gives_zeros_no_gradient_and_keeps_nan():
    images, kernel = jnp.asarray([-1.0, 0.0, 1.0, jnp.nan]).reshape(1, 1, 4, 1), jnp.ones((1, 1, 1, 1))

    value, backward = jax.vjp(lambda images: convolution(images, kernel, relu=True), images)

    np.testing.assert_array_equal(value.ravel(), [0, 0, 1, np.nan])
    np.testing.assert_array_equal(backward(jnp.ones_like(value))[0].ravel(), [0, 0, 1, 0])


@pytest.mark.parametrize("size", winograd.SIZES)
def test_tiles_of_every_size_are_the_convolution_and_their_gradients_its_adjoint(size):
    images, kernel = normal(0, (2, 2 * size + 2, size + 2, 5)), normal(1, (3, 3, 5, 4))

    def tiled(images, kernel):
        return winograd.outputs(images, winograd.kernel_tiles(kernel, size), lambda outputs: outputs)

    gradient = normal(2, stock_convolution(images, kernel).shape)
    stock, backward = jax.vjp(stock_convolution, images, kernel)
    of_images, of_tiles, of_bias = winograd.gradients(
        images, winograd.kernel_tiles(kernel, size), pooling.members(gradient, size)
    )

    assert_close(tiled(images, kernel), stock)
    assert_close((of_images, winograd.kernel_gradient(of_tiles)), backward(gradient))
    assert_close(of_bias, gradient.sum((0, 1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["one channel", "odd tiles"])
def test_convolution_with_pooling_holds_in_bfloat16(shape):
    operands = [tied(seed, shape, "bfloat16") for seed, shape in enumerate(SHAPES[shape])]

    assert_close(
        value_and_gradients(convolution_max_pool, *operands),
        value_and_gradients(stock_pair, *operands),
    )


@few
@given(
    st.tuples(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.integers(1, 8)),
    st.integers(1, 3),
    st.sampled_from(DTYPES),
    st.sampled_from((normal, tied)),
)
def test_max_pool_and_its_gradient_equal_stock_with_ties_and_odd_sizes(shape, window, dtype, draw):
    images = draw(0, shape, dtype)

    actual = value_and_gradients(partial(max_pool, window=window), images)
    expected = value_and_gradients(partial(stock_max_pool, window=window), images)

    for left, right in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(left, np.float32), np.asarray(right, np.float32))


def test_gradient_of_tied_maxima_goes_to_the_first_one():
    gradient = jax.grad(lambda images: max_pool(images).sum())(jnp.ones((1, 2, 2, 1)))

    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_nan_reaches_the_output_of_max_pool_and_keeps_its_windows_gradient(place):
    images = jnp.zeros(4).at[place].set(jnp.nan).reshape(1, 2, 2, 1)

    assert np.isnan(max_pool(images)).all()
    assert float(jax.grad(lambda images: max_pool(images)[0, 0, 0, 0])(images).sum()) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("channels", [(1, 5), pytest.param((16, 32), marks=pytest.mark.slow)], ids=["patches", "tiles"])
@pytest.mark.parametrize("axes", [(0, None), (None, 0)], ids=["images", "kernels"])
def test_operators_hold_under_vmap(axes, channels):
    def both(images, kernel):
        return jnp.stack([max_pool(convolution(images, kernel)), convolution_max_pool(images, kernel)])

    def stock(images, kernel):
        return jnp.stack([stock_pair(images, kernel)] * 2)

    shapes = (2, 9, 9, channels[0]), (3, 3, *channels)
    operands = [
        normal(seed, shape if axis is None else (3, *shape))
        for seed, (shape, axis) in enumerate(zip(shapes, axes, strict=True))
    ]

    assert_close(
        value_and_gradients(jax.vmap(both, axes), *operands),
        value_and_gradients(jax.vmap(stock, axes), *operands),
    )


def small_network(images, kernels):
    """Mean square after three convolutions and two poolings: every operator, every gradient."""
    hidden = convolution_max_pool(images, kernels[0])
    hidden = max_pool(convolution(jax.nn.relu(hidden), kernels[1]))
    return jnp.mean(jnp.square(convolution(hidden, kernels[2])))


def stock_network(images, kernels):
    hidden = stock_max_pool(jax.nn.relu(stock_convolution(images, kernels[0])))
    hidden = stock_max_pool(stock_convolution(hidden, kernels[1]))
    return jnp.mean(jnp.square(stock_convolution(hidden, kernels[2])))


@partial(jax.jit, donate_argnums=0)
def descend(kernels, batches, first, last):
    """Gradient steps first..last, one a batch, as training runs them: in a loop whose bounds are arguments."""

    def step(index, kernels):
        gradients = jax.grad(small_network, 1)(batches[index], kernels)
        return jax.tree.map(lambda kernel, gradient: kernel - 0.1 * gradient, kernels, gradients)

    return lax.fori_loop(first, last, step, kernels)


def kernels_and_batches():
    kernels = normal(1, (3, 3, 2, 16)), normal(2, (3, 3, 16, 16)), normal(3, (2, 2, 16, 40))
    return jax.tree.map(lambda kernel: kernel / 8, kernels), normal(0, (3, 4, 20, 20, 2))


@pytest.mark.slow
def test_gradients_in_a_loop_with_donated_state_equal_stock_steps():
    kernels, batches = kernels_and_batches()
    expected, stock_gradients = kernels, jax.jit(jax.grad(stock_network, 1), compiler_options=QUICKLY)
    for images in batches:
        gradients = stock_gradients(images, expected)
        expected = jax.tree.map(lambda kernel, gradient: kernel - 0.1 * gradient, expected, gradients)

    assert_close(descend(jax.tree.map(jnp.copy, kernels), batches, 0, 3), expected)


def layouts(hlo):
    return re.findall(r"convolution\(.*dim_labels=(\w+->\w+)", hlo)


def test_training_loop_on_cpu_has_no_select_and_scatter_and_only_convolutions_that_take_the_fast_kernel():
    kernels, batches = kernels_and_batches()
    # Too wide for tiles and patches: convolutions remain.
    kernels, batches = (kernels[0], normal(2, (5, 5, 16, 16)), kernels[2]), normal(0, (3, 4, 60, 60, 2))

    hlo = descend.lower(kernels, batches, 0, 3).compile(NO_YNN).as_text()

    assert "select-and-scatter" not in hlo
    assert set(layouts(hlo)) == {"b01f_01io->b01f"}
    assert "rhs_reversal" not in hlo and "batch_group_count" not in hlo


@pytest.mark.parametrize("shape", first_quick(["one channel", "many blocks", "wide kernel"]))
@pytest.mark.parametrize("operator", [convolution, convolution_max_pool])
def test_images_gradient_is_not_computed_where_nobody_asks_for_it(operator, shape):
    images, kernel = SHAPES[shape]

    def operations(argnums):
        def loss(images, kernel):
            return jnp.sum(jnp.square(operator(images, kernel)))

        lowered = jax.jit(jax.grad(loss, argnums)).lower(normal(0, images), normal(1, kernel))
        return len(re.findall(r" (?:dot|convolution)\(", lowered.compile(NO_YNN).as_text()))

    assert operations(1) < operations((0, 1))


@pytest.mark.slow
@pytest.mark.devices(4)
def test_a_batch_that_is_split_over_devices_is_never_gathered():
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("batch"))

    def loss(kernels, images):
        hidden = convolution_max_pool(lax.with_sharding_constraint(images, split), kernels[0])
        return jnp.mean(jnp.square(convolution(hidden, kernels[1])))

    kernels, images = (normal(0, (3, 3, 1, 32)), normal(1, (3, 3, 32, 32))), normal(2, (64, 50, 50, 1))
    whole = jax.jit(jax.grad(loss), compiler_options=QUICKLY)(kernels, images)
    parted = jax.jit(jax.grad(loss), in_shardings=(None, split)).lower(kernels, images).compile(QUICKLY)

    for left, right in zip(parted(kernels, jax.device_put(images, split)), whole, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    text = parted.as_text()
    assert "all-reduce" in text
    assert not any(word in text for word in ("all-gather", "all-to-all", "collective-permute")), text


@pytest.mark.slow
def test_depthwise_convolution_and_its_gradients_hold_under_vmap_over_kernels():
    images, kernel = DEPTHWISE
    operands = normal(0, images), normal(1, (3, *kernel))
    ours, stock = (
        jax.vmap(partial(operator, padding="SAME", groups=images[-1]), (None, 0))
        for operator in (convolution, stock_convolution)
    )

    assert_close(
        value_and_gradients(ours, *operands, options=QUICKLY), value_and_gradients(stock, *operands, options=QUICKLY)
    )


def test_depthwise_convolution_on_cpu_is_no_convolution_of_xla():
    """XLA computes it, and its gradients, with a scalar loop."""
    images, kernel = DEPTHWISE

    def loss(images, kernel):
        return jnp.sum(jnp.square(convolution(images, kernel, padding="SAME", groups=images.shape[-1])))

    lowered = jax.jit(jax.grad(loss, (0, 1))).lower(normal(0, images), normal(1, kernel))

    assert "convolution(" not in lowered.compile(NO_YNN).as_text()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_run_the_stock_operators(platform):
    kernels, batches = kernels_and_batches()

    def lowered(function):
        return function.trace(batches[0], kernels).lower(lowering_platforms=(platform,)).as_text()

    text = lowered(jax.jit(jax.grad(small_network, 1)))

    assert "select_and_scatter" in text and "reduce_window" in text
