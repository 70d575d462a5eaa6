"""What is recorded of the machine and of the program."""

import json
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax.runs import machine

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_program_has_its_version_beside_those_of_its_libraries() -> None:
    assert machine.describe([])["versions"]["cnn_jax"] == cnn_jax.__version__


@pytest.mark.parametrize(
    ("origin", "commit"),
    [
        ({"url": "https://host/cnn_jax", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, COMMIT),
        ({"url": "file:///a/wheel.whl", "archive_info": {}}, None),
        (None, None),
    ],
    ids=["git", "wheel", "index"],
)
def test_commit_of_an_installed_program_is_the_one_that_pip_has_noted(
    origin: dict | None, commit: str | None, tmp_path: Path
) -> None:
    about = tmp_path / "cnn_jax-2.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.4\nName: cnn-jax\nVersion: 2.0.0\n")
    if origin:
        (about / "direct_url.json").write_text(json.dumps(origin))
    assert machine._installed_commit(tmp_path) == commit
