"""Experiment: the settings of chosen parts by their names, and a user's own entries beside the project's."""

import json
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cnn_jax.config import FIELDS, Config, Part
from cnn_jax.data.tasks import Task
from cnn_jax.errors import InputError
from cnn_jax.experiment import TABLES, Experiment, build, build_module
from cnn_jax.runs.in_memory import train
from cnn_jax.settings import About, as_text


class Small(nn.Module):
    """A model with a setting that has no default, and one whose name the optimizer rmsprop has too."""

    classes: int
    units: Annotated[int, About("hidden units", at_least=1)]
    decay: float = 0.5

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return nn.Dense(self.classes)(nn.relu(nn.Dense(self.units)(images.reshape(images.shape[0], -1))))


def smoothed(logits: jax.Array, labels: jax.Array, share: float = 0.1) -> jax.Array:
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), share)
    return optax.softmax_cross_entropy(logits, targets)


def certainty(logits: jax.Array, labels: jax.Array, of: int = 1) -> jax.Array:
    return jax.lax.top_k(jax.nn.softmax(logits), of)[0][:, -1]


OWN = Experiment(models={"small": Small}, losses={"smoothed": smoothed}, metrics={"certainty": certainty})
SMALL = OWN.vary(model=Part("small", units=3))


def refused(change: Callable[[], object], *words: str) -> None:
    """Holds that the change is refused, in words that begin and go on so."""
    with pytest.raises(InputError) as refusal:
        change()
    assert str(refusal.value).startswith(words[0]), str(refusal.value)
    for word in words[1:]:
        assert word in str(refusal.value), str(refusal.value)


def test_config_of_an_experiment_has_every_setting_with_its_default() -> None:
    config = Experiment().config
    assert config.model == Part("cnn", kernel_size=3, pooling=True, widths=(32, 64, 128))
    assert config.optimizer == Part("rmsprop", decay=0.9, epsilon=1e-7)
    assert config.loss == Part("cross_entropy", label_smoothing=0.0, class_weights=())
    assert (config.metrics, config.augment) == ((), ())
    assert Experiment(config).config == config
    assert Experiment(Config(model=Part("cnn", pooling=False))).config == Experiment().vary(pooling=False).config


def test_every_entry_of_every_table_can_be_chosen_and_its_settings_have_limits_or_types() -> None:
    for table in TABLES.values():
        for name in table.shipped:
            if (table.field, name) == ("metrics", "accuracy"):
                continue  # always reported
            value = (name,) if table.field in ("augment", "metrics") else name
            chosen = Experiment().vary({table.field: value})
            assert name in [part.name for part in chosen.config.parts().values()]


def test_vary_takes_fields_and_settings_by_full_and_by_short_name() -> None:
    varied = Experiment().vary({"model.kernel_size": 5}, pooling=False, epochs=3, decay=0.5)
    assert (varied.config.epochs, varied.config.optimizer["decay"]) == (3, 0.5)
    assert varied.config.model == Part("cnn", kernel_size=5, pooling=False, widths=(32, 64, 128))
    assert varied.config == Experiment().vary({"optimizer.decay": 0.5, "model.pooling": False}).vary(
        epochs=3, kernel_size=5
    ).config  # fmt: skip
    assert Experiment().config.epochs == 5, "the experiment that is varied stays as it is"
    assert Experiment().vary().config == Experiment().config


def test_part_that_is_named_anew_has_its_defaults() -> None:
    changed = Experiment().vary(widths=(4, 8), pooling=False, decay=0.5)
    assert changed.vary(epochs=2).config.model["widths"] == (4, 8)
    assert changed.vary(model="cnn").config.model == Experiment().config.model
    assert changed.vary(model="cnn").config.optimizer["decay"] == 0.5, "only the named part"
    assert changed.vary(model="cnn", pooling=False).config.model["widths"] == (32, 64, 128)
    assert changed.vary(model="dense").vary(model="cnn").config.model["pooling"] is True
    assert changed.vary_text({"model": "cnn"}).config == changed.vary(model="cnn").config
    assert changed.vary(model=Part("cnn", kernel_size=5)).config.model["widths"] == (32, 64, 128)
    shifted = Experiment().vary(augment=("shift",), pixels=4)
    assert shifted.vary(augment=("flip", "shift")).config.augment[1] == Part("shift", pixels=2)


