"""The comparison with other frameworks: its table in the README is the stored result's, and cannot differ."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

TABLE = PROJECT / "experiments" / "peers" / "table.py"


def table(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TABLE), *arguments], capture_output=True, text=True, timeout=60)


def test_readme_shows_the_stored_comparison() -> None:
    finished = table("--check")
    assert finished.returncode == 0, finished.stderr


def test_a_changed_number_is_noticed_and_mended(tmp_path: Path) -> None:
    readme, copy = (PROJECT / "README.md").read_text(), tmp_path / "README.md"
    row = next(line for line in readme.splitlines() if line.startswith("| this project |"))
    copy.write_text(readme.replace(row, row.replace("| this project | ", "| this project | 9")))
    assert table("--check", f"--readme={copy}").returncode == 1
    assert table(f"--readme={copy}").returncode == 0
    assert copy.read_text() == readme
