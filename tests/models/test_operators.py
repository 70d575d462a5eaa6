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

from cnn_jax.models.operators import convolution, max_pool

DTYPES = ("float32", "bfloat16")
few = settings(max_examples=12, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def ranks_must_be_spelled_out():
    with jax.numpy_rank_promotion("raise"):
        yield


def stock_convolution(images, kernel, *, stride=1, padding="VALID"):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(images, kernel, (stride, stride), padding, dimension_numbers=layout)


def stock_max_pool(images, *, window=2):
    square = (1, window, window, 1)
    return lax.reduce_window(images, -jnp.inf, lax.max, square, square, "VALID")


def normal(seed, shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32), dtype)


def tied(seed, shape, dtype="float32"):
    """Small whole numbers: most windows have several equal maxima."""
    return jnp.asarray(np.random.default_rng(seed).integers(-1, 2, shape), dtype)


def value_and_gradients(operator, *operands):
    """The operator's output and, for one random output gradient, the gradients for all operands."""

    @jax.jit
    def run(operands, gradient):
        value, backward = jax.vjp(operator, *operands)
        return value, *backward(gradient)

    output = jax.eval_shape(operator, *operands)
    return run(operands, normal(7, output.shape, output.dtype))


def assert_close(actual, expected):
    """Equal within the rounding of a sum in another order, relative to the largest entry."""
    assert [leaf.dtype for leaf in jax.tree.leaves(actual)] == [leaf.dtype for leaf in jax.tree.leaves(expected)]
    for left, right in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
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


@pytest.mark.parametrize("shape", [(28, 28, 1, 32), (13, 13, 32, 64), (24, 24, 64, 128)])
def test_convolution_equals_stock_at_the_sizes_of_the_lecture(shape):
    height, width, channels, features = shape
    operands = normal(0, (8, height, width, channels)), normal(1, (3, 3, channels, features))

    assert_close(
        value_and_gradients(convolution, *operands),
        value_and_gradients(stock_convolution, *operands),
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


def test_operators_hold_under_vmap_over_images_and_over_kernels():
    def both(images, kernel):
        return max_pool(convolution(images, kernel))

    def stock(images, kernel):
        return stock_max_pool(stock_convolution(images, kernel))

    images, kernels = normal(0, (3, 2, 9, 9, 4)), normal(1, (3, 3, 3, 4, 5))
    for axes, operands in (
        ((0, None), (images, kernels[0])),
        ((None, 0), (images[0], kernels)),
        ((0, 0), (images, kernels)),
    ):
        actual = value_and_gradients(jax.vmap(both, axes), *operands)
        expected = value_and_gradients(jax.vmap(stock, axes), *operands)
        assert_close(actual, expected)


def small_network(images, kernels):
    """Mean square of two convolutions with a pooling between them: enough to need every gradient."""
    hidden = max_pool(jax.nn.relu(convolution(images, kernels[0])))
    return jnp.mean(jnp.square(convolution(hidden, kernels[1])))


@partial(jax.jit, donate_argnums=0)
def descend(kernels, batches, first, last):
    """Gradient steps first..last, one a batch, as training runs them: in a loop whose bounds are arguments."""

    def step(index, kernels):
        gradients = jax.grad(small_network, 1)(batches[index], kernels)
        return jax.tree.map(lambda kernel, gradient: kernel - 0.1 * gradient, kernels, gradients)

    return lax.fori_loop(first, last, step, kernels)


def kernels_and_batches():
    return (normal(1, (3, 3, 2, 8)), normal(2, (3, 3, 8, 8))), normal(0, (3, 4, 14, 14, 2))


def test_gradients_in_a_loop_with_donated_state_equal_stock_steps():
    kernels, batches = kernels_and_batches()

    def stock(images, kernels):
        hidden = stock_max_pool(jax.nn.relu(stock_convolution(images, kernels[0])))
        return jnp.mean(jnp.square(stock_convolution(hidden, kernels[1])))

    expected = kernels
    for images in batches:
        gradients = jax.grad(stock, 1)(images, expected)
        expected = jax.tree.map(lambda kernel, gradient: kernel - 0.1 * gradient, expected, gradients)

    assert_close(descend(jax.tree.map(jnp.copy, kernels), batches, 0, 3), expected)


def layouts(hlo):
    return re.findall(r"convolution\(.*dim_labels=(\w+->\w+)", hlo)


def test_training_loop_on_cpu_has_no_select_and_scatter_and_only_convolutions_that_take_the_fast_kernel():
    cpu = jax.devices("cpu")[0]
    kernels, batches = jax.device_put(kernels_and_batches(), cpu)

    hlo = descend.lower(kernels, batches, 0, 3).compile().as_text()

    assert "select-and-scatter" not in hlo
    assert set(layouts(hlo)) <= {"b01f_01io->b01f"}
    assert "rhs_reversal" not in hlo and "batch_group_count" not in hlo


def test_images_gradient_is_not_computed_where_nobody_asks_for_it():
    def forms(argnums):
        def loss(images, kernel):
            return jnp.sum(jnp.square(convolution(images, kernel)))

        lowered = jax.jit(jax.grad(loss, argnums)).lower(normal(0, (2, 8, 8, 4)), normal(1, (3, 3, 4, 8)))
        return lowered.compile({"xla_cpu_experimental_ynn_fusion_type": ""}).as_text()

    assert len(layouts(forms(1))) == len(layouts(forms((0, 1)))) - 1


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_run_the_stock_operators(platform):
    kernels, batches = kernels_and_batches()

    def lowered(function):
        return function.trace(batches[0], kernels).lower(lowering_platforms=(platform,)).as_text()

    text = lowered(jax.jit(jax.grad(small_network, 1)))

    assert "select_and_scatter" in text and "reduce_window" in text