def test_settings_that_follow_may_be_those_of_the_new_part() -> None:
    for changes in ({"widths": (7,), "model": "dense"}, {"model": "dense", "widths": (7,)}):
        assert Experiment().vary(changes).config.model == Part("dense", widths=(7,))
    refused(lambda: Experiment().vary(model="logistic", widths=(7,)), "--widths: no such flag, and no chosen part")


def test_short_name_of_several_parts_is_refused_with_its_candidates() -> None:
    both = "--decay: several parts have this setting. Name one: --optimizer.decay, --average.decay."
    refused(lambda: Experiment().vary(average="ema", decay=0.5), both)
    refused(lambda: Experiment().vary_text({"average": "ema", "decay": "0.5"}), both)
    varied = Experiment().vary({"average": "ema", "average.decay": 0.5})
    assert (varied.config.average["decay"], varied.config.optimizer["decay"]) == (0.5, 0.9)
    refused(lambda: SMALL.vary(decay=0.1), "--decay: several parts", "--model.decay, --optimizer.decay")
    assert SMALL.full_name("units") == "model.units"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 3}, ("--width: no such flag, and no chosen part has such a setting. Did you mean --widths?",)),
        ({"epoch": 3}, ("--epoch: no such flag", "Did you mean --epochs?")),
        ({"model.width": 3}, ("--model.width: the model cnn has no setting width.", "kernel_size, pooling")),
        ({"dataset.seed": 3}, ("--dataset.seed: the dataset mnist has no setting seed. It has normalize.",)),
        ({"augment.shift.pixels": 3}, ("--augment.shift.pixels: no such flag",)),
        ({"xyzzy": 3}, ("--xyzzy: no such flag, and no chosen part has such a setting. See --help.",)),
        ({"model": "cnm"}, ("--model=cnm: no such model. Did you mean cnn? Known: ",)),
        ({"optimizer": "rmspropp"}, ("--optimizer=rmspropp: no such optimizer. Did you mean rmsprop?",)),
        ({"augment": ("shft",)}, ("--augment=shft: no such augmentation. Did you mean shift?",)),
        ({"metrics": ("nothing",)}, ("--metrics=nothing: no such metric.",)),
        ({"widths": (32, 0)}, ("--widths=32,0: must be at least 1.",)),
        ({"widths": (65_537,)}, ("--widths=65537: must be at most 65,536.",)),
        ({"widths": (1.5,)}, ("--widths=1.5: must be whole numbers.",)),
        ({"kernel_size": 256}, ("--kernel_size=256: must be at most 255.",)),
        ({"pooling": 1}, ("--pooling=1: must be true or false.",)),
        ({"model.pooling": "no"}, ("--model.pooling=no: must be true or false.",)),
        ({"decay": 1.5}, ("--decay=1.5: must be at most 1",)),
        ({"epochs": "3"}, ("--epochs=3: must be a whole number.",)),
        ({"epochs": 0}, ("--epochs=0: must be at least 1.",)),
    ],
)
def test_change_that_is_not_allowed_is_refused_under_the_name_that_was_given(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(lambda: Experiment().vary(changes), *words)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part("cnn", widths=(32, 0)), "--model.widths=32,0: must be at least 1."),
        (Part("cnn", widths=(1.5,)), "--model.widths=1.5: must be whole numbers."),
        (Part("cnn", widhts=(3,)), "--model.widhts: the model cnn has no setting widhts. It has widths, kernel_size"),
        (Part("logistic", widths=(3,)), "--model.widths: the model logistic has no setting widths. It has none."),
        (Part("cnn", classes=3), "--model.classes: the model cnn has no setting classes."),
        (Part("cnn", fused=True), "--model.fused: the model cnn has no setting fused."),
        (Part("none"), "--model=none: no such model."),
    ],
)
def test_part_that_does_not_fit_its_table_is_refused(part: Part, words: str) -> None:
    refused(lambda: Experiment(Config(model=part)), words)
    refused(lambda: Experiment().replace(model=part), words)


def test_setting_without_a_default_must_be_given() -> None:
    without = OWN.vary(model="small")  # a flag, a sweep or a variant may still give it
    refused(lambda: build(without), "--model.units: the model small needs this setting.")
    assert without.vary(units=3).config == SMALL.config
    assert SMALL.config.model == Part("small", units=3, decay=0.5)
    for changed in (
        OWN.vary({"model": "small", "model.units": 3}),
        OWN.vary(model="small", units=3),
        OWN.vary_text({"model": "small", "units": "3"}),
    ):
        assert changed.config == SMALL.config
    assert [name for name in OWN.vary_text({"model": "small"}).settings if "model" in name] == [
        "model.units",
        "model.decay",
    ]


def test_several_names_may_be_given_as_one_text() -> None:
    assert Experiment().vary(augment="flip").config == Experiment().vary(augment=("flip",)).config
    assert Experiment().vary(augment="flip, shift").config == Experiment().vary(augment=("flip", "shift")).config
    assert OWN.vary(metrics="none").config == OWN.vary(metrics=None).config
    refused(lambda: Experiment().vary(augment="flipp"), "--augment=flipp: no such augmentation.")


def test_scalars_of_numpy_are_stored_as_plain_numbers() -> None:
    varied = Experiment().vary(learning_rate=np.float64(0.1), epochs=np.int64(3), decay=np.float32(0.5))
    assert varied.config == Experiment().vary(learning_rate=0.1, epochs=3, decay=0.5).config
    part = Part("cnn", widths=[np.int64(8), np.int32(4)], pooling=np.bool_(False))
    assert part == Part("cnn", widths=(8, 4), pooling=False)
    assert json.loads(Experiment(Config(model=part)).config.to_json())["model"]["widths"] == [8, 4]
    assert type(Config(epochs=np.int64(3)).epochs) is int  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": "4;8"}, "--widths=4;8: must be a whole number."),
        ({"pooling": "maybe"}, "--pooling=maybe: must be true or false."),
        ({"epochs": "many"}, "--epochs=many: must be a whole number."),
        ({"widths": "4,0"}, "--widths=4,0: must be at least 1."),
        ({"model": "../cnn"}, "--model=../cnn: is not a name."),
        ({"wrkdir": "x"}, "--wrkdir: no such flag, and no chosen part has such a setting. Did you mean --workdir?"),
    ],
)
def test_text_that_is_not_allowed_is_refused(changes: dict[str, str], words: str) -> None:
    refused(lambda: Experiment().vary_text(changes, flags=("workdir",)), words)


varied = st.fixed_dictionaries(
    {},
    optional={
        "train_examples": st.none() | st.integers(1, 60_000),
        "epochs": st.integers(1, 1_000_000),
        "learning_rate": st.floats(0, 1e300, exclude_min=True),
        "dtype": st.sampled_from(["float32", "bfloat16"]),
        "model.widths": st.lists(st.integers(1, 65_536), max_size=4).map(tuple),
        "model.pooling": st.booleans(),
        "optimizer.decay": st.floats(0, 1),
        "augment": st.permutations(["shift", "flip"]).map(tuple),
        "metrics": st.none() | st.just(()) | st.just(("certainty",)),
        "loss": st.sampled_from(["cross_entropy", "smoothed"]),
        "average": st.sampled_from(["none", "ema", "swa"]),
    },
)


