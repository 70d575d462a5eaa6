"""No program that any mode makes ends the process that compiles it: XLA's checks do that, and no test would tell."""

import ast
import json
import subprocess
import sys

import pytest

import experiments
from tests import every_program
from tests.conftest import PROJECT

# Groups that take about the same time; together all of them. Each is a process, whose start takes seconds.
GROUPS = (
    ("x_and_o", "dense", "logistic", "lecture_cnn_no_pooling", "permuted_pixels", "lenet5"),
    ("lecture_cnn", "smoke", "two_inputs_two_outputs", "rgb200", "resnet"),
)


@pytest.fixture(scope="module")
def callers() -> set[str]:
    """The functions of the project that call `compilation.jit`, as in `compiled.py:compile_inference`."""
    found = set()
    for path in PROJECT.glob("cnn_jax/**/*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and "compilation.jit(" in ast.unparse(function):
                found.add(f"{path.name}:{function.name}")
    return found


def test_groups_hold_every_experiment() -> None:
    assert sorted(name for group in GROUPS for name in group) == experiments.names()


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_every_program_can_be_compiled(group: tuple[str, ...], callers: set[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.every_program", *group], cwd=PROJECT, capture_output=True, text=True, timeout=500
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    if every_program.MOST in group:
        assert set(json.loads(finished.stdout)) == callers, "every_program.py must reach them all"
