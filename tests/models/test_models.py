"""The models are the lecture's: sizes, starting weights, logits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import compilation, models
from cnn_jax.config import Config, Part
from cnn_jax.data.tasks import TASKS
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, build_module

MNIST = (28, 28, 1)


def initial(module: nn.Module, shape: tuple[int, ...] = MNIST) -> dict:
    return module.init(jax.random.key(0), jnp.zeros((1, *shape)))["params"]


def size(params: dict) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, 104_202),  # the lecture
        ({"pooling": False}, 712_202),  # the lecture
        ({"model": "dense"}, 784 * 512 + 512 + 512 * 10 + 10),
        ({"model": "logistic"}, 784 * 10 + 10),
        ({"widths": (4,), "kernel_size": 5}, 25 * 4 + 4 + 24 * 24 * 4 * 10 + 10),
        ({"model": "dense", "widths": ()}, 784 * 10 + 10),
    ],
)
def test_parameter_counts(settings: dict, parameters: int) -> None:
    module = build_module(Experiment().vary(settings), 10)
    assert size(jax.eval_shape(lambda: initial(module))) == parameters


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (19, 33, 2)])
@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_any_input_size_and_channel_count_gives_logits(name: str, shape: tuple[int, int, int]) -> None:
    task = getattr(models.MODELS[name], "tasks", ["plain"])[0]
    module, see = build_module(Experiment().vary(model=name, task=task), 7), TASKS[task]().inputs
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), see(jnp.zeros((1, *shape))))["params"])
    logits = jax.eval_shape(lambda p: module.apply({"params": p}, see(jnp.ones((5, *shape)))), params)
    for output, classes in zip(jax.tree.leaves(logits), (7, 2), strict=False):
        assert output.shape == (5, classes)
        assert output.dtype == jnp.float32


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters() -> None:
    module = build_module(Experiment().vary(dtype="bfloat16"), 10)
    params = jax.eval_shape(lambda: initial(module))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    logits, captured = jax.eval_shape(
        lambda p, x: module.apply({"params": p}, x, capture_intermediates=True, mutable=["intermediates"]),
        params,
        jnp.ones((2, *MNIST)),
    )
    outputs = {name: of["__call__"][0] for name, of in captured["intermediates"].items() if name != "__call__"}
    assert {name for name in outputs if name in params} == {"Conv_0", "Conv_1", "Conv_2", "Dense_0"}
    assert {output.dtype for output in outputs.values()} == {jnp.dtype("bfloat16")}
    assert outputs["MaxPool_1"].shape == (2, 5, 5, 64)
    assert logits.dtype == jnp.float32


def test_kernels_start_glorot_uniform_and_biases_zero() -> None:
    params = compilation.jit(functools.partial(initial, build_module(Experiment(), 10)), runs_once=True)()
    for name, fan_in, fan_out in (("Conv_1", 9 * 32, 9 * 64), ("Conv_2", 9 * 64, 9 * 128), ("Dense_0", 1152, 10)):
        limit = np.sqrt(6 / (fan_in + fan_out))  # Glorot and Bengio (2010), eq. 16
        kernel = np.asarray(params[name]["kernel"])
        assert np.abs(kernel).max() <= limit
        assert np.abs(kernel).max() > 0.99 * limit
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.03)
        assert not np.asarray(params[name]["bias"]).any()


@pytest.mark.parametrize("shape", [(23, 30, 3)])
def test_fused_layers_are_the_layers_one_by_one(shape: tuple[int, int, int]) -> None:
    plain, fused = (build_module(Experiment().vary(widths=(16, 16, 20)), 10, fused=fused) for fused in (False, True))
    params = compilation.jit(functools.partial(initial, plain, shape), runs_once=True)()
    images = jax.random.uniform(jax.random.key(1), (9, *shape))
    weights = jax.random.normal(jax.random.key(2), (9, 10))

    def weighted_logits(module: nn.Module, params: dict) -> jax.Array:
        return jnp.sum(weights * module.apply({"params": params}, images))

    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4),
        compilation.jit(jax.value_and_grad(functools.partial(weighted_logits, plain)), runs_once=True)(params),
        compilation.jit(jax.value_and_grad(functools.partial(weighted_logits, fused)), runs_once=True)(params),
    )


def test_unknown_model_is_refused_and_the_near_miss_named() -> None:
    with pytest.raises(InputError, match=r"--model=dens: .*Did you mean dense"):
        Experiment().vary(model="dens")


@pytest.mark.parametrize("settings", [{"pooling": False}, {"kernel_size": 5}])
def test_setting_that_a_model_does_not_have_is_refused(settings: dict) -> None:
    [name] = settings
    with pytest.raises(InputError, match=rf"^--model.{name}: the model dense has no setting {name}. It has widths.$"):
        Experiment(Config(model=Part("dense", **settings)))
    with pytest.raises(InputError, match=f"^--{name}: no such flag, and no chosen part has such a setting"):
        Experiment().vary(model="dense", **settings)


@pytest.mark.parametrize("settings", [{"kernel_size": 29}, {"kernel_size": 13}, {"widths": (1,) * 14}])
def test_images_too_small_for_the_layers_are_refused(settings: dict) -> None:
    with pytest.raises(InputError, match="smaller than its filters"):
        jax.eval_shape(lambda: initial(build_module(Experiment().vary(settings), 10)))


def test_images_too_small_for_a_layer_with_its_pooling_are_refused() -> None:
    letters = Experiment().vary(dataset="x_and_o", widths=(32, 64, 128))
    with pytest.raises(InputError, match="receives images of 3 x 3 pixels, too small for its filters and its pooling"):
        build(letters)
