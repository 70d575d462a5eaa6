"""Settings: which parameters of a function are some, and what their values may be."""

import functools
import math
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.errors import InputError
from cnn_jax.settings import REQUIRED, About, Setting, as_text, setting_from, settings_of, shown, takes
from tests.conftest import PROJECT


def form(setting: Setting | None) -> tuple | None:
    """What an annotation alone decides."""
    return setting and (setting.type, setting.is_tuple, setting.length, setting.is_optional, setting.choices)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, (bool, False, None, False, ())),
        (int, (int, False, None, False, ())),
        (float, (float, False, None, False, ())),
        (str, (str, False, None, False, ())),
        (Literal["same", "valid"], (str, False, None, False, ("same", "valid"))),
        (Literal[1, 2], (int, False, None, False, (1, 2))),
        (int | None, (int, False, None, True, ())),
        (Optional[float], (float, False, None, True, ())),  # noqa: UP045 - users may write it so
        (Union[None, str], (str, False, None, True, ())),  # noqa: UP007
        (Literal["a"] | None, (str, False, None, True, ("a",))),
        (tuple[int, ...], (int, True, None, False, ())),
        (tuple[float, float], (float, True, 2, False, ())),
        (tuple[str], (str, True, 1, False, ())),
        (tuple[bool, ...] | None, (bool, True, None, True, ())),
        (tuple[Literal["a", "b"], ...], (str, True, None, False, ("a", "b"))),
        (Sequence[int], (int, True, None, False, ())),
        (typing.Sequence[float] | None, (float, True, None, True, ())),
    ],
)
def test_annotations_that_are_settings(annotation: Any, expected: tuple) -> None:
    for default in (REQUIRED, "unrelated"):
        assert form(setting_from("x", annotation, default)) == expected
    assert form(setting_from("x", Annotated[annotation, "a comment", About("what it is")])) == expected
    optional = (*expected[:3], True, expected[4])
    assert form(setting_from("x", annotation, None)) == optional  # `x: int = None`


@pytest.mark.parametrize(
    "annotation",
    [
        *(None, object, dict, list, tuple, complex, bytes, Path, Callable, jnp.ndarray, Callable[[int], int]),
        *(
            list[int],
            dict[str, int],
            set[int],
            tuple[int, str],
            tuple[tuple[int, ...], ...],
            tuple[Any, ...],
            tuple[()],
        ),
        *(int | str, int | str | None, int | list[int], Literal[1, "a"], Literal[b"a"], Annotated[list[int], About()]),
    ],
)
def test_annotations_that_are_none(annotation: Any) -> None:
    for default in (REQUIRED, None, len, float, [1], Path("x")):
        assert setting_from("x", annotation, default) is None
    decided = setting_from("x", annotation, 3)
    assert decided is not None and decided.type is int, "the default decides"


def test_default_decides_the_settings_of_a_function_of_optax() -> None:
    found = settings_of(functools.partial(optax.sgd, momentum=0.9), leading=1)
    assert {name: (setting.type, setting.default) for name, setting in found.items()} == {
        "momentum": (float, 0.9),
        "nesterov": (bool, False),
    }


def test_none_is_called_so_in_an_error() -> None:
    with pytest.raises(InputError, match=re.escape("--x=none: must be a whole number.")):
        Setting("x", int).check(None)


def test_scalars_of_numpy_and_jax_are_plain_numbers() -> None:
    for kind, value, expected in [
        (float, np.float64(0.1), 0.1),
        (float, np.int64(3), 3.0),
        (int, np.int64(3), 3),
        (bool, np.bool_(True), True),
        (str, np.str_("a"), "a"),
        (int, jnp.int32(3), 3),
    ]:
        found = Setting("x", kind).check(value)
        assert (found, type(found)) == (expected, type(expected))
        assert Setting("x", kind, is_tuple=True).check([value, value]) == (expected, expected)
    default = setting_from("x", REQUIRED, np.float64(0.5))
    assert default is not None and (default.type, type(default.default)) == (float, float)
    with pytest.raises(InputError, match=re.escape("--x=1.5: must be a whole number.")):
        Setting("x", int).check(np.float64(1.5))


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        (True, (bool, False, None, False, ())),
        (3, (int, False, None, False, ())),
        (0.5, (float, False, None, False, ())),
        ("same", (str, False, None, False, ())),
        ((3, 3), (int, True, None, False, ())),
        (("a",), (str, True, None, False, ())),
        *((other, None) for other in ((), (1, "a"), ((1, 2), (3, 4)), None, [1], {}, len, jnp.float32, REQUIRED)),
    ],
)
def test_default_alone_decides_where_there_is_no_annotation(default: Any, expected: tuple | None) -> None:
    for annotation in (REQUIRED, Any):
        assert form(setting_from("x", annotation, default)) == expected


