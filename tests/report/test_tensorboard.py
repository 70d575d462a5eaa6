"""Event files say what went wrong with them, and nothing else."""

import shutil
from pathlib import Path

import pytest

from cnn_jax.errors import MachineError
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs.directory import RunDirectory


def test_error_of_something_else_is_not_said_to_be_that_of_the_event_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the terminal is gone") as error, RunDirectory(tmp_path).events([]):
        raise OSError("the terminal is gone")
    assert not isinstance(error.value, MachineError)


def test_folder_of_the_event_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"events\.out\.tfevents: cannot be written: Not a directory"):
        EventWriter(tmp_path / "file" / "run")
    shutil.rmtree(tmp_path)
