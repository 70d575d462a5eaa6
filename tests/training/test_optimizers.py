"""Optimizers by name, weight decay with a mask, and clipping."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from optax import contrib

from cnn_jax.config import Config, config_from_mapping
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training.learner import Learner
from cnn_jax.training.optimizers import AVERAGES, OPTIMIZERS, clipping, decay_mask
from cnn_jax.training.schedules import SCHEDULES

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "training_reference.json").read_text())


def learner(**settings: object) -> Learner:
    return build(Experiment().vary(model="logistic", **settings))


@pytest.mark.parametrize(
    ("field", "table"), [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("average", AVERAGES)]
)
def test_an_experiment_offers_every_name_and_no_other(field: str, table: dict) -> None:
    for name in table:
        assert learner(**{field: name}).create_state
    with pytest.raises(InputError, match=f"--{field}=nothing: no such {field}.* Known: {', '.join(sorted(table))}.$"):
        learner(**{field: "nothing"})


def test_rmsprop_is_keras_formula() -> None:
    """velocity = 0.9 velocity + 0.1 g²; w -= rate g / sqrt(velocity + 1e-7) (keras.optimizers.RMSprop)."""
    rmsprop = OPTIMIZERS["rmsprop"](lambda step: 1e-3)
    gradients = np.random.default_rng(0).normal(0, 1e-3, (5, 20)).astype(np.float32)
    weights, velocity = np.ones(20), np.zeros(20)
    params = jnp.ones(20)
    state = rmsprop.init(params)
    for gradient in gradients:
        velocity = 0.9 * velocity + 0.1 * gradient.astype(float) ** 2
        weights -= 1e-3 * gradient / np.sqrt(velocity + 1e-7)
        updates, state = rmsprop.update(jnp.asarray(gradient), state, params)
        params = params + updates
    np.testing.assert_allclose(params, weights, rtol=2e-6)


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("sgd", {}, optax.sgd(0.1)),
        ("momentum", {}, optax.sgd(0.1, momentum=0.9)),
        ("momentum", {"momentum": 0.5, "nesterov": True}, optax.sgd(0.1, momentum=0.5, nesterov=True)),
        ("adam", {}, optax.adam(0.1)),
        ("adam", {"b1": 0.5, "b2": 0.6, "eps": 0.7}, optax.adam(0.1, b1=0.5, b2=0.6, eps=0.7)),
        ("adam", {"nesterov": True}, optax.nadam(0.1)),
        ("adamw", {}, optax.adamw(0.1)),
        ("adamw", {"b1": 0.5, "weight_decay": 0.2}, optax.adamw(0.1, b1=0.5, weight_decay=0.2)),
        ("adamw", {"nesterov": True}, optax.nadamw(0.1)),
        ("lion", {}, optax.lion(0.1)),
        ("lion", {"b1": 0.5, "b2": 0.6, "weight_decay": 0.7}, optax.lion(0.1, b1=0.5, b2=0.6, weight_decay=0.7)),
        ("muon", {}, contrib.muon(0.1, consistent_rms=0.2)),
        (
            "muon",
            {"beta": 0.5, "nesterov": False, "ns_steps": 3, "consistent_rms": None, "weight_decay": 0.7},
            contrib.muon(0.1, beta=0.5, nesterov=False, ns_steps=3, weight_decay=0.7),
        ),
        (
            "rmsprop",
            {"decay": 0.5, "epsilon": 0.1},
            optax.rmsprop(0.1, decay=0.5, eps=0.1, eps_in_sqrt=True, initial_scale=0.0),
        ),
    ],
)
def test_settings_reach_optax(name: str, settings: dict, theirs: optax.GradientTransformation) -> None:
    ours = learner(optimizer=name, learning_rate=0.1, **settings).optimizer_for(0.1, 3)
    params = jnp.linspace(-1, 1, 6).reshape(3, 2)
    states = [ours.init(params), theirs.init(params)]
    for gradient in (params, params**2, -params):
        found, states[0] = ours.update(gradient, states[0], params)
        expected, states[1] = theirs.update(gradient, states[1], params)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def shaped(numbers: dict[str, list[float]]) -> dict[str, Any]:
    """The parameters of the reference as a tree."""
    arrays = {name: jnp.asarray(values).reshape(REFERENCE["shapes"][name]) for name, values in numbers.items()}
    return unflatten_dict(arrays, sep="/")


@pytest.mark.slow
@pytest.mark.parametrize("case", REFERENCE["optimizers"], ids=lambda case: f"{case['optimizer']}-{case['by']}")
def test_optimizer_is_that_of_other_frameworks(case: dict) -> None:
    """Kernels alone decay, or what the mask names. Muon of PyTorch makes matrices orthogonal in bfloat16."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in case["settings"].items()}
    optimizer = OPTIMIZERS[case["optimizer"]](optax.constant_schedule(0.01), **settings)
    params = shaped(REFERENCE["params"])
    state = optimizer.init(params)
    for gradients in REFERENCE["gradients"][: case["steps"]]:
        updates, state = optimizer.update(shaped(gradients), state, params)
        params = optax.apply_updates(params, updates)
    found, tolerance = flatten_dict(params, sep="/"), 2e-4 if case["optimizer"] == "muon" else 1e-6
    for name, values in case["params"].items():
        np.testing.assert_allclose(found[name].ravel(), values, rtol=1e-5, atol=tolerance)
    assert len(case["params"]) == (2 if case["optimizer"] == "muon" else len(found))


