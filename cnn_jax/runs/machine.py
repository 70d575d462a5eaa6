"""The machine of a run: versions, device, cores, commit, and what changed since it was started."""

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

import cnn_jax
from cnn_jax import compilation, numerics

_DECIDING_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
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
        "settings": numerics.recorded(),
        "git_commit": _git_commit(),
    }


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that decide numbers and are others now, with both values. before, now: as in `machine.json`.

    Other versions of jax have other settings of their own: then only those of the environment count.
    """
    old, new = before.get("settings"), now["settings"]
    if not isinstance(old, dict):  # of an earlier version
        return {}
    is_same_jax = _version(before, "jax") == _version(now, "jax")
    names = [name for name in new if name in old and (is_same_jax or not name.startswith("jax_"))]
    return {name: (old[name], new[name]) for name in names if old[name] != new[name]}


def changed_facts(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What else may change the last digits of numbers and is another now: device, cores and versions."""
    pairs = {name: (before.get(name), now[name]) for name in ("device", "cores")}
    pairs |= {name: (_version(before, name), _version(now, name)) for name in _DECIDING_PACKAGES}
    return {name: pair for name, pair in pairs.items() if pair[0] not in (None, pair[1])}


def with_history(now: Mapping[str, Any], before: Mapping[str, Any], step: int | None = None) -> dict[str, Any]:
    """The content of `machine.json` when training is resumed: that of now, and in `history` what was another before.

    step: until which step it was so.
    """
    earlier = before.get("history")
    others = {name: value for name, value in before.items() if name in now and now[name] != value}
    until = {} if step is None else {"until_step": step}
    entries = list(earlier) if isinstance(earlier, list) else []
    if others and until | others not in entries:  # several machines that work on one folder take turns
        entries.append(until | others)
    return {**now, **({"history": entries} if entries else {})}


def _version(machine: Mapping[str, Any], package: str) -> Any:
    versions = machine.get("versions")
    return versions.get(package) if isinstance(versions, dict) else None


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
    git = ["git", "--no-optional-locks", "-C", str(root)]  # the index stays free for the user's own commands
    command = [*git, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
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
