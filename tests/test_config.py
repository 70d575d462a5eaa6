"""Config: validated, frozen, the same after a way through JSON or the command line."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.config import FIELDS, Config, as_text, config_from_mapping, from_text, run_name
from cnn_jax.errors import InputError

valid_configs = st.builds(
    Config,
    dataset=st.sampled_from(["mnist", "kmnist"]),
    train_examples=st.none() | st.integers(1, 60_000),
    validation_examples=st.integers(0, 60_000),
    widths=st.none() | st.lists(st.integers(1, 65_536), max_size=4).map(tuple),
    pooling=st.booleans(),
    optimizer=st.sampled_from(FIELDS["optimizer"].metadata["choices"]),
    learning_rate=st.floats(0, 1e300, exclude_min=True),
    epochs=st.integers(1, 1_000_000),
    seed=st.integers(0, 2**32 - 1),
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(valid_configs)
def test_config_survives_json(config: Config) -> None:
    assert config_from_mapping(json.loads(config.to_json()), "test") == config


@given(valid_configs)
def test_every_field_survives_the_command_line(config: Config) -> None:
    for name, field in FIELDS.items():
        value = getattr(config, name)
        assert from_text(field, as_text(value)) == value


@pytest.mark.fuzz
@given(st.dictionaries(st.sampled_from(list(FIELDS)), anything, max_size=4) | anything)
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
        ("widths", (32, 0), "must be at least 1"),
        ("widths", (1.5,), "must be whole numbers"),
        ("optimizer", "rmspropp", "must be one of rmsprop"),
        ("dataset", "../../etc", "is not a name"),
        ("experiment", "../mine", "is not a name"),
        ("seed", -1, "must be at least 0"),
    ],
)
def test_bad_value_is_an_input_error_that_names_the_flag(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InputError, match=rf"--{name}=.*{complaint}"):
        Config(**{name: value})


def test_a_glyph_seed_is_refused_where_no_glyphs_are_drawn() -> None:
    assert Config(dataset="glyphs", glyph_seed=3).glyph_seed == 3
    with pytest.raises(InputError, match=r"^--glyph_seed=3: has no meaning with --dataset=mnist, only with glyphs\.$"):
        Config(dataset="mnist", glyph_seed=3)


def test_unknown_field_in_json_is_refused_and_the_near_miss_named() -> None:
    with pytest.raises(InputError, match="Did you mean batch_size"):
        config_from_mapping({"batchsize": 3}, "config.json")


def test_whole_number_serves_where_a_float_is_expected() -> None:
    assert Config(learning_rate=1).learning_rate == 1.0  # JSON writers may drop the fraction


def test_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]


def test_run_name_shows_experiment_dataset_seed_and_what_changed() -> None:
    config = Config(learning_rate=3e-4, widths=(8, 16), seed=7)
    name = run_name(config, ["seed", "widths", "learning_rate"])
    assert name == "lecture_cnn-mnist-seed7-widths=8,16-learning_rate=0.0003"


def test_every_field_has_help_text() -> None:
    assert all(field.metadata["help"] for field in FIELDS.values())
