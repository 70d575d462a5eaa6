"""`--mesh`, as typed: how many devices share a batch and the seeds."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

TINY = (
    *("--dataset=x_and_o", "--widths=4,8", "--train_examples=300", "--validation_examples=0", "--epochs=2"),
    *("--batch_size=32", "--workdir=run"),
)


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.devices(8)
def test_runs_on_any_mesh_give_the_same_result(run_py: Run, tmp_path: Path) -> None:
    """A run may also be resumed on another one."""
    for name, first, then in (("one", "data:1", "data:1"), ("more", "data:8", "data:2")):
        run_py(*TINY, f"--workdir={name}", f"--mesh={first}", "--epochs=1")
        finished = run_py(*TINY, f"--workdir={name}", f"--mesh={then}")
        assert finished.returncode == 0, finished.stderr
    one, more = result(tmp_path / "one"), result(tmp_path / "more")
    assert more["test_loss"] == pytest.approx(one["test_loss"], abs=1e-4)
    assert more["test_accuracy"] == pytest.approx(one["test_accuracy"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.devices(8)
def test_seeds_are_spread_over_devices(run_py: Run, tmp_path: Path) -> None:
    finished = run_py(*TINY, "--seeds=2", "--mesh=data:2,seed:2")
    assert finished.returncode == 0, finished.stderr
    assert "2 seeds with --seed_strategy=vmap: --mesh shares out the seeds" in finished.stdout
    assert [seed["status"] for seed in result(tmp_path / "run")["seeds"]] == ["done", "done"]


@pytest.mark.devices(4)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mesh=data:8"], "--mesh=data:8: needs 8 devices, and there are 4."),
        (["--mesh=data:3"], "--mesh=data:3: 3 devices cannot share a batch of 32 images evenly."),
        (["--mesh=date:4"], "--mesh=date: no such axis. Did you mean data? Known: data, seed."),
        (["--mesh=data:0"], "--mesh=data:0: must be at least 1."),
        (["--mesh=data=4"], "--mesh=data=4: must be sizes of the axes data and seed, as in data:4,seed:2."),
        (["--mesh=data:2,data:2"], "--mesh=data:2,data:2: must be sizes of the axes"),
        (["--mesh=data:2,seed:2"], "--mesh=seed:2: cannot share 1 seeds evenly. Set --seeds to a multiple."),
        (["--mesh=seed:2", "--seeds=3"], "--mesh=seed:2: cannot share 3 seeds evenly."),
        (["--mesh=seed:2", "--seeds=2", "--seed_strategy=loop"], "--mesh: with --seed_strategy=loop, one seed trains"),
        (["--mode=compare", "--mesh=data:2"], "--mesh: has no meaning with --mode=compare."),
    ],
)
def test_mesh_that_cannot_be_is_one_line(run_py: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    refused = run_py(*TINY, *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
