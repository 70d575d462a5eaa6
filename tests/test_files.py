"""Paths as people type them, and files that are there as a whole or not at all."""

import os
from pathlib import Path

import pytest

from cnn_jax.errors import InputError
from cnn_jax.files import local_path, write_atomic


@pytest.mark.parametrize("text", ["gs://bucket/run", "s3://b", "file:///tmp/x", "hdfs://h/x", "memory://x", ""])
def test_address_is_no_path(text: str) -> None:
    with pytest.raises(InputError, match="must be a path on this machine"):
        local_path(text)


@pytest.mark.parametrize("text", ["a b", "a[1]", "co:lon/x", "gs:/x", "~x", "-", "$HOME", " ", os.fsdecode(b"\xff")])
def test_anything_else_is_a_path_as_it_is(text: str) -> None:
    assert str(local_path(text)) == text


def test_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (local_path("~"), local_path("~/runs/a")) == (tmp_path, tmp_path / "runs/a")
    assert local_path("here~/~") == Path("here~/~")


@pytest.mark.parametrize("text", ["~", "~/runs"])
def test_tilde_without_a_home_folder_is_said(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no HOME and no such user
    with pytest.raises(InputError, match="no home folder"):
        local_path(text)


@pytest.mark.parametrize("text", ["x" * 256, "x/" * 2000, "loop/x"])
def test_path_that_no_file_system_can_have_is_said(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"too long|Too many levels"):
        local_path(text)


@pytest.mark.parametrize("name", ["x" * 255, "a[1]\n", os.fsdecode(b"\xff")])
def test_file_of_any_name_and_any_text_is_written(name: str, tmp_path: Path) -> None:
    write_atomic(tmp_path / name, f"the file {name}")
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text().startswith("the file ")