def everything(
    first,
    second: int,
    third: Annotated[int, About("how many", at_least=1)] = 3,
    untyped=0.5,
    function: Callable = len,
    *rest: int,
    required: bool,
    dtype: Any = jnp.float32,
    classes: int = 10,
    **more: int,
) -> None:
    pass


def test_settings_are_the_named_parameters_after_the_leading_ones() -> None:
    found = settings_of(everything, leading=2, supplied={"classes"})
    assert list(found) == ["third", "untyped", "required"]
    assert found["third"] == Setting("third", int, 3, about=About("how many", at_least=1))
    assert [found[name].default for name in found] == [3, 0.5, REQUIRED]
    assert list(settings_of(everything, supplied={"classes"})) == ["second", "third", "untyped", "required"]
    assert takes(everything, "classes")
    assert not takes(everything, "steps")


class Module(nn.Module):
    """A module as a user writes one."""

    classes: int
    widths: Annotated[tuple[int, ...], About(at_least=1)] = (4, 8)
    rate: float = 0.5
    activation: Callable = nn.relu


def test_fields_of_a_module_are_its_settings() -> None:
    found = settings_of(Module, supplied={"classes", "parent", "name"})
    assert list(found) == ["widths", "rate"]
    assert found["widths"].about.at_least == 1


FUTURE = """
from __future__ import annotations
import typing
from typing import TYPE_CHECKING, Annotated, Literal
from flax import linen as nn
from cnn_jax.settings import About
if TYPE_CHECKING:
    from nowhere import Number

Widths = tuple[int, ...]

def function(
    x: Number, widths: Widths = (4,), kind: Literal["a", "b"] = "a", rate: float | None = None,
    limited: Annotated[int, About(at_least=1)] = 2, for_checkers: Number = 5, other: list[int] = (),
    spelt: typing.Optional[int] = None,
): ...

class Module(nn.Module):
    widths: Widths = (4, 8)
    rate: Annotated[float, About(at_most=1)] = 0.5
    activation: typing.Callable = nn.relu
"""


