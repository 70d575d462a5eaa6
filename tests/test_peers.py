"""The comparison with other frameworks: its table is the stored one, and all run on the device that was asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PROJECT
from tests.data.archives import idx_gz

TABLE = PROJECT / "experiments" / "peers" / "table.py"
RUNNER = TABLE.with_name("runner.py")

# Stands in for the Python of an environment: pip has nothing to do, and a peer prints what it was told.
PYTHON = """#!{python}
import json, os, sys
if sys.argv[1:3] != ["-m", "pip"]:
    flags = dict(word[2:].split("=") for word in sys.argv[2:] if "=" in word)
    told = {{"device": {{"kind": {ran_on}, "name": "abacus"}}, "images_per_second": 1.0, "versions": {{}}}}
    told |= {{"inference_images_per_second": 1.0, "platforms": os.environ["JAX_PLATFORMS"], "flags": flags}}
    print(json.dumps(told))
"""


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


def runner(folder: Path, ran_on: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """One round of this project, as a peer that says that it ran on this device; a driver that names two GPUs."""
    (folder / "mnist").mkdir()
    for part in ("train", "t10k"):
        (folder / f"mnist/{part}-images-idx3-ubyte.gz").write_bytes(idx_gz(np.zeros((3, 28, 28), np.uint8)))
        (folder / f"mnist/{part}-labels-idx1-ubyte.gz").write_bytes(idx_gz(np.zeros(3, np.uint8)))
    for environment in ("jax", "jax-gpu"):
        executable(folder / environment / "bin/python", PYTHON.format(python=sys.executable, ran_on=ran_on))
    executable(folder / "driver/nvidia-smi", "#!/bin/sh\necho NVIDIA H100; echo NVIDIA A100\n")
    command = [sys.executable, str(RUNNER), f"--mnist={folder / 'mnist'}", f"--environments={folder}", *flags]
    command += [
        "--peers=cnn_jax",
        "--variants=pooling",
        "--rounds=1",
        "--whole_rounds=0",
        f"--output={folder}/out.json",
    ]
    environment = os.environ | {"PATH": f"{folder / 'driver'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(("device", "platforms", "gpu"), [("cpu", "cpu", None), ("gpu", "cuda", "NVIDIA H100")])
def test_one_command_measures_all_on_the_device_that_was_asked_for(
    tmp_path: Path, device: str, platforms: str, gpu: str | None
) -> None:
    finished = runner(tmp_path, 'flags["device"]', f"--device={device}")
    assert finished.returncode == 0, finished.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    [record] = result["records"]
    assert (record["flags"]["device"], record["platforms"]) == (device, platforms)
    assert (result["machine"].get("gpu"), result["settings"]["device"]) == (gpu, device)


def test_peer_that_ran_on_another_device_is_no_result(tmp_path: Path) -> None:
    assert runner(tmp_path, '"cpu"', "--device=gpu").returncode == 0
    [record] = json.loads((tmp_path / "out.json").read_text())["records"]
    assert record["failed"] == "it ran on another device: abacus"


def test_gpu_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(RUNNER), "--mnist=x", "--environments=x", "--device=gpu"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path)})
    assert finished.returncode == 2
    assert finished.stderr.endswith("error: --device=gpu: nvidia-smi names no GPU on this machine\n")
