"""A user's own Python file: loading it by its path, its identity, and its errors in one line."""

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cnn_jax.errors import InputError, ProjectError

_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), os.path.dirname(__file__))
)


@dataclass(frozen=True)
class UserCode:
    """A user's file and the modules beside it that it imports. texts: their sources by file name.

    digest: SHA-256 of what the sources say, without comments, layout and docstrings.
    """

    path: Path
    texts: dict[str, str]
    digest: str


def load_module(path: Path) -> tuple[ModuleType, UserCode]:
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
    return sys.modules[name], _code(real)


def _run(name: str, path: Path, source: bytes) -> None:
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None, "the file's name ends in .py"
    sys.modules[name] = module = importlib.util.module_from_spec(specification)
    try:
        with user_errors():
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
    except Exception as error:  # a user's file may raise anything; its author needs the line and the reason
        place = _place(error) or defined_at(of).removesuffix(": ")
        if not place:
            raise
        said = error.msg if isinstance(error, SyntaxError) else str(error)  # the text of the first repeats the place
        reason = said.strip().partition("\n")[0]
        raise UserCodeError(f"{place}: {what and what + ': '}{type(error).__name__}: {reason}") from None


def defined_at(function: object) -> str:
    """Where a function or class of the user is defined, as `mine.py, line 7: `; empty where that is unknown."""
    while hasattr(function, "func"):  # of functools.partial
        function = function.func
    called = getattr(function, "__call__", None) if isinstance(function, type) else function  # noqa: B004
    code = getattr(inspect.unwrap(called), "__code__", None) if callable(called) else None
    if code and _is_users(code.co_filename):
        return f"{_short(code.co_filename)}, line {code.co_firstlineno}: "
    return _class_defined_at(function) if isinstance(function, type) else ""


def _class_defined_at(kind: type) -> str:
    try:
        file, (_, line) = inspect.getsourcefile(kind), inspect.getsourcelines(kind)
    except (OSError, TypeError):  # a class that no file defines
        return ""
    return f"{_short(file)}, line {line}: " if file and _is_users(file) else ""


def _place(error: Exception) -> str | None:
    """The last line of the user's own code that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename and _is_users(error.filename):
        return f"{_short(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_short(frames[-1].filename)}, line {frames[-1].lineno}" if frames else None


def _is_users(filename: str) -> bool:
    is_generated = filename.startswith(("<frozen", "<string>"))  # such as the methods of dataclasses
    return not is_generated and not os.path.realpath(filename).startswith(_LIBRARIES)


def _short(filename: str) -> str:
    """The path as seen from the working directory, where the file is in it."""
    relative = os.path.relpath(filename) if os.path.isabs(filename) else filename
    return filename if relative.startswith("..") else relative


def _code(path: Path) -> UserCode:
    texts: dict[str, str] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        name = file.relative_to(path.parent).as_posix()
        if name not in texts:
            texts[name] = file.read_text(encoding="utf-8")
            waiting += _neighbours(ast.parse(texts[name]), path.parent)
    said = {name: ast.dump(_without_docstrings(ast.parse(texts[name]))) for name in sorted(texts)}
    names = ["" if name == path.name else name for name in said]  # the main file may be renamed
    digest = hashlib.sha256(repr(list(zip(names, said.values(), strict=True))).encode()).hexdigest()
    return UserCode(path, texts, digest)


def _neighbours(tree: ast.AST, folder: Path) -> Iterator[Path]:
    """The files in the folder that a file imports."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = getattr(sys.modules.get(name), "__file__", None)
            if not file:
                continue
            found = Path(os.path.realpath(file))
            if found.is_relative_to(folder) and not str(found).startswith(_LIBRARIES) and found.suffix == ".py":
                yield found
            elif (folder / f"{name.replace('.', '/')}.py").is_file() and _is_users(str(found)):
                raise InputError(f"{folder}: {name}.py is not loaded, because {found} has the same name. Rename one.")


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree
