"""What the runner records about the machine: processor, cores, system and GPU, and how busy other programs keep it."""

import os
import platform
import subprocess
import time
from pathlib import Path


def describe() -> dict[str, str | int | None]:
    cpu, system = platform.processor(), platform.system()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
        system = platform.freedesktop_os_release().get("PRETTY_NAME", system)
    return {"cpu": cpu, "cores": os.cpu_count(), "os": system}


def gpus() -> list[str]:
    """The names of NVIDIA's GPUs, as their driver says; none where there is no driver."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def busy_share(seconds: float = 1.0) -> float | None:
    """The share of all cores that is in use now, from 0 to 1; None on systems without Linux's counters."""
    try:
        total, idle = counters()
        time.sleep(seconds)
        total_after, idle_after = counters()
    except OSError:
        return None
    return round(1 - (idle_after - idle) / max(1, total_after - total), 3)


def counters() -> tuple[int, int]:
    """Ticks of all cores since the machine started: all of them, and those in which a core was idle or waiting."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return sum(numbers[:8]), numbers[3] + numbers[4]
