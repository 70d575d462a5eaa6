"""The house keeps its plan: who imports whom, and what an import costs."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnn_jax

PROJECT = Path(__file__).parents[1]
LEAVES = {
    "config",
    "display",
    "settings",
    "errors",
    "files",
    "output",
    "plain_paths",
    "numerics",
    "synonyms",
    "compilation",
    "program",
    "user_code",
}
MAY_IMPORT = {
    "errors": set(),
    "display": set(),
    "files": {"errors"},
    "program": set(),
    "plain_paths": set(),
    "output": set(),
    "synonyms": set(),
    "settings": {"errors"},
    "user_code": {"display", "errors"},
    "config": {"display", "errors", "files", "settings"},
    "numerics": set(),
    "compilation": {"errors", "numerics"},
    "data": LEAVES,
    "ops": LEAVES,
    "models": LEAVES | {"ops"},
    "training": LEAVES | {"data", "ops", "models"},
    "experiment": LEAVES | {"data", "models", "training"},
    "report": LEAVES,
    "runs": LEAVES | {"cnn_jax", "data", "models", "training", "experiment", "report"},
    "studies": LEAVES | {"data", "ops", "models", "training", "experiment", "report", "runs"},
    "experiments": {"cnn_jax", "errors", "files"},
    "run": {
        "cnn_jax",
        "numerics",
        "config",
        "errors",
        "files",
        "output",
        "program",
        "settings",
        "synonyms",
        "experiments",
        "runs",
    },
}


def imports(path: Path) -> Iterator[str]:
    """Full names of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Installed, run.py and experiments lie in one package, whose name is not theirs in a checkout.
            assert node.level == 0 or path == PROJECT / "run.py", f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names)


def room(dotted: str) -> str | None:
    """The room that a full name belongs to; `cnn_jax` for the public names; None outside the project."""
    parts = dotted.split(".")
    if parts[0] == "cnn_jax":
        return parts[1] if len(parts) > 1 and parts[1] not in cnn_jax.__all__ else "cnn_jax"
    return parts[0] if parts[0] in ("experiments", "run", "tests") else None


def sources() -> list[Path]:
    files = [*PROJECT.glob("cnn_jax/*/**/*.py"), *PROJECT.glob("cnn_jax/*.py"), *PROJECT.glob("experiments/*.py")]
    return [
        *(path for path in files if path.relative_to(PROJECT).as_posix() != "cnn_jax/__init__.py"),
        PROJECT / "run.py",
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(".".join(path.relative_to(PROJECT).with_suffix("").parts))
    assert here in MAY_IMPORT, f"a room that the plan does not know: {here}"
    for name in imports(path):
        there = room(name)
        assert there is None or there == here or there in MAY_IMPORT[here], f"{here} may not import {name}"
        assert not (here != "run" and name.startswith("absl.flags")), "flags belong to run.py"
        assert not name.startswith("tensorflow."), "never TensorFlow"


def test_no_study_imports_another() -> None:
    for path in PROJECT.glob("cnn_jax/studies/**/*.py"):
        own = ".".join(path.relative_to(PROJECT).with_suffix("").parts[:3])
        for name in imports(path):
            assert not name.startswith("cnn_jax.studies.") or name.startswith(own), f"{path} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """An import within a function counts too: there it would only hide the circle."""
    modules = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path for path in sources()
    }
    graph = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imports(path)} & modules.keys()
        for module, path in modules.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


def test_only_one_file_says_how_the_program_is_called() -> None:
    """Where it is installed, it is not `run.py`."""
    for path in PROJECT.glob("cnn_jax/**/*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
        assert path.name == "program.py" or not [text for text in texts if "run.py" in str(text)], path


def test_public_names_are_found_where_type_checkers_find_them() -> None:
    for_checkers = dict(name.rsplit(".", 1)[::-1] for name in imports(PROJECT / "cnn_jax/__init__.py") if "." in name)
    shown = {name: place for name, place in for_checkers.items() if name in cnn_jax.__all__}
    assert shown == {name: f"cnn_jax.{place}" for name, place in cnn_jax._PLACES.items()}
    assert sorted(cnn_jax.__all__) == sorted(shown)
    for name in cnn_jax.__all__:
        assert getattr(cnn_jax, name).__module__ == shown[name]
    with pytest.raises(AttributeError, match="no attribute 'Confit'"):
        _ = cnn_jax.Confit


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import cnn_jax", ["jax", "flax", "tensorflow_datasets", "matplotlib", "numpy"]),
        ("from cnn_jax import About, Config, InputError, Part", ["jax", "flax", "numpy"]),
        ("import run; run.main(['--help'])", ["jax", "flax", "tensorflow_datasets", "matplotlib", "numpy"]),
        ("from cnn_jax import data; data.names()", ["jax", "flax", "tensorflow_datasets", "tensorflow"]),
    ],
)
def test_imports_stay_light(statement: str, absent: list[str]) -> None:
    check = f"{statement}\nimport sys; heavy = set({absent}) & set(sys.modules); assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", check], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, timeout=60)
