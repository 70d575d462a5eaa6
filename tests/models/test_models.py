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
from cnn_jax.models import summary
from cnn_jax.ops.interception import stock_layers
from tests.conftest import first_quick

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
        # C1, S2, C3, S4, C5, F6 as section II.B of the paper counts them; then 84 units for ten classes.
        ({"model": "lenet5"}, 156 + 12 + 1_516 + 32 + 48_120 + 10_164 + 850),
        # Pooling learns nothing, and C3 reads six maps everywhere.
        ({"model": "lenet5", "modern": True}, 156 + 16 * (6 * 25 + 1) + 48_120 + 10_164 + 850),
        # Weights of the convolutions, their norms (scale and bias), and the dense layer.
        (
            {"model": "separable"},
            (9 * 32 + 9 * (32 + 64 + 64 + 128) + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
            + 2 * (32 + (32 + 64) + (64 + 64) + (64 + 128) + (128 + 128))
            + 128 * 10 + 10,
        ),
    ],
)  # fmt: skip
def test_parameter_counts(settings: dict, parameters: int) -> None:
    module = build_module(Experiment().vary(settings), 10)
    assert size(jax.eval_shape(lambda: initial(module))) == parameters


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        # Springenberg et al.: "about 1.4 M" for All-CNN-C, table 1.
        (
            {"model": "all_convolutional"},
            (3 * 96 + 2 * 96 * 96 + 96 * 192 + 3 * 192 * 192) * 9 + 192 * 192 + 192 * 10 + 3 * 96 + 5 * 192 + 10,
        ),
    ],
)
def test_parameter_counts_on_rgb_images(settings: dict, parameters: int) -> None:
    module = build_module(Experiment().vary(settings), 10)
    assert size(jax.eval_shape(lambda: initial(module, (32, 32, 3)))) == parameters


# He et al., table 6: 0.27, 0.46 and 0.66 M.
@pytest.mark.parametrize(("depth", "parameters"), first_quick([(20, 269_722), (32, 464_154), (44, 658_586)]))
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_residual_network_has_the_layers_that_its_depth_says(norm: str, depth: int, parameters: int) -> None:
    module = build_module(Experiment().vary(model="resnet", depth=depth, norm=norm), 10)
    params = jax.eval_shape(lambda: initial(module, (32, 32, 3)))
    assert size(params) == parameters
    assert (
        sum("kernel" in jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)) == depth
    )
    # The first convolution, 2n in each stage, and the dense layer; two numbers of a norm behind each convolution.
    n = (depth - 2) // 6
    convolutions = 27 * 16 + 9 * (2 * n * 16**2 + 16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    assert parameters == convolutions + 2 * (16 + 2 * n * (16 + 32 + 64)) + 64 * 10 + 10


@pytest.mark.parametrize("depth", [21, 25])
def test_depth_that_a_residual_network_cannot_have_is_refused(depth: int) -> None:
    with pytest.raises(InputError, match=rf"^--depth={depth}: must be 6n \+ 2, as 20 or 26\."):
        build(Experiment().vary(model="resnet", depth=depth))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (19, 33, 2)])
@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_any_input_size_and_channel_count_gives_logits(name: str, shape: tuple[int, int, int]) -> None:
    task = getattr(models.MODELS[name], "tasks", ["plain"])[0]
    module, see = build_module(Experiment().vary(model=name, task=task), 7), TASKS[task]().inputs
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), see(jnp.zeros((1, *shape)))))
    logits = jax.eval_shape(lambda variables: module.apply(variables, see(jnp.ones((5, *shape)))), variables)
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


@pytest.mark.parametrize("name", ["lenet5", "all_convolutional", "separable", "resnet"])
def test_published_models_compute_in_bfloat16_and_keep_float32_parameters(name: str) -> None:
    depth = {"depth": 8} if name == "resnet" else {}
    module = build_module(Experiment().vary(model=name, dtype="bfloat16", **depth), 10)
    images = jnp.ones((2, *MNIST))
    variables = jax.eval_shape(functools.partial(module.init, jax.random.key(0)), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs = jax.eval_shape(functools.partial(summary.layer_outputs, module), variables, images)
    convolutions = [output.dtype for layer, output in outputs.items() if "Dropout" not in layer]
    assert {*convolutions} == {jnp.dtype("bfloat16")}
    assert jax.eval_shape(module.apply, variables, images).dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("separable", {"widths": (4, 6)}),
        ("lenet5", {}),
        ("all_convolutional", {"widths": (4, 6)}),
        ("resnet", {"depth": 8}),
        ("resnet", {"depth": 8, "norm": "group"}),
    ],
)
def test_gradients_of_several_seeds_together_are_those_of_each_alone(name: str, settings: dict) -> None:
    module = build_module(Experiment().vary(model=name, **settings), 10)
    images = jax.random.uniform(jax.random.key(1), (3, 16, 16, 1))
    train = summary.train_argument(module, is_training=True)

    def gradients(seed: jax.Array) -> dict:
        variables = dict(module.init(jax.random.key(seed), images))
        params = variables.pop("params")

        def loss(params: dict) -> jax.Array:
            rngs = {"dropout": jax.random.key(seed)}
            logits, _ = module.apply({"params": params, **variables}, images, rngs=rngs, mutable=True, **train)
            return jnp.sum(jnp.square(logits))

        with stock_layers():
            return jax.grad(loss)(params)

    together, alone = (compilation.jit(f, runs_once=True) for f in (jax.vmap(gradients), gradients))
    found = together(jnp.arange(2))
    for seed in range(2):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3),
            jax.tree.map(lambda leaf, seed=seed: leaf[seed], found),
            alone(seed),
        )


def test_kernels_start_glorot_uniform_and_biases_zero() -> None:
    params = compilation.jit(functools.partial(initial, build_module(Experiment(), 10)), runs_once=True)()
    for name, fan_in, fan_out in (("Conv_1", 9 * 32, 9 * 64), ("Conv_2", 9 * 64, 9 * 128), ("Dense_0", 1152, 10)):
        limit = np.sqrt(6 / (fan_in + fan_out))  # Glorot and Bengio (2010), eq. 16
        kernel = np.asarray(params[name]["kernel"])
        assert np.abs(kernel).max() <= limit
        assert np.abs(kernel).max() > 0.99 * limit
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.03)
        assert not np.asarray(params[name]["bias"]).any()


@pytest.mark.slow
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
