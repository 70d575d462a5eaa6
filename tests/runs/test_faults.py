"""Disks that are full, and run directories that somebody else made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.errors import ProjectError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from tests.conftest import PROJECT

TINY = Experiment().vary(
    experiment="tiny", dataset="x_and_o", widths=(4, 8), train_examples=300, epochs=2, batch_size=32
)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def on_full_disk(command_environment: dict[str, str], tmp_path: Path) -> Run:
    """`python run.py` where no file can grow beyond so many bytes: the system's answer is that of a full disk."""

    def run(*arguments: str, largest_file: int) -> subprocess.CompletedProcess[str]:
        limited = ["bash", "-c", f'ulimit -f {largest_file // 1024} && exec "$@"', "bash"]
        return subprocess.run(
            [*limited, sys.executable, str(PROJECT / "run.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=command_environment | {"PYTHONWARNINGS": "ignore"},
        )

    return run


SHORT = (
    *("--experiment=logistic", "--train_examples=640", "--epochs=1", "--workdir=run"),
    *("--checkpoint_every=0", "--nocompilation_cache"),
)


@pytest.mark.slow
def test_disk_that_fills_up_while_saving_keeps_the_last_good_checkpoint(run_py: Run, on_full_disk: Run) -> None:
    assert run_py(*SHORT).returncode == 0
    full = on_full_disk(*SHORT, "--epochs=2", largest_file=20 * 1024)
    assert full.returncode == 4, full.stderr
    # Threads of Orbax's may print something of their own before and after.
    [line] = [line for line in full.stderr.splitlines() if "run.py: " in line]
    assert "the checkpoint cannot be written" in line
    again = run_py(*SHORT, "--epochs=2")
    assert again.returncode == 0, again.stderr
    assert "resumes from step 10," in again.stdout


@pytest.mark.slow
def test_disk_that_is_full_while_writing_rows_ends_the_run(on_full_disk: Run) -> None:
    full = on_full_disk(*SHORT, "--epochs=40", "--checkpoint_every=1h", largest_file=2 * 1024)
    assert full.returncode == 4, full.stderr
    assert "cannot be written" in full.stderr
    assert full.stderr.count("\n") == 1


WITHOUT_PRIVILEGES = """
import ctypes, struct, sys
if sys.platform == "linux":
    ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))  # root then obeys file permissions too
sys.path.insert(0, sys.argv.pop(1))
import run
sys.exit(run.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_read_only_workdir_is_refused_before_anything_is_trained(
    command_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir(mode=0o555)
    command = [sys.executable, "-c", WITHOUT_PRIVILEGES, os.fspath(PROJECT), *SHORT]
    refused = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=command_environment
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "run.py: --workdir=run: cannot be written: Permission denied.\n"


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir, checkpoint_every=0), Console(progress=False))
    return workdir


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
RESULT_FIELDS = [
    *("status", "experiment", "parameters", "seed", "epochs", "steps", "train_loss", "test_loss", "test_accuracy"),
    *("train_seconds", "host_seconds", "images_per_second", "device", "test_metrics", "outputs", "main_output"),
]
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@pytest.mark.fuzz
@FUZZ
@given(st.dictionaries(st.sampled_from(RESULT_FIELDS), JSON, min_size=1, max_size=3))
def test_result_by_somebody_else_is_a_result_or_refused(finished_run: Path, tmp_path: Path, changes: dict) -> None:
    content = json.loads((finished_run / "result.json").read_text()) | changes
    (tmp_path / "result.json").write_text(json.dumps(content))
    try:
        result = RunDirectory(tmp_path).result()
        assert result is not None
        if result.status == "done":
            Console().result(vars(result))
    except ProjectError as error:
        assert error.exit_code == 2


@pytest.mark.slow
@pytest.mark.fuzz
@FUZZ
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_files_by_somebody_else_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("config.json", "result.json"):
        (tmp_path / name).write_bytes(content)
    for read in (RunDirectory(tmp_path).config, RunDirectory(tmp_path).result):
        try:
            read()
        except ProjectError as error:
            assert error.exit_code == 2


@pytest.mark.slow
@pytest.mark.fuzz
@FUZZ
@given(draws=st.data())
def test_checkpoint_by_somebody_else_with_any_byte_changed_is_refused(
    finished_run: Path, tmp_path: Path, draws: st.DataObject
) -> None:
    copy = tmp_path / "checkpoints"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(finished_run / "checkpoints", copy)
    files = sorted(path for path in (copy / "20").rglob("*") if path.is_file() and path.stat().st_size)
    file = draws.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    place = draws.draw(st.integers(0, len(content) - 1))
    content[place] ^= draws.draw(st.integers(1, 255))
    file.write_bytes(content)
    assert checkpoint._damage(copy / "20")


RECORDS = st.fixed_dictionaries({}, optional={"format": JSON, "step": JSON, "clock": JSON, "rows": JSON})


@pytest.mark.slow
@pytest.mark.fuzz
@FUZZ
@given(RECORDS | JSON)
def test_record_by_somebody_else_is_read_or_refused(finished_run: Path, tmp_path: Path, content: object) -> None:
    record = json.loads((finished_run / "checkpoints/20/progress.json").read_text())
    changed = record | content if isinstance(content, dict) else content
    (tmp_path / "progress.json").write_text(json.dumps(changed))
    try:
        checkpoint._record(tmp_path)
    except ProjectError as error:
        assert error.exit_code == 2


def test_checkpoint_of_another_model_is_refused(finished_run: Path) -> None:
    other = build(TINY.vary(widths=(5, 8))).abstract_state
    with pytest.raises(ProjectError, match="is of another model"):
        checkpoint.load_step(finished_run / "checkpoints", 20, other)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_is_unpickled")
def test_no_mode_unpickles_anything(run_py: Run, tmp_path: Path) -> None:
    pixels = np.zeros((60, 60), np.uint8)
    pixels[20:40, 20:28] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    short = ("--experiment=logistic", "--train_examples=640")
    command_lines = (
        (*short, "--workdir=run"),
        (*short, "--workdir=run", "--resume_from=50"),
        (*short, "--seeds=2", "--workdir=seeds"),
        ("--mode=evaluate", "--workdir=run", "--corruptions=shift", "--output=evaluated"),
        ("--mode=compare", "--runs=run,seeds", "--workdir=compared"),
        ("--mode=overfitting", "--experiments=logistic", "--sizes=20", "--seeds=1", "--workdir=overfitted"),
        ("--mode=predict", "--workdir=run", "--images=one.png"),
        ("--mode=export", "--workdir=run"),
        ("--mode=export", "--workdir=run", "--format=stablehlo"),
        ("--mode=summary", *short),
        ("--mode=benchmark", *short, "--batch_sizes=64", "--dtypes=float32", "--seconds=0.01", "--workdir=bench"),
    )
    for command_line in command_lines:
        finished = run_py(*command_line)
        assert finished.returncode == 0, finished.stderr
