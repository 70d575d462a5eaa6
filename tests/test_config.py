"""Config: validated, frozen, the same after a way through JSON or the command line."""

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.config import (
    FIELDS,
    LONGEST_SETTINGS,
    PART_FIELDS,
    Config,
    Part,
    config_differences,
    config_from_mapping,
    differences_in_words,
    run_name,
)
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.settings import as_text

names = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z")
numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
settings_of_parts = st.dictionaries(
    names.filter(lambda name: name != "name"), numbers | st.lists(numbers, max_size=3).map(tuple), max_size=3
)
parts = st.builds(lambda name, settings: Part(name, **settings), names, settings_of_parts)
several_parts = st.lists(parts, max_size=3, unique_by=lambda part: part.name).map(tuple)

valid_configs = st.builds(
    Config,
    dataset=st.sampled_from(["mnist", "kmnist"]) | parts,
    train_examples=st.none() | st.integers(1, 60_000),
    validation_examples=st.integers(0, 60_000),
    augment=several_parts,
    model=parts,
    loss=parts,
    metrics=st.none() | several_parts,
    optimizer=parts,
    average=parts,
    learning_rate=st.floats(0, 1e300, exclude_min=True),
    epochs=st.integers(1, 1_000_000),
    seed=st.integers(0, 2**32 - 1),
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)

# Fields of the first version alone.
FIRST = ("view", "glyph_seed", "widths", "kernel_size", "pooling")

# A config.json as the first version wrote it.
FIRST_VERSION: dict[str, Any] = {
    "experiment": "lecture_cnn",
    "dataset": "mnist",
    "train_examples": 64,
    "validation_examples": 3,
    "view": "plain",
    "glyph_seed": 0,
    "model": "cnn",
    "widths": None,
    "kernel_size": 3,
    "pooling": True,
    "optimizer": "momentum",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "epochs": 7,
    "batch_size": 32,
    "dtype": "bfloat16",
    "matmul_precision": "bfloat16",
    "seed": 5,
}


@given(valid_configs)
def test_config_survives_json(config: Config) -> None:
    read = config_from_mapping(json.loads(config.to_json()), "test")
    assert read == config
    assert read.to_json() == config.to_json()
    assert len({config, read}) == 1, "equal configs have equal hashes"


@given(valid_configs)
def test_every_field_survives_the_command_line(config: Config) -> None:
    for name, field in FIELDS.items():
        value = getattr(config, name)
        read = field.read(as_text(value))
        if name not in PART_FIELDS:
            assert read == value
        elif isinstance(value, Part):
            assert read == value.name  # settings of parts have flags of their own
        else:
            assert read == (value and tuple(part.name for part in value))


@given(st.dictionaries(names.filter(lambda name: name != "name"), numbers, max_size=3))
def test_part_is_the_same_in_any_order_of_its_settings(settings: dict[str, Any]) -> None:
    part, other = Part("cnn", **settings), Part("cnn", **dict(reversed(settings.items())))
    assert part == other
    assert len({part, other}) == 1
    assert part.settings == settings
    assert all(part[name] == value for name, value in settings.items())
    assert part != Part("dense", **settings)
    assert part != part.with_settings(one_more=1)
    assert part.with_settings(one_more=1).settings == {**settings, "one_more": 1}
    assert part.settings == settings, "with_settings makes another part"


def test_part_shows_itself_as_it_is_written() -> None:
    part = Part("cnn", widths=[4, 8], pooling=False)
    assert eval(repr(part)) == part
    assert repr(part) == "Part('cnn', pooling=False, widths=(4, 8))"
    assert (str(part), part.as_mapping()) == ("cnn", {"name": "cnn", "pooling": False, "widths": (4, 8)})
    assert Config(model=part).model == part
    assert Config(model="cnn").model == Part("cnn")
    assert Config(augment=["shift", Part("flip")]).augment == (Part("shift"), Part("flip"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.name = "dense"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Part("../../etc"), "../../etc: is not a name."),
        (lambda: Part("two words"), "two words: is not a name."),
        (lambda: Part(3), "3: is not a name."),  # type: ignore[arg-type]
        (lambda: Part("cnn", name="dense"), "name: is reserved for the name of the part"),
        (lambda: Part("cnn", layers={"a": 1}), "layers="),
        (lambda: Part("cnn", layers=((1, 2), (3,))), "layers="),
        (lambda: Part("cnn", function=len), "function="),
    ],
)
def test_part_that_cannot_be_stored_is_refused(make: Any, complaint: str) -> None:
    with pytest.raises(InputError) as refusal:
        make()
    assert str(refusal.value).startswith(complaint)


