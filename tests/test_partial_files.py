"""Files are written whole, and what a killed process left of one disappears in time."""

import os
import time
from pathlib import Path

from cnn_jax.files import read_json, write_atomic, write_json


def test_half_file_of_a_killed_process_is_deleted_after_a_day(tmp_path: Path) -> None:
    file = tmp_path / "cache[1].json"
    old, new = (tmp_path / f".{file.name}.{name}.partial" for name in ("old", "new"))
    other = tmp_path / ".cache1.json.old.partial"
    for left in (old, new, other):
        left.touch()
    for left in (old, other):
        os.utime(left, (time.time() - 90_000,) * 2)
    write_atomic(file, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([file, new, other])


def test_byte_order_mark_of_an_editor_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    write_json(file, {"epochs": 3})
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_json(file, 1000) == {"epochs": 3}
