"""A user's own Python file: loading it by its path, its identity, and its errors in one line."""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import jax
import numpy as np

from cnn_jax.display import cell_of
from cnn_jax.errors import InputError, ProjectError

_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        site.getusersitepackages(),  # of `pip install --user`: it lies in the home folder, as the user's own files do
        os.path.dirname(__file__),
    )
)

_IMPORTS = "__cnn_jax_imports__"  # in a user's module: the names of the modules that were loaded while it ran


@dataclass(frozen=True)
class UserCode:
    """A user's file and the modules in its folder that it imports. sources: their bytes by file name.

    digest: SHA-256 of what the sources say, without comments, layout and docstrings.
    """

    path: Path
    sources: dict[str, bytes]
    digest: str


def load_module(path: Path) -> ModuleType:
    """Runs a Python file as a module under a name of its own, once for each content, and gives the module.

    The file's folder is appended to `sys.path`, so that it can import its neighbours, and standard modules of the same
    names stay what they are. Raises InputError, which names the line, where the file raises anything.
    """
    real = Path(os.path.realpath(path))
    try:
        source = real.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    name = f"cnn_jax_user_{hashlib.sha256(os.fsencode(real) + source).hexdigest()[:16]}"
    if str(real.parent) not in sys.path:
        sys.path.append(str(real.parent))
    if name not in sys.modules:
        _run(name, real, source)
    return sys.modules[name]


@contextmanager
def noted_imports(of: ModuleType) -> Iterator[None]:
    """Notes the modules that are loaded meanwhile in a user's module: importlib may load them by any name."""
    before = set(sys.modules)
    try:
        yield
    finally:
        vars(of).setdefault(_IMPORTS, set()).update(sys.modules.keys() - before)