@pytest.mark.slow
@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from([*FIELDS, *FIRST]), anything, max_size=5) | anything)
def test_any_json_is_a_config_or_an_input_error(values: object) -> None:
    try:
        config = config_from_mapping(values, "somewhere.json")
    except InputError as error:
        assert str(error).startswith("somewhere.json: ")
        assert "\n" not in str(error)
    else:
        assert isinstance(config, Config)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("epochs", 0, "must be at least 1"),
        ("epochs", 1.5, "must be a whole number"),
        ("epochs", True, "must be a whole number"),
        ("batch_size", 0, "must be at least 1"),
        ("learning_rate", -1.0, "must be above 0"),
        ("learning_rate", 0.0, "must be above 0"),
        ("learning_rate", float("nan"), "must be a finite number"),
        ("learning_rate", float("inf"), "must be a finite number"),
        ("dtype", "float16", "must be one of float32, bfloat16"),
        ("dataset", "../../etc", "is not a name"),
        ("experiment", "../mine", "is not a name"),
        ("seed", -1, "must be at least 0"),
        ("augment", "shift", "must be names"),
    ],
)
def test_bad_value_is_an_input_error_that_names_the_flag(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InputError, match=rf"--{name}=.*{complaint}"):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("augment", ("shift", "flip", "shift"), "--augment: shift is named twice."),
        ("augment", ("shift", "a b"), "--augment=a b: is not a name."),
        ("model", None, "--model: none: is not a name."),
        ("model", {"name": "cnn", "widths": {}}, "--model: widths={}: is no setting"),
    ],
)
def test_bad_part_is_an_input_error_that_names_the_flag(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InputError) as refusal:
        Config(**{name: value})
    assert str(refusal.value).startswith(complaint)


def test_a_glyph_seed_is_refused_where_no_glyphs_are_drawn() -> None:
    config = Experiment(Config(dataset=Part("glyphs", seed=3))).config
    assert config.value("dataset.seed") == config.dataset["seed"] == 3
    with pytest.raises(
        InputError, match=r"^--dataset.seed: the dataset mnist has no setting seed\. It has normalize\."
    ):
        Experiment(Config(dataset=Part("mnist", seed=3)))


def test_unknown_field_in_json_is_refused_and_the_near_miss_named() -> None:
    with pytest.raises(InputError, match="Did you mean batch_size"):
        config_from_mapping({"batchsize": 3}, "config.json")


def test_whole_number_serves_where_a_float_is_expected() -> None:
    assert Config(learning_rate=1).learning_rate == 1.0  # JSON writers may drop the fraction


def test_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, {}),
        ({"widths": [4, 8], "pooling": False}, {"model": Part("cnn", widths=(4, 8), pooling=False)}),
        ({"kernel_size": 5}, {"model": Part("cnn", kernel_size=5)}),
        ({"view": "permuted"}, {"task": "permuted"}),
        (
            {"model": "graph", "view": "with_metadata", "widths": [8, 16]},
            {"model": Part("two_inputs_two_outputs", widths=(8, 16)), "task": "with_metadata"},
        ),
        ({"model": "dense", "widths": []}, {"model": Part("dense", widths=())}),
        ({"model": "logistic"}, {"model": "logistic"}),
        ({"dataset": "glyphs", "glyph_seed": 3}, {"dataset": Part("glyphs", seed=3)}),
        ({"dataset": "glyphs", "glyph_seed": 0}, {"dataset": Part("glyphs", seed=0)}),
        ({"dataset": "x_and_o"}, {"dataset": "x_and_o"}),
    ],
)
def test_config_of_the_first_version_is_translated(changes: dict, parts: dict) -> None:
    stored = FIRST_VERSION | changes
    unchanged = {name: value for name, value in stored.items() if name not in (*FIRST, "model", "dataset")}
    before = dict(stored)
    found = Experiment(config_from_mapping(stored, "config.json")).config
    assert stored == before, "the caller's values stay as they are"
    assert found == Experiment(Config(**{"dataset": stored["dataset"]} | unchanged | parts)).config