@given(varied)
@hypothesis_settings(max_examples=60)
def test_every_setting_survives_the_command_line(changes: Mapping[str, Any]) -> None:
    experiment = OWN.vary(changes)
    names = [*FIELDS, *experiment.settings]
    texts = {name: as_text(experiment.config.value(name)) for name in names}
    assert OWN.vary_text(texts).config == experiment.config
    assert OWN.vary({name: experiment.config.value(name) for name in names}).config == experiment.config
    assert OWN.vary_text({name: as_text(value) for name, value in changes.items()}).config == experiment.config


def test_metrics_are_all_of_ones_own_unless_some_are_named() -> None:
    assert OWN.config.metrics == (Part("certainty", of=1),)
    assert OWN.vary(metrics=()).config.metrics == ()
    assert OWN.vary(metrics=()).vary(metrics=None).config == OWN.config
    assert OWN.vary(metrics=()).vary_text({"metrics": "none"}).config == OWN.config
    assert OWN.vary_text({"metrics": "accuracy,certainty", "of": "2"}).config.metrics == (Part("certainty", of=2),)
    assert Experiment().vary(metrics=("accuracy",)).config.metrics == (), "accuracy is always reported"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        *((table, name) for table in TABLES for name in TABLES[table].shipped),
        ("metrics", "loss"),
        ("metrics", "cross_entropy"),
    ],
)
def test_own_entry_under_a_shipped_name_is_refused(table: str, name: str) -> None:
    refused(lambda: Experiment(**{table: {name: len}}), f"{table}: {name} is an entry of this project.")


def test_own_entries_are_functions_by_name() -> None:
    refused(lambda: Experiment(models={"small": 3}), "models: small is int, not a function.")
    refused(lambda: Experiment(models=[Small]), "models: list is no dict")  # type: ignore[arg-type]
    refused(lambda: Experiment(models={"m": Small(2, 3)}), "models: m is a module; give its class, Small.")
    refused(lambda: Experiment(metrics={"m": max}), "metrics: the parameters of m cannot be read. Give a function")
    refused(lambda: Experiment(models={"a b": Small}), "a b: is not a name.")
    assert set(OWN.entries("models")) == {*TABLES["models"].shipped, "small"}
    assert OWN.has_own_parts
    assert not Experiment().has_own_parts


def named(logits: jax.Array, labels: jax.Array, scale, name: str = "x") -> jax.Array:  # type: ignore[no-untyped-def]
    return scale * labels


def test_parameter_that_is_called_name_is_refused() -> None:
    words = "metrics: named has a parameter called name, which is reserved. Rename the parameter."
    refused(lambda: Experiment(metrics={"named": named}), words)
    refused(lambda: Part("cnn", **{"name": "x"}), "name: is reserved for the name of the part.")


def test_parameter_without_type_and_default_is_no_setting_and_the_error_says_so() -> None:
    untyped = Experiment(losses={"scaled": lambda logits, labels, scale, power=2: scale * labels})
    words = "--loss.scale: the loss scaled has no setting scale. It has power."
    hint = " It takes scale, but a setting needs a type or a default."
    refused(lambda: untyped.vary({"loss": "scaled", "loss.scale": 2}), words + hint)
    refused(lambda: untyped.vary(loss=Part("scaled", scale=2)), words + hint)
    with pytest.raises(InputError) as refusal:
        untyped.vary(loss=Part("scaled", labels=2))
    assert str(refusal.value) == "--loss.labels: the loss scaled has no setting labels. It has power."


def test_what_is_no_config_and_no_experiment_is_refused_in_one_line() -> None:
    refused(lambda: Experiment({"epochs": 3}), "Experiment: dict is no Config. Give one, as in")  # type: ignore[arg-type]
    words = "is no Experiment. Make one with Experiment(Config(...)), or take one from a file with load_experiment("
    refused(lambda: train(Config()), f"train: Config {words}")  # type: ignore[arg-type]
    refused(lambda: train("mine.py"), f"train: str {words}")  # type: ignore[arg-type]


