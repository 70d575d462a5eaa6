"""What is frozen keeps its bits, whatever the optimizer and the average do; the rest is trained as without it."""

from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from cnn_jax import Config, Dataset, Experiment, InputError, Part, compilation
from cnn_jax.experiment import build
from cnn_jax.training.compiled import Training, compile_training
from cnn_jax.training.learner import Keys
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.prefixes import merged, partition, possible_prefixes
from cnn_jax.training.state import TrainState
from cnn_jax.training.step import make_step


class Net(nn.Module):
    """A convolution and a BatchNorm in a block, and a dense layer. `shift` is in no layer."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = Block(name="block")(images, train).mean((1, 2))
        return nn.Dense(self.classes)(x) + self.param("shift", nn.initializers.zeros, (1,))[None]


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.5)(nn.Conv(4, (3, 3))(x)))


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    return Dataset.from_arrays(images, np.arange(40) % 3, images[:8], np.arange(8) % 3)


def experiment(**fields: Any) -> Experiment:
    fields = {"batch_size": 16, "epochs": 2, "learning_rate": 0.01, **fields}
    config = Config(dataset=Part("noise"), model=Part("net"), **fields)
    return Experiment(config, datasets={"noise": dataset}, models={"net": Net})


def trained(of: Experiment, steps: int = 5) -> tuple[Training, TrainState, TrainState]:
    """The state at the beginning and after some steps, settled."""
    training = compile_training(build(of), dataset().train, make_mesh())
    before, state, sums = jax.device_get(training.create_state(0)), training.create_state(0), training.zeros()
    for step in range(steps):
        epoch, first = divmod(step, training.epoch_steps)
        state, sums = training.chunk(state, sums, training.batch_indices(state.key, epoch + 1), first, first + 1)
    return training, before, jax.device_get(training.settled(state))


def bits(tree: dict) -> dict[str, bytes]:
    return {"/".join(path): np.asarray(leaf).tobytes() for path, leaf in flatten_dict(tree).items()}


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": Part("adamw", weight_decay=0.5)},
        {"optimizer": Part("momentum", nesterov=True), "average": "swa"},
        {"optimizer": Part("muon", weight_decay=0.5), "clip_norm": 1.0, "microbatches": 2},
        {"optimizer": "rmsprop", "average": "ema"},
    ],
    ids=str,
)
def test_frozen_variables_keep_their_bits_and_all_others_change(fields: dict[str, Any]) -> None:
    # -0.0 + 0.0 is 0.0: an update of zero would change this bit.
    negative = {"params": {"shift": np.array([-0.0], np.float32)}}
    start = experiment(**fields, freeze=("block", "shift")).init_from(negative, prefix=["shift"])
    _, before, after = trained(start)
    for scored in (after.variables, {"params": after.params, **after.model_state}):
        old, new = bits(before.variables), bits(scored)
        assert {name for name in old if old[name] == new[name]} == {
            *("params/block/Conv_0/kernel", "params/block/Conv_0/bias", "params/shift"),
            *("params/block/BatchNorm_0/scale", "params/block/BatchNorm_0/bias"),
            *("batch_stats/block/BatchNorm_0/mean", "batch_stats/block/BatchNorm_0/var"),
        }


def test_optimizer_does_not_know_what_is_frozen() -> None:
    """It keeps no moments of it, and clips by the norm of the other gradients."""
    learner = build(experiment(optimizer="adam", freeze=("block", "Dense_0/bias")))
    [moments] = [part.mu for part in learner.abstract_state[0].opt_state if hasattr(part, "mu")]
    assert flatten_dict(moments, sep="/").keys() == {"Dense_0/kernel", "shift"}


@pytest.mark.slow
def test_what_is_not_frozen_is_trained_as_if_nothing_were() -> None:
    """The first step of gradient descent moves it by the same gradient."""
    images, labels, mask = dataset().train.images[:16], dataset().train.labels[:16], np.ones(16, bool)
    ends = []
    for freeze in ((), ("block/Conv_0",)):
        learner = build(experiment(optimizer="sgd", learning_rate=0.5, freeze=freeze))
        before = compilation.jit(learner.create_state, runs_once=True)(0)
        after, _ = compilation.jit(make_step(learner, 0.5, 1), runs_once=True)(before, images, labels, mask)
        ends.append(partition(after.params, ["block/Conv_0"]))
    (expected, moved), (others, kept) = ends
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), others, expected)
    assert bits(kept) == bits(partition(before.params, ["block/Conv_0"])[1]) != bits(moved)


@pytest.mark.parametrize(("freeze", "is_fixed"), [("block/BatchNorm_0", True), ("block/BatchNorm_0/scale", False)])
def test_frozen_batch_norm_normalizes_by_its_statistics_in_training_too(freeze: str, is_fixed: bool) -> None:
    """As Keras's with trainable=False. Where its scale alone is frozen, its statistics follow the batches."""
    statistics = {"block": {"BatchNorm_0": {"mean": np.full(4, 0.3, np.float32), "var": np.full(4, 9.0, np.float32)}}}
    images, mask, learner = dataset().train.images[:16], np.ones(16, bool), build(experiment(freeze=(freeze,)))

    def outputs(state: TrainState) -> Any:
        key, model_state = Keys.of_step(state.key, 1).module, {"batch_stats": statistics}
        logits, after = learner.apply_in_training(state.params, model_state, learner.inputs(images), mask, key)
        return logits, after, learner.apply({"params": state.params, **model_state}, images)

    logits, after, scored = compilation.jit(lambda: outputs(learner.create_state(0)), runs_once=True)()
    assert np.allclose(logits, scored, rtol=1e-6) == is_fixed
    assert (bits(after["batch_stats"]) == bits(statistics)) == is_fixed


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (
            ("Dense_1",),
            r"--freeze=Dense_1: no such layer or parameter of the model\. Did you mean Dense_0\? "
            r"Known: Dense_0, block, block/BatchNorm_0, block/Conv_0, shift\.",
        ),
        (("block/Conv",), r"--freeze=block/Conv: no such layer or parameter of the model\. .*"),
        (("block", "Dense_0", "shift"), r"--freeze=block,Dense_0,shift: .* nothing is left to train\."),
    ],
)
def test_names_that_freeze_nothing_or_everything_are_refused(freeze: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        build(experiment(freeze=freeze))


def test_prefix_is_made_of_whole_names() -> None:
    tree = {"Conv_1": {"kernel": 1}, "Conv_10": {"kernel": 2, "bias": 3}, "top": 4}
    assert partition(tree, ["Conv_1", "top"]) == (
        {"Conv_10": {"kernel": 2, "bias": 3}},
        {"Conv_1": {"kernel": 1}, "top": 4},
    )
    assert partition(tree, ["Conv_10/bias"])[1] == {"Conv_10": {"bias": 3}}
    assert merged(*partition(tree, ["Conv_10/bias"])) == tree
    assert possible_prefixes({"params": tree}) == ["Conv_1", "Conv_10", "top"]