def test_unknown_field_beside_those_of_the_first_version_is_refused() -> None:
    with pytest.raises(InputError, match=r"^config.json: field=widht: no such field of a config"):
        config_from_mapping(FIRST_VERSION | {"widht": 3}, "config.json")


def test_parts_and_values_have_full_names() -> None:
    config = Experiment().vary(augment=(Part("flip"), Part("shift", pixels=3)), epochs=2).config
    assert list(config.parts()) == [
        *("dataset", "augment.flip", "augment.shift", "task"),
        *("model", "loss", "optimizer", "schedule", "average"),
    ]
    values = {"augment.shift.pixels": 3, "augment.flip.probability": 0.5, "model.pooling": True, "epochs": 2}
    assert {name: config.value(name) for name in values} == values


def test_differences_name_settings_of_the_same_part_and_parts_that_differ() -> None:
    one = Experiment()
    for changes, expected in (
        ({}, {}),
        ({"pooling": False}, {"model.pooling": (True, False)}),
        ({"epochs": 6, "decay": 0.5}, {"epochs": (5, 6), "optimizer.decay": (0.9, 0.5)}),
        ({"model": "logistic"}, {"model": (one.config.model, Part("logistic"))}),
        ({"augment": ("flip",)}, {"augment": ((), (Part("flip", probability=0.5),))}),
    ):
        assert config_differences(one.config, one.vary(changes).config) == expected
    shifted = one.vary(augment=("shift", "flip"))
    assert config_differences(shifted.config, shifted.vary(pixels=3).config) == {"augment.shift.pixels": (2, 3)}
    turned = one.vary(augment=("flip", "shift")).config
    assert list(config_differences(shifted.config, turned)) == ["augment"], "the order counts"


def test_differences_are_said_as_they_are_typed() -> None:
    one, other = (Experiment().vary(changes).config for changes in ({}, {"pooling": False, "train_examples": 7}))
    words = differences_in_words(config_differences(one, other))
    assert words == "train_examples: none there, 7 now; model.pooling: true there, false now"
    words = differences_in_words(config_differences(one, Experiment().vary(model="logistic").config))
    assert words == "model: cnn there, logistic now"


def test_run_name_shows_experiment_dataset_seed_and_what_changed() -> None:
    config = Experiment().vary(learning_rate=3e-4, widths=(8, 16), seed=7).config
    name = run_name(config, ["seed", "learning_rate", "model.widths"])
    assert name == "lecture_cnn-mnist-seed7-model.widths=8,16-learning_rate=0.0003"
    assert run_name(config) == "lecture_cnn-mnist-seed7"
    assert run_name(config, many_seeds=True) == "lecture_cnn-mnist-seeds-from-7"
    assert run_name(config, ["experiment", "dataset", "seed"]) == run_name(config)
    config = Experiment().vary(augment=("shift", "flip"), pixels=3).config
    name = run_name(config, ["augment.shift.pixels", "augment"])
    assert name == "lecture_cnn-mnist-seed0-augment.shift.pixels=3-augment=shift,flip"


def test_run_name_is_one_folder() -> None:
    config = Config(model=Part("mine", file="a/b"))
    assert run_name(config, ["model.file"]) == "lecture_cnn-mnist-seed0-model.file=a_b"


def test_hash_stands_for_settings_that_are_too_long_for_a_name() -> None:
    def name(*widths: int) -> str:
        return run_name(Experiment().vary(widths=widths).config, ["model.widths"])

    fits = (65_536,) * 31 + (5,)
    assert len(f"model.widths={as_text(fits)}") == LONGEST_SETTINGS == 200
    assert name(*fits) == f"lecture_cnn-mnist-seed0-model.widths={as_text(fits)}"
    is_hashed = r"lecture_cnn-mnist-seed0-[0-9a-f]{16}"
    hashes = [name(*(65_536,) * 31, last) for last in (15, 16, 15)]
    for found in hashes:
        assert re.fullmatch(is_hashed, found)
    assert hashes[0] == hashes[2] != hashes[1]


def test_every_field_has_help_text() -> None:
    assert all(field.about.help for field in FIELDS.values())
