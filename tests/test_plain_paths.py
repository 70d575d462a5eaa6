"""Libraries that cannot take every path get a plain one that leads to the same place."""

import os
import tempfile
from pathlib import Path

import pytest

from cnn_jax.plain_paths import gathered, linked

NOT_PLAIN = ["a[1]", "a*b", "what?", "back\\slash", "new\nline", "naïve", "co:lon", os.fsdecode(b"\xff\xfe")]


def test_plain_folder_is_given_as_it_is(tmp_path: Path) -> None:
    with linked(tmp_path) as plain:
        assert plain == tmp_path


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_any_other_has_a_plain_path_meanwhile(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with linked(folder) as plain:
        (plain / "file").write_text("here")
        assert (folder / "file").read_text() == "here"
        assert set(str(plain)) <= set("/_.") | {c for c in str(plain) if c.isascii() and c.isalnum()}
    assert not os.path.lexists(plain)
    assert (folder / "file").read_text() == "here"


def test_gathered_files_are_the_named_ones_alone(tmp_path: Path) -> None:
    (tmp_path / "5" / "inside").mkdir(parents=True)
    for name in ("one", "inside/two", "inside/stray"):
        (tmp_path / "5" / name).write_text(name)
    with gathered(tmp_path / "5", ["one", "inside/two"]) as folder:
        found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {"5/one": "one", "5/inside/two": "inside/two"}


def test_temporary_folder_that_is_not_plain_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a[1]"))
    with linked(tmp_path / "a[1]") as plain:
        assert "[" not in str(plain)


def test_where_no_link_can_be_made_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match="set TMPDIR"), linked(tmp_path / "a[1]"):
        pass