def _run(name: str, path: Path, source: bytes) -> None:
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None, "the file's name ends in .py"
    sys.modules[name] = module = importlib.util.module_from_spec(specification)
    try:
        if b"\0" in source:
            raise InputError(f"{path}: is no Python file in UTF-8. Save it as UTF-8.")
        with user_errors(), noted_imports(module):
            exec(compile(source, str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise


class UserCodeError(InputError):
    """An InputError that names its place in the user's code."""


@contextmanager
def user_errors(what: str = "", of: object = None) -> Iterator[None]:
    """Turns an exception of the user's code, or of a library that it calls, into InputError with file and line.

    what: a text in front, such as `the loss`. of: the user's function or class, whose place is named where the
    exception passed through no line of the user's. An exception that has nothing to do with the user's code stays as it
    is. An InputError that the user's code causes gets its line in front.
    """
    try:
        yield
    except ProjectError as error:
        place = _place(error)
        if type(error) is not InputError or place is None:
            raise
        raise UserCodeError(f"{place}: {error}") from None
    except SystemExit as error:
        place = _place(error)
        if place is None:
            raise
        raise UserCodeError(f"{place}: the file calls sys.exit().") from None
    except Exception as error:  # a user's file may raise anything; its author needs the line and the reason
        place = _place(error) or defined_at(of).removesuffix(": ")
        if not place:
            raise
        said = error.msg if isinstance(error, SyntaxError) else str(error)  # the text of the first repeats the place
        reason = said.strip().partition("\n")[0]
        raise UserCodeError(f"{place}: {what and what + ': '}{type(error).__name__}: {reason}") from None


def defined_at(function: object) -> str:
    """Where a function or class of the user is defined, as `mine.py, line 7: `; empty where that is unknown."""
    while inner := getattr(function, "func", None) or getattr(function, "__wrapped__", None):  # as of functools.partial
        function = inner
    called = getattr(function, "__call__", None) if isinstance(function, type) else function  # noqa: B004
    code = getattr(inspect.unwrap(called), "__code__", None) if callable(called) else None
    if code and _is_users(code.co_filename):
        return f"{_short(code.co_filename)}, line {code.co_firstlineno}: "
    return _class_defined_at(function) if isinstance(function, type) else ""


def source_of(function: object) -> str:
    """The source of a function or class, its name where that is unknown, and what it was made with.

    That is what functools.partial holds, and what a function reads of the functions around it and of its globals:
    numbers, texts, arrays, and functions and classes of the user's.
    """
    return _source_of(function, set())


def _source_of(function: object, seen: set[int]) -> str:
    seen.add(id(function))
    made_with: list[tuple[str, object]] = []
    while isinstance(function, functools.partial):
        made_with += [("", value) for value in function.args] + sorted(function.keywords.items())
        function = function.func
    function = inspect.unwrap(function)  # type: ignore[arg-type]  # as of jax.jit
    try:
        source = inspect.getsource(function)  # type: ignore[arg-type]
    except (OSError, TypeError):  # of a library in C, or of a console
        source = getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(function, FunctionType):
        made_with += _read_around(function)
    values = [f"{name}={said}" for name, value in made_with if (said := _said(value, seen))]
    return f"{source}{values}" if values else source


def _read_around(function: FunctionType) -> list[tuple[str, object]]:
    """What a function reads of its globals and of the functions around it, by name."""
    code, around = function.__code__, function.__globals__
    found = {name: around[name] for name in code.co_names if name in around}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return sorted(found.items())


def _said(value: object, seen: set[int]) -> str:
    """What a value says of itself, the same in each process; nothing where that is unknown, as of a module."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list | dict) and id(value) not in seen:
        seen.add(id(value))  # it may hold itself
        members = value.items() if isinstance(value, dict) else value
        return repr([_said(member, seen) for member in members])
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array) and value.dtype != object:
        return f"{value.dtype} {value.shape} {hashlib.sha256(np.asarray(value).tobytes()).hexdigest()}"
    if isinstance(value, type | FunctionType | functools.partial) and defined_at(value) and id(value) not in seen:
        return _source_of(value, seen)
    return ""


def _class_defined_at(kind: type) -> str:
    try:
        file, (_, line) = inspect.getsourcefile(kind), inspect.getsourcelines(kind)
    except (OSError, TypeError):  # a class that no file defines
        return ""
    return f"{_short(file)}, line {line}: " if file and _is_users(file) else ""


def _place(error: BaseException) -> str | None:
    """The last line of the user's own code that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename and _is_users(error.filename):
        return f"{_short(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_short(frames[-1].filename)}, line {frames[-1].lineno}" if frames else None


def _is_users(filename: str) -> bool:
    is_generated = filename.startswith(("<frozen", "<string>"))  # such as the methods of dataclasses
    return not is_generated and not os.path.realpath(filename).startswith(_LIBRARIES)


def _short(filename: str) -> str:
    """The path as seen from the working directory, where the file is in it; of a notebook's cell, its number."""
    if cell := cell_of(filename):
        return cell
    relative = os.path.relpath(filename) if os.path.isabs(filename) else filename
    return filename if relative.startswith("..") else relative


def code_of(module: ModuleType) -> UserCode:
    """The code of a file that `load_module` gave, with all modules in its folder that it reaches. Raises InputError."""
    path = Path(os.path.realpath(str(module.__file__)))
    sources: dict[str, bytes] = {}
    trees: dict[str, ast.AST] = {}
    noted = [sys.modules[name] for name in vars(module).get(_IMPORTS, ()) if name in sys.modules]
    waiting = [(path, module), *_in_folder(path.parent, noted)]
    while waiting:
        file, loaded = waiting.pop()
        name = file.relative_to(path.parent).as_posix()
        if name not in sources:
            sources[name], trees[name] = _parsed(file)
            names = _imported_names(trees[name], _package(file, loaded, path.parent))
            waiting += _neighbours(names, path.parent)
    said = {name: ast.dump(_without_docstrings(trees[name])) for name in sorted(sources)}
    names = ["" if name == path.name else name for name in said]  # the main file may be renamed
    digest = hashlib.sha256(repr(list(zip(names, said.values(), strict=True))).encode()).hexdigest()
    return UserCode(path, sources, digest)


def _parsed(file: Path) -> tuple[bytes, ast.AST]:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}.") from None
    with user_errors():
        text = importlib.util.decode_source(source).removeprefix("\ufeff")  # by its byte order mark or coding comment
        return source, ast.parse(text, str(file))


_Found = tuple[Path, ModuleType | None]  # a file, and its module where it is loaded


def _in_folder(folder: Path, modules: Iterable[ModuleType]) -> Iterator[_Found]:
    """Those of the modules whose files are a user's and lie in the folder."""
    for module in modules:
        file = getattr(module, "__file__", None)
        found = Path(os.path.realpath(file)) if isinstance(file, str) else None
        if found and found.suffix == ".py" and found.is_relative_to(folder) and _is_users(str(found)):
            yield found, module


def _package(file: Path, module: ModuleType | None, folder: Path) -> str:
    """The package that relative imports of a file begin at."""
    return getattr(module, "__package__", None) or ".".join(file.relative_to(folder).parent.parts)


def _imported_names(tree: ast.AST, package: str) -> list[str]:
    """The full names of all that a file imports, and of their packages."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join(filter(None, [*above, node.module]))
            names += [start, *(f"{start}.{alias.name}" for alias in node.names)]
    parts = [name.split(".") for name in names]
    return list(dict.fromkeys(".".join(part[:count]) for part in parts for count in range(1, len(part) + 1)))


def _neighbours(names: Iterable[str], folder: Path) -> Iterator[_Found]:
    """The files in the folder that are imported by these names, also where that is still to come."""
    for name in names:
        module = sys.modules.get(name)
        found = list(_in_folder(folder, [module] if module else []))
        file = getattr(module, "__file__", None)
        beside = [folder / f"{name.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
        for own in filter(Path.is_file, [] if found or not all(name.split(".")) else beside):
            if file and _is_users(file):
                raise InputError(f"{folder}: {own.name} is not loaded, because {file} has the same name. Rename one.")
            if module is None and _is_first(name.partition(".")[0], folder):
                found.append((Path(os.path.realpath(own)), None))
        yield from found


def _is_first(name: str, folder: Path) -> bool:
    """Whether a top-level name, imported now, is a module of the folder."""
    try:
        specification = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [specification.origin, *(specification.submodule_search_locations or ())] if specification else []
    return any(Path(os.path.realpath(place)).is_relative_to(folder) for place in places if place)


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree
