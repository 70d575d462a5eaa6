"""The documents are right about what a test can check: the tests, files and flags that they name, and test cases."""

import importlib
import math
import re
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

import cnn_jax
import run
from cnn_jax.runs import checkpoint
from cnn_jax.studies.benchmark import record as benchmark
from cnn_jax.studies.compare import numbers as compare
from cnn_jax.studies.evaluation import numbers as evaluation
from cnn_jax.studies.overfitting import run as overfitting
from cnn_jax.studies.sweep import numbers as sweep
from tests.conftest import PROJECT

DOCUMENTS = {path.name: path.read_text() for path in sorted((PROJECT / "docs").glob("*.md"))}
RELIABILITY = DOCUMENTS["reliability.md"]
FAULTS, HOSTILE_INPUT = RELIABILITY.split("## Hostile input")
TESTS = PROJECT / "tests"
HYPOTHESIS_CASES = 200  # of each property in the default run, see conftest.py


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, without headings."""
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [line.split(" | ") for line in lines[1:]]


def named_tests(text: str) -> list[str]:
    return re.findall(r"`(test_\w+)`", text)


def found(name: str) -> list[Callable]:
    """The test functions of this name, of which several files may have one."""
    paths = [path for path in sorted(TESTS.rglob("test_*.py")) if f"\ndef {name}(" in path.read_text()]
    modules = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths]
    return [getattr(importlib.import_module(module), name) for module in modules]


def marks(test: Callable, name: str) -> list[pytest.Mark]:
    return [mark for mark in getattr(test, "pytestmark", []) if mark.name == name]


def cases(test: Callable) -> int:
    """How many cases a test tries: the values of its parameters, or the examples of hypothesis."""
    if hasattr(test, "hypothesis"):
        return HYPOTHESIS_CASES
    return math.prod(len(mark.args[1]) for mark in marks(test, "parametrize"))


@pytest.mark.parametrize("name", dict.fromkeys(named_tests(RELIABILITY)))
def test_named_test_exists(name: str) -> None:
    assert found(name)


@pytest.mark.parametrize("row", rows(FAULTS), ids=lambda row: row[0])
def test_every_fault_has_tests_that_run_when_its_row_says_so(row: list[str]) -> None:
    fault, happens, tests, _ = row
    assert happens
    assert {bool(marks(test, "long")) for name in named_tests(tests) for test in found(name)} == {"*long*" in fault}


@pytest.mark.parametrize("row", rows(FAULTS), ids=lambda row: row[0])
def test_every_fault_is_tried_in_as_many_cases_as_its_row_says(row: list[str]) -> None:
    _, _, tests, said = row
    assert int(said.split()[0]) == sum(cases(test) for name in named_tests(tests) for test in found(name))


@pytest.mark.parametrize("row", rows(HOSTILE_INPUT), ids=lambda row: row[0])
def test_every_hostile_input_has_tests_that_can_be_tried_in_10_000_cases(row: list[str]) -> None:
    tests = [test for name in named_tests(row[1]) for test in found(name)]
    assert tests
    assert all(marks(test, "fuzz") and hasattr(test, "hypothesis") for test in tests)


def test_hypothesis_tries_as_many_cases_as_the_documents_say() -> None:
    assert f"The tests try {HYPOTHESIS_CASES} cases of each" in RELIABILITY
    assert f"max_examples={HYPOTHESIS_CASES}" in (TESTS / "conftest.py").read_text()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_files_exist(name: str) -> None:
    files = [path for folder in ("cnn_jax", "tests", "experiments") for path in (PROJECT / folder).rglob("*.py")]
    for file in re.findall(r"`([\w/]+\.py)`", DOCUMENTS[name]):
        assert any(path.relative_to(PROJECT) == Path(file) or path.name == file for path in files), file


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_flags_exist(name: str) -> None:
    known = run.define_flags()
    for flag in re.findall(r"`(?:python run\.py )?--(\w+)", DOCUMENTS[name]):
        assert flag in known or flag in jax.config.values, flag


def test_formats_of_this_version_are_those_that_the_program_writes() -> None:
    this_version = DOCUMENTS["formats.md"].partition(f"\n## {cnn_jax.__version__}: ")[2].partition("\n## ")[0]
    said = {file: number.strip() for file, number, *_ in rows(this_version) if number.strip()}
    modules = (sweep, compare, evaluation, overfitting, benchmark)
    files = ("sweep.json", "compare.json", "evaluation.json", "overfitting.json", "benchmark.json")
    for file, module in ("checkpoints/", checkpoint), *zip(files, modules, strict=True):
        assert {number for name, number in said.items() if f"`{file}`" in name} == {str(module.FORMAT)}, file
