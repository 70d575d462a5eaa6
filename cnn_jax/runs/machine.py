"""The machine of a run: versions, device, cores, commit."""

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

import jax

import cnn_jax
from cnn_jax import compilation

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def describe(command_line: list[str]) -> dict:
    """The content of `machine.json`. command_line: as typed.

    compiler_options: those of the training step. unknown_compiler_options: those that this jaxlib does not know.
    """
    return {
        "command_line": command_line,
        "device": device(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"cnn_jax": cnn_jax.__version__} | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "compiler_options": compilation.compiler_options(small_loops=True),
        "unknown_compiler_options": compilation.unknown_options(),
        "xla_flags": os.environ.get("XLA_FLAGS"),
        "git_commit": _git_commit(),
    }


def device() -> str:
    """The devices as text, as in `1 x cpu (AMD EPYC)` or `8 x NVIDIA H100`."""
    kinds = [device.device_kind for device in jax.devices()]
    kind = f"cpu ({_processor()})" if jax.default_backend() == "cpu" else kinds[0]
    return f"{len(kinds)} x {kind}"


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@functools.cache
def _git_commit() -> str | None:
    """The project's commit, with `-dirty` appended if files were changed; None if it is unknown."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return _installed_commit(root)
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None  # git is not installed or does not answer; a record without a commit is still a record
    return finished.stdout.strip() or None


def _installed_commit(folder: Path) -> str | None:
    """The commit that `pip install git+...` has built the package in this folder from; None for another installation.

    pip notes it as PEP 610 says.
    """
    found = importlib.metadata.distributions(name="cnn-jax", path=[str(folder)])
    origins = [json.loads(one.read_text("direct_url.json") or "{}") for one in found]
    return next((origin["vcs_info"]["commit_id"] for origin in origins if "vcs_info" in origin), None)