def test_own_entries_stay_through_every_change() -> None:
    for changed in (SMALL.vary(epochs=2), SMALL.replace(epochs=2), SMALL.with_config(SMALL.config)):
        assert changed.models == {"small": Small}
        assert changed.config.model == SMALL.config.model
    assert SMALL.replace(epochs=2).config == SMALL.vary(epochs=2).config


@pytest.mark.slow
def test_build_uses_the_chosen_functions_with_their_settings() -> None:
    learner = build(SMALL.vary({"loss": "smoothed", "share": 0.3, "of": 2, "augment": ("flip",), "probability": 1.0}))
    assert isinstance(learner.module, Small)
    assert (learner.module.units, learner.module.classes) == (3, 10)
    logits, labels = jnp.arange(30.0).reshape(3, 10) / 7, jnp.array([1, 2, 3])
    assert jnp.array_equal(learner.measures.loss(logits, labels), smoothed(logits, labels, 0.3))
    assert jnp.array_equal(learner.measures.metrics["certainty"](logits, labels), certainty(logits, labels, 2))
    images = jnp.arange(12.0).reshape(1, 3, 4, 1)
    [augment] = learner.augmentations.values()
    assert jnp.array_equal(augment(jax.random.key(0), images), images[:, :, ::-1])
    assert not build(Experiment()).measures.adds_cross_entropy
    assert build(SMALL.vary(loss="smoothed")).measures.adds_cross_entropy


def test_module_gets_what_it_takes_of_classes_dtype_and_fused() -> None:
    module = build_module(Experiment().vary(dtype="bfloat16", pooling=False), 7, fused=True)
    assert (module.classes, module.dtype, module.fused, module.pooling) == (7, jnp.bfloat16, True, False)
    refused(lambda: build_module(SMALL.vary(dtype="bfloat16"), 7), "--dtype=bfloat16: the model small has no field")
    not_a_module = Experiment(models={"number": lambda: 3}).vary(model="number")
    with pytest.raises(InputError, match=re.escape("--model=number: gives int, not a linen module.")):
        build_module(not_a_module, 7)


def two_inputs() -> Task:
    return Task(lambda images: {"image": images, "again": images}, lambda labels: labels)


@pytest.mark.parametrize("model", ["cnn", "dense", "logistic"])
def test_own_task_of_several_inputs_is_refused_for_a_model_of_one(model: str) -> None:
    experiment = Experiment(tasks={"two": two_inputs}).vary(model=model, task="two")
    words = f"--task=two: the model {model} takes one array of images, but this task gives "
    refused(lambda: build(experiment), words)


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({}, []),
        ({"schedule": "cosine"}, ["cosine schedule"]),
        ({"average": "ema"}, []),
        ({"schedule": "onecycle", "average": "swa"}, ["onecycle schedule", "swa average"]),
    ],
)
def test_parts_that_depend_on_the_number_of_all_steps(changes: dict, planned: list[str]) -> None:
    assert Experiment().vary(changes).planned_parts == planned


def test_setting_that_an_earlier_config_does_not_have_counts_with_its_default() -> None:
    experiment = Experiment().vary(pooling=False)
    earlier = Config(model=Part("cnn", pooling=False))  # as if widths were new
    assert experiment.differences(earlier) == {}
    assert Experiment().differences(earlier) == {"model.pooling": (False, True)}
    gone = Config(model=Part("gone"))
    assert Experiment().differences(gone)["model"] == (Part("gone"), Experiment().config.model)


def test_experiment_of_shipped_parts_is_the_same_in_another_process() -> None:
    experiment = Experiment().vary(widths=(4, 8), augment=("flip",))
    assert pickle.loads(pickle.dumps(experiment)).config == experiment.config
    refused(lambda: pickle.dumps(SMALL), "This experiment's parts are in no file")
