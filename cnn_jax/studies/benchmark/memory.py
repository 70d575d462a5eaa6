"""How much memory a device has for a program, and how much has been used."""

import os
import resource
import sys
from pathlib import Path

import jax


def available() -> int:
    """Bytes that a program may use on a device; on a CPU what the system can give now."""
    statistics = jax.devices()[0].memory_stats() or {}
    return int(statistics.get("bytes_limit") or _available_to_host())


def peak() -> int:
    """Most bytes in use so far, of the first device where it counts them, else of this process."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return int(statistics["peak_bytes_in_use"])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used  # kilobytes but on macOS


def _available_to_host() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
