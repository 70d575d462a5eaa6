"""What the documents say of the tests is so: each test that they name is there."""

import re

import pytest

from tests.conftest import PROJECT

NAMED = re.findall(r"`(test_\w+)`", (PROJECT / "docs/reliability.md").read_text())
TESTS = "\n".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("name", dict.fromkeys(NAMED))
def test_named_test_exists(name: str) -> None:
    assert f"def {name}(" in TESTS
