"""Settings: the typed, named values that a function or class takes, read from its signature.

A keyword parameter is a setting where its annotation, or else the type of its default, is bool, int, float, str,
Literal, an optional of these, or a tuple or Sequence of these. All other parameters keep their defaults.
`Annotated[int, About("what it does", at_least=1)]` adds a help text and limits. NumPy's scalars are plain numbers.
"""

import collections.abc
import inspect
import json
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cnn_jax.errors import InputError

REQUIRED = inspect.Parameter.empty  # the default of a setting that has none
_PLAIN = (bool, int, float, str)
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_PLURALS = {bool: "true or false, with commas", int: "whole numbers", float: "numbers", str: "words"}


@dataclass(frozen=True)
class About:
    """What `Annotated` may add to a setting: a help text and limits, which hold for each member of a tuple too."""

    help: str = ""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Setting:
    """A setting. type: of the value, or of a tuple's members. length: of a tuple; None where any length is allowed."""

    name: str
    type: type
    default: Any = REQUIRED
    is_tuple: bool = False
    length: int | None = None
    is_optional: bool = False
    choices: tuple[Any, ...] = ()
    about: About = About()

    def read(self, text: str) -> Any:
        """The value from the text that a user typed. Raises ValueError, which says what is expected."""
        text = text.strip()
        if self.is_optional and text.lower() == "none":
            return None
        if not self.is_tuple:
            return _read(self.type, text)
        try:
            return tuple(_read(self.type, part.strip()) for part in text.removesuffix(",").split(",") if text != "()")
        except ValueError as error:
            words = re.findall(r"[^][(),\s]+", text)
            hint = (
                f"; several have commas alone between them: {','.join(words)}" if re.search(r"[][()\s]", text) else ""
            )
            raise ValueError(f"{error}{hint}") from None

    def check(self, value: Any, flag: str = "") -> Any:
        """The value, normalized: a whole number to float, a list to a tuple. Raises InputError if it is not allowed.

        flag: the name in the message; by default the setting's own.
        """
        value = plain(value)
        if value is None and self.is_optional:
            return None
        if self.is_tuple and isinstance(value, list | tuple):
            value = tuple(_widened(self.type, member) for member in value)
        elif not self.is_tuple:
            value = _widened(self.type, value)
        if complaint := self._type_complaint(value) or self._limit_complaint(value):
            raise InputError(f"--{flag or self.name}={shown(value)}: {complaint}.")
        return value

    @property
    def expected(self) -> str:
        """The type in words, as in `whole numbers`."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        words = (_PLURALS if self.is_tuple else _WORDS)[self.type]
        return f"{words}, or none" if self.is_optional else words

    def _type_complaint(self, value: Any) -> str | None:
        members = value if self.is_tuple and type(value) is tuple else (value,)
        is_right = (not self.is_tuple or type(value) is tuple) and all(type(member) is self.type for member in members)
        if is_right and self.length not in (None, len(members)):
            return f"must have {self.length} members"
        return None if is_right else f"must be {self.expected}"

    def _limit_complaint(self, value: Any) -> str | None:
        about = self.about
        for member in value if self.is_tuple else (value,):
            if isinstance(member, float) and not math.isfinite(member):
                return "must be a finite number"
            if self.choices and member not in self.choices:
                return f"must be {self.expected}"
            if about.pattern and not re.fullmatch(about.pattern, member):
                return "is not a name"
            if about.at_least is not None and member < about.at_least:
                return f"must be at least {about.at_least}"
            if about.at_most is not None and member > about.at_most:
                return f"must be at most {about.at_most:,}"
            if about.above is not None and not member > about.above:
                return f"must be above {about.above:g}"
        return None


def settings_of(function: Callable, *, leading: int = 0, supplied: Collection[str] = ()) -> dict[str, Setting]:
    """The settings of a function or of a class such as a linen module, by name.

    leading: how many first parameters are no settings. supplied: parameters that the caller provides.
    """
    parameters = list(inspect.signature(function).parameters.values())[leading:]
    named = [p for p in parameters if p.name not in supplied and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    found = [setting_from(p.name, _resolved(p.annotation, function), p.default) for p in named]
    return {setting.name: setting for setting in found if setting}


def takes(function: Callable, parameter: str) -> bool:
    """Whether a function has a parameter of this name."""
    return parameter in inspect.signature(function).parameters


def setting_from(name: str, annotation: Any, default: Any = REQUIRED) -> Setting | None:
    """The setting of an annotation and a default; None where these are not of a setting.

    Where the annotation is not of a setting, the type of the default decides.
    """
    about, default = About(), plain(default)
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        about = next((extra for extra in extras if isinstance(extra, About)), about)
    if annotation in (REQUIRED, Any):
        annotation = _type_of(default)
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    kinds = [member for member in members if member is not types.NoneType]
    form = (_form(kinds[0]) if len(kinds) == 1 else None) or _form(_type_of(default))
    is_optional = len(kinds) < len(members) or default is None
    return Setting(name, default=default, is_optional=is_optional, about=about, **form) if form else None


def _form(annotation: Any) -> dict[str, Any] | None:
    """What is known of a setting from its type without None."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal and len({type(choice) for choice in arguments}) == 1 and type(arguments[0]) in _PLAIN:
        return {"type": type(arguments[0]), "choices": arguments}
    if origin is collections.abc.Sequence:
        origin, arguments = tuple, (*arguments, Ellipsis)
    if origin is tuple and arguments:
        kinds = {argument for argument in arguments if argument is not Ellipsis}
        form = _form(kinds.pop()) if len(kinds) == 1 else None
        is_simple = form and not form.get("is_tuple")
        length = None if Ellipsis in arguments else len(arguments)
        return {**form, "is_tuple": True, "length": length} if form and is_simple else None
    return {"type": annotation} if annotation in _PLAIN else None


def _type_of(default: Any) -> Any:
    """The annotation that a default stands for."""
    if isinstance(default, tuple) and default and len(set(map(type, default))) == 1:
        return tuple[type(default[0]), ...]  # type: ignore[misc]
    return type(default)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _resolved(annotation: Any, function: Any) -> Any:
    """The annotation; a text, as `from __future__ import annotations` leaves it, is evaluated where it was written."""
    if not isinstance(annotation, str):
        return annotation
    while hasattr(function, "func"):  # of functools.partial
        function = function.func
    module = sys.modules.get(getattr(function, "__module__", ""))
    names = {**vars(typing), **getattr(function, "__globals__", {}), **(vars(module) if module else {})}
    try:
        return eval(annotation, names)  # the text is code of the same file as the function, which runs anyway
    except Exception:  # names that exist for type checkers alone: the default's type decides
        return REQUIRED


def plain(value: Any) -> Any:
    """The value, with plain numbers for scalars of NumPy and JAX, also in a list or tuple."""
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def as_text(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(as_text, value)) or "()"
    return str(value)


def shown(value: Any) -> str:
    """The value as it is typed, shortened if it is too long for one line."""
    is_typed = value is None or isinstance(value, tuple | bool | int | float | str)
    text = as_text(value) if is_typed else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(kind: type, text: str) -> Any:
    if kind is bool:
        words: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError("must be true or false")
        return words[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"must be {_WORDS[kind]}") from None


def _widened(kind: type, value: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value) if abs(value) < 1 << 64 else math.inf
    return value