def test_muon_trains_a_convolutions_kernel_as_the_matrix_of_its_inputs_by_its_outputs() -> None:
    kernel, gradient = jax.random.normal(jax.random.key(0), (2, 3, 3, 2, 4))
    muon = OPTIMIZERS["muon"](optax.constant_schedule(1.0), nesterov=False, consistent_rms=None)
    updates = []
    for shape in ((3, 3, 2, 4), (18, 4)):
        params = {"kernel": kernel.reshape(shape), "bias": jnp.zeros(4)}
        gradients = {"kernel": gradient.reshape(shape), "bias": jnp.ones(4)}
        updates.append(muon.update(gradients, muon.init(params), params)[0])
    np.testing.assert_allclose(updates[0]["kernel"].reshape(18, 4), updates[1]["kernel"], rtol=1e-6)
    sizes = np.linalg.svd(updates[0]["kernel"].reshape(18, 4), compute_uv=False)
    assert (sizes > 0.6).all() and (sizes < 1.2).all(), "nearly orthogonal"
    np.testing.assert_allclose(updates[0]["bias"], -1, rtol=1e-5)  # Adam's first step


@pytest.mark.parametrize(
    ("names", "decayed"),
    [
        ((), {"Conv_0/kernel", "Dense_0/kernel"}),
        (("kernel",), {"Conv_0/kernel", "Dense_0/kernel"}),
        (("Conv_0", "scale"), {"Conv_0/kernel", "Conv_0/bias", "GroupNorm_0/scale"}),
        (("Dense_0/kernel", "bias"), {"Dense_0/kernel", "Conv_0/bias"}),
        (("bias", "all"), {"Conv_0/kernel", "Conv_0/bias", "GroupNorm_0/scale", "Dense_0/kernel"}),
    ],
)
def test_mask_means_parameters_by_whole_names(names: tuple[str, ...], decayed: set[str]) -> None:
    mask = decay_mask(names)
    assert mask is not None
    found = flatten_dict(mask(shaped(REFERENCE["params"])), sep="/")
    assert {name for name, is_decayed in found.items() if is_decayed} == decayed
    assert decay_mask(("all",)) is None


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw", "lion", "muon"])
def test_mask_that_fits_nothing_is_refused_when_the_experiment_is_built(name: str) -> None:
    expected = (
        "--optimizer.weight_decay_mask=kernle: no such parameter that is trained. Did you mean kernel? "
        "Known: Dense_0, Dense_0/bias, Dense_0/kernel, all, bias, kernel."
    )
    for right in ("bias", "all"):
        with pytest.raises(InputError) as refusal:
            learner(optimizer=name, weight_decay_mask=(right, "kernle"))
        assert str(refusal.value) == expected
    with pytest.raises(InputError, match="weight_decay_mask=bias: no such parameter that is trained"):
        learner(optimizer=name, weight_decay_mask=("bias",), freeze=("Dense_0/bias",))


def test_adamw_of_an_earlier_version_goes_on_decaying_every_parameter() -> None:
    """Its config names no mask. One that is written today names it."""
    today = Experiment().vary(optimizer="adamw")
    stored = json.loads(today.config.to_json())
    assert today.differences(config_from_mapping(stored, "config.json")) == {}
    del stored["optimizer"]["weight_decay_mask"]
    for optimizer in (stored["optimizer"], "adamw"):
        before = config_from_mapping(stored | {"optimizer": optimizer}, "config.json")
        assert before.optimizer["weight_decay_mask"] == ("all",)
        assert today.differences(before) == {"optimizer.weight_decay_mask": (("all",), ())}
    assert config_from_mapping({"optimizer": "adam"}, "config.json") == Config(optimizer="adam")


def test_state_of_an_optimizer_is_the_same_with_clipping_and_without_weight_decay_as_before() -> None:
    """Old checkpoints fit."""
    for name, theirs in (("momentum", optax.sgd(lambda step: 0.1, momentum=0.9)), ("sgd", optax.sgd(lambda step: 0.1))):
        of = learner(optimizer=name, clip_norm=1.0, clip_value=1.0)
        state = of.abstract_state[0]
        assert jax.tree.structure(state.opt_state) == jax.tree.structure(jax.eval_shape(theirs.init, state.params))


@pytest.mark.parametrize(
    ("norm", "value", "expected"),
    [(None, None, [3.0, -4.0]), (2.5, None, [1.5, -2.0]), (None, 3.5, [3.0, -3.5]), (9.0, 3.0, [3.0, -3.0]),
     (1.0, 3.0, [0.5**0.5, -(0.5**0.5)])],
)  # fmt: skip
def test_gradients_are_clipped_by_value_and_then_by_norm(
    norm: float | None, value: float | None, expected: list[float]
) -> None:
    gradients = {"a": jnp.asarray([3.0]), "b": jnp.asarray([-4.0])}
    clip = clipping(norm, value)
    found, _ = clip.update(gradients, clip.init(gradients))
    np.testing.assert_allclose([found["a"][0], found["b"][0]], expected, rtol=1e-6)
    assert jax.tree.leaves(clip.init(gradients)) == []
