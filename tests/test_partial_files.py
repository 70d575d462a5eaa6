"""Files are written whole, and what a killed process left of one disappears in time."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cnn_jax.files import read_json, write_atomic, write_json
from tests.conftest import PROJECT


def test_half_file_of_a_killed_process_is_deleted_after_a_day(tmp_path: Path) -> None:
    file = tmp_path / "cache[1].json"
    kill = (
        "import sys, os; from cnn_jax import files; from pathlib import Path; "
        "held = files.atomic_file(Path(sys.argv[1])); held.__enter__(); os._exit(9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", kill, str(file)], cwd=PROJECT, check=False, timeout=60)
    old, new = tmp_path.iterdir()
    other = tmp_path / ".a user's own.partial"
    other.touch()
    for left in (old, other):
        os.utime(left, (time.time() - 90_000,) * 2)
    write_atomic(file, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([file, new, other])


def test_byte_order_mark_of_an_editor_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    write_json(file, {"epochs": 3})
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_json(file, 1000) == {"epochs": 3}