@pytest.fixture
def future(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module whose annotations are text."""
    module = types.ModuleType("made_of_text")
    monkeypatch.setitem(sys.modules, "made_of_text", module)
    exec(compile(FUTURE, "made_of_text.py", "exec", dont_inherit=True), vars(module))
    return vars(module)


def test_annotations_that_are_text_are_evaluated_where_they_are_written(future: dict[str, Any]) -> None:
    for function in (future["function"], functools.partial(future["function"], other=[1])):
        found = settings_of(function, leading=1)
        assert {name: form(setting) for name, setting in found.items()} == {
            "widths": (int, True, None, False, ()),
            "kind": (str, False, None, False, ("a", "b")),
            "rate": (float, False, None, True, ()),
            "limited": (int, False, None, False, ()),
            "for_checkers": (int, False, None, False, ()),  # by its default
            "spelt": (int, False, None, True, ()),
        }
        assert found["limited"].about.at_least == 1
    fields = settings_of(future["Module"], supplied={"parent", "name"})
    assert {name: setting.type for name, setting in fields.items()} == {"widths": int, "rate": float}
    assert fields["rate"].about.at_most == 1


values = {bool: st.booleans(), int: st.integers(), float: st.floats(allow_nan=False, allow_infinity=False)}
typed = st.sampled_from(list(values)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(values[kind], max_size=4)))


@given(typed)
def test_value_survives_the_command_line(given_values: tuple[type, list]) -> None:
    kind, members = given_values
    several = Setting("x", kind, is_tuple=True)
    assert several.read(as_text(tuple(members))) == several.check(members) == tuple(members)
    optional = Setting("x", kind, is_optional=True)
    for value in (*members, None):
        read = optional.read(as_text(value))
        assert (read, type(read)) == (value, type(value))
        assert optional.check(value) == value


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        *((bool, text, True) for text in ("true", "True", "1", " true ")),
        *((bool, text, False) for text in ("false", "FALSE", "0")),
        (bool, "yes", "must be true or false"),
        (int, "3.0", "must be a whole number"),
        (int, "", "must be a whole number"),
        (float, "3", 3.0),
        (float, "fast", "must be a number"),
        (str, " same ", "same"),
    ],
)
def test_text_is_read_as_the_type_says(kind: type, text: str, expected: object) -> None:
    setting = Setting("x", kind)
    if isinstance(expected, str) and kind is not str:
        with pytest.raises(ValueError, match=expected):
            setting.read(text)
    else:
        assert (setting.read(text), type(setting.read(text))) == (expected, kind)


@pytest.mark.parametrize(("text", "expected"), [("4,8", (4, 8)), ("4, 8,", (4, 8)), ("4", (4,)), ("()", ())])
def test_text_of_several_values(text: str, expected: tuple) -> None:
    assert Setting("x", int, is_tuple=True).read(text) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "complaint"),
    [
        (int, True, "must be a whole number"),
        (int, 3.0, "must be a whole number"),
        (int, None, "must be a whole number"),
        (int | None, "3", "must be a whole number, or none"),
        (bool, 1, "must be true or false"),
        (str, 3, "must be text"),
        (float, "fast", "must be a number"),
        (float, math.nan, "must be a finite number"),
        (float, math.inf, "must be a finite number"),
        (tuple[float, ...], (1.0, math.nan), "must be a finite number"),
        (tuple[int, ...], 3, "must be whole numbers"),
        (tuple[int, ...], (3, "a"), "must be whole numbers"),
        (tuple[int, int], (1, 2, 3), "must have 2 members"),
        (Literal["a", "b"], "c", "must be one of a, b"),
        (tuple[Literal["a", "b"], ...], ("a", "c"), "must be one of a, b"),
        (Annotated[int, About(at_least=2)], 1, "must be at least 2"),
        (Annotated[int, About(at_most=2000)], 2001, "must be at most 2,000"),
        (Annotated[float, About(above=0)], 0.0, "must be above 0"),
        (Annotated[float | None, About(above=0)], -1.0, "must be above 0"),
        (Annotated[tuple[int, ...], About(at_least=1)], (2, 0), "must be at least 1"),
        (Annotated[str, About(pattern="[a-z]+")], "A", "is not a name"),
    ],
)
def test_value_that_is_not_allowed_is_refused_under_its_flag(annotation: Any, value: Any, complaint: str) -> None:
    setting = setting_from("x", annotation)
    assert setting is not None
    for flag, name in (("", "x"), ("model.x", "model.x")):
        with pytest.raises(InputError) as refusal:
            setting.check(value, flag)
        assert str(refusal.value) == f"--{name}={shown(value)}: {complaint}."


@pytest.mark.parametrize(
    ("annotation", "value", "normalized"),
    [
        (float, 1, 1.0),
        (tuple[float, ...], [1, 2.5], (1.0, 2.5)),
        (tuple[int, int], [1, 2], (1, 2)),
        (int | None, None, None),
        (Annotated[float, About(at_least=0, at_most=1)], 1, 1.0),
        (Annotated[tuple[int, ...] | None, About(at_least=1)], (), ()),
        (Literal["a", "b"], "b", "b"),
        (Annotated[str, About(pattern="[a-z]+")], "abc", "abc"),
    ],
)
def test_allowed_value_is_normalized(annotation: Any, value: Any, normalized: Any) -> None:
    setting = setting_from("x", annotation)
    assert setting is not None
    found = setting.check(value)
    assert (found, type(found)) == (normalized, type(normalized))
    assert not isinstance(found, tuple) or list(map(type, found)) == list(map(type, normalized))


def test_whole_number_that_no_float_can_hold_is_refused() -> None:
    with pytest.raises(InputError, match="--x=inf: must be a finite number"):
        Setting("x", float).check(10**400)


def test_long_value_is_shortened_in_a_message() -> None:
    assert shown("x" * 60) == "x" * 60
    assert shown("x" * 61) == "x" * 57 + "..."
    assert shown({"a": None}) == '{"a": null}'


def test_reading_settings_loads_no_large_library() -> None:
    check = "import sys; from cnn_jax import settings; assert not {'jax', 'numpy', 'flax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], cwd=PROJECT, check=True, timeout=60)
