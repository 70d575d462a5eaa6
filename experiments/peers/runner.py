"""Measures this project and its peers side by side, and writes experiments/results/peers.json.

    python experiments/peers/runner.py --mnist=FOLDER --environments=DIR
    python experiments/peers/runner.py --mnist=FOLDER --environments=DIR --resume
    python experiments/peers/runner.py --mnist=FOLDER --environments=DIR --device=gpu

FOLDER contains MNIST's four original .gz files. The runner makes a virtual environment for each framework in DIR, from
the requirements files beside this script; an existing one is only completed. If a plain `pip install torch` installs a
GPU build of some gigabytes on your machine, make DIR/torch yourself first, with PyTorch's CPU build in it.

Rounds are interleaved: each round runs every peer once, each in a process of its own, so that a slow period of the
machine affects all of them. The runner prints a line for each run. A peer that fails is recorded with the reason and
left out of the following rounds. --resume continues an interrupted measurement, and tries the failed peers again.
With --device=gpu all run on the first of NVIDIA's GPUs, in float32 without TensorFloat-32, in environments of their
own, and the results go to peers_gpu.json. A peer that finds no GPU fails; nothing falls back to the processor.
The machine must be quiet: beside two other busy programs PyTorch was ten times slower, Keras and flax two times. The
share of the cores that other programs use before each run is recorded. The defaults take about an hour and a half on
two cores.
"""

import argparse
import datetime
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import machine
import numpy as np
from summary import OURS, summarize

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Peer(NamedTuple):
    name: str
    title: str  # as the README's table shows it
    environment: str  # made from requirements-<environment>.txt
    command: tuple[str, ...]  # the script in this folder, and its own flags


# Every peer, ours first, in the order of a round. A new one is one line here.
PEERS = (
    Peer(OURS, "this project", "jax", ("cnn_jax_peer.py",)),
    Peer("flax_stock", "flax, stock layers, jitted step", "jax", ("flax_stock.py",)),
    Peer("keras_tensorflow", "Keras `fit` on TensorFlow", "keras", ("keras_tensorflow.py",)),
    Peer("pytorch_eager_nchw", "PyTorch eager, NCHW", "torch", ("pytorch.py", "--layout=nchw")),
    Peer(
        "pytorch_eager_channels_last", "PyTorch eager, channels last", "torch", ("pytorch.py", "--layout=channels_last")
    ),
    Peer("pytorch_compiled", "PyTorch compiled, NCHW", "torch", ("pytorch.py", "--compile")),
)

VARIANTS = {"pooling": "--pooling", "no_pooling": "--no-pooling"}
# These flags change what is measured. The other flags are paths and limits.
LENGTHS = ("rounds", "steps", "steps_no_pooling", "warmup", "batch_size", "epochs")
SETTINGS = ("peers", "variants", *LENGTHS, "whole_peers", "whole_rounds", "device")
RESULTS = {"cpu": "peers.json", "gpu": "peers_gpu.json"}
# What keeps each framework on its device. jax fails where it does not find the platform that it is told.
DEVICE_VARIABLES = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
    "gpu": {"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cuda"},
}


class Run(NamedTuple):
    kind: str  # steps or epochs, as protocol.py has them
    variant: str
    round: int
    peer: Peer


def read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--mnist", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--environments", type=Path, required=True, metavar="DIR")
    parser.add_argument("--peers", default=",".join(peer.name for peer in PEERS), help="names, default: all")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="default: both")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200, help="measured steps with pooling")
    parser.add_argument("--steps_no_pooling", type=int, default=40, help="measured steps without pooling")
    parser.add_argument("--warmup", type=int, default=20, help="unmeasured steps before them")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5, help="of the whole runs, with pooling, from start to exit")
    parser.add_argument("--whole_peers", help="peers of the whole runs, which take long; default: as --peers")
    parser.add_argument("--whole_rounds", type=int, default=3, help="0 leaves the whole runs out")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one run may take")
    parser.add_argument("--device", choices=tuple(RESULTS), default="cpu", help="what all of them run on")
    parser.add_argument("--output", type=Path, help="default: experiments/results/peers.json or peers_gpu.json")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted measurement")
    flags, names = parser.parse_args(), [peer.name for peer in PEERS]
    flags.output = flags.output or ROOT / "experiments" / "results" / RESULTS[flags.device]
    if flags.device == "gpu" and not machine.gpus():
        parser.error("--device=gpu: nvidia-smi names no GPU on this machine")
    flags.whole_peers = flags.whole_peers or flags.peers
    for name, known in (("peers", names), ("whole_peers", flags.peers.split(",")), ("variants", list(VARIANTS))):
        setattr(flags, name, getattr(flags, name).split(","))
        if unknown := set(getattr(flags, name)) - set(known):
            parser.error(f"--{name}: unknown {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    for name in (*LENGTHS, "timeout"):
        if getattr(flags, name) <= 0:
            parser.error(f"--{name}={getattr(flags, name)}: must be positive")
    return flags


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of a gzipped IDX file: two zero bytes, type 8, the number of axes, big-endian sizes, values."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name}: not an IDX file of bytes")
    axes = raw[3]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(np.frombuffer(raw, ">i4", axes, 4))


def write_arrays(mnist: Path, path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        arrays[f"{split}_images"] = read_idx(mnist / f"{prefix}-images-idx3-ubyte.gz")[..., None]
        arrays[f"{split}_labels"] = read_idx(mnist / f"{prefix}-labels-idx1-ubyte.gz").astype(np.int32)
    np.savez(path, allow_pickle=False, **arrays)


def make_environment(folder: Path, requirements: Path) -> str | None:
    """Makes or completes a virtual environment; returns the reason if that fails. A complete one needs no network."""
    python = python_of(folder)
    if not python.exists():
        venv.create(folder, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    except subprocess.TimeoutExpired:
        return f"pip install -r {requirements.name} took over an hour"
    return None if done.returncode == 0 else f"pip install -r {requirements.name}: {last_line(done.stderr)}"


def python_of(folder: Path) -> Path:
    return folder.absolute() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def last_line(text: str) -> str:
    """The last line that is not empty, with file names but no folders, because the reason goes into a public file."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"(?:/[\w.@+-]+)+/", "", lines[-1])[:300] if lines else "no message"


def runs(flags: argparse.Namespace) -> Iterator[Run]:
    """All runs in order: for each variant all rounds, and in each round all peers."""
    peers = [peer for peer in PEERS if peer.name in flags.peers]
    for variant in flags.variants:
        yield from (Run("steps", variant, i, peer) for i in range(flags.rounds) for peer in peers)
    if "pooling" in flags.variants:
        whole = [peer for peer in peers if peer.name in flags.whole_peers]
        yield from (Run("epochs", "pooling", i, peer) for i in range(flags.whole_rounds) for peer in whole)


def command_of(run: Run, flags: argparse.Namespace, data: Path) -> list[str]:
    script, *own = run.peer.command
    command = [str(python_of(folder_of(run.peer.environment, flags))), str(HERE / script), *own]
    command += [
        f"--data={data}",
        f"--device={flags.device}",
        VARIANTS[run.variant],
        f"--batch_size={flags.batch_size}",
        f"--seed={run.round}",
    ]
    if run.kind == "epochs":
        return [*command, f"--epochs={flags.epochs}"]
    steps = flags.steps if run.variant == "pooling" else flags.steps_no_pooling
    return [*command, f"--steps={steps}", f"--warmup={flags.warmup}"]


def measure(run: Run, flags: argparse.Namespace, data: Path) -> dict:
    """Runs one peer once; returns what it printed and the seconds of the whole process, or the reason why it failed."""
    # The project is not installed, so its path is set.
    environment = os.environ | DEVICE_VARIABLES[flags.device] | {"PYTHONPATH": str(ROOT)}
    busy = machine.busy_share()
    command, start = command_of(run, flags, data), time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=flags.timeout, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"took over {flags.timeout:g} s"}
    seconds = time.perf_counter() - start
    if done.returncode:
        return {"failed": f"exit code {done.returncode}: {last_line(done.stderr)}"}
    try:
        printed = json.loads(done.stdout.strip().rpartition("\n")[2])
    except json.JSONDecodeError:
        return {"failed": "the last line that it printed is not JSON"}
    if printed["device"]["kind"] != flags.device:
        return {"failed": f"it ran on another device: {printed['device']['name']}"}
    return printed | {"process_seconds": seconds, "busy_before": busy}


def settings_of(flags: argparse.Namespace) -> dict:
    return {name: value for name, value in vars(flags).items() if name in SETTINGS}


def machine_of(flags: argparse.Namespace) -> dict:
    """The machine, with its GPU if that is measured."""
    return machine.describe() | ({"gpu": machine.gpus()[0]} if flags.device == "gpu" else {})


def folder_of(environment: str, flags: argparse.Namespace) -> Path:
    """The folder of a virtual environment. A GPU needs other builds of the same frameworks."""
    return flags.environments / (environment if flags.device == "cpu" else f"{environment}-gpu")


def requirements_of(environment: str, flags: argparse.Namespace) -> Path:
    """What an environment installs; on a GPU what has a file of its own for that."""
    for_gpu = HERE / f"requirements-{environment}-gpu.txt"
    return for_gpu if flags.device == "gpu" and for_gpu.exists() else HERE / f"requirements-{environment}.txt"


def write_json(path: Path, content: dict) -> None:
    """Writes the whole file or nothing, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.writing")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)


def earlier_records(flags: argparse.Namespace) -> list[dict]:
    """The runs of the unfinished measurement, else of the stored one, without failed runs, which are repeated."""
    if not flags.resume:
        return []
    path = partial_of(flags.output) if partial_of(flags.output).exists() else flags.output
    try:
        content = json.loads(path.read_text())
        same = (content["settings"], content["machine"]) == (settings_of(flags), machine_of(flags))
        records = content["records"]
    except (OSError, ValueError, KeyError) as error:
        refuse(f"--resume: {path.name} is not a measurement: {error}")
    if not same:
        refuse(f"--resume: {path.name} was measured with other settings or on another machine")
    return [record for record in records if "failed" not in record]


def partial_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.partial")


def refuse(line: str) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(2)


def progress_line(record: dict) -> str:
    place = f"{record['variant']} {record['kind']} round {record['round'] + 1}  {record['peer']:28}"
    if "failed" in record:
        return f"{place} failed: {record['failed']}"
    busy = record["busy_before"]
    warning = f"  others used {busy:.0%} of the cores" if busy and busy > 0.05 else ""
    return f"{place} {record['images_per_second']:8,.0f} images/s  {record['process_seconds']:6.1f} s{warning}"


def measure_all(records: list[dict], flags: argparse.Namespace, data: Path, broken: dict[str, str]) -> None:
    """Makes the missing runs and appends them to `records`. broken: environments that failed, with reasons."""
    finished = {(r["kind"], r["variant"], r["round"], r["peer"]) for r in records}
    failed = set()
    for run in runs(flags):
        name = run.peer.name
        if (run.kind, run.variant, run.round, name) in finished or (run.kind, run.variant, name) in failed:
            continue
        reason = broken.get(run.peer.environment)
        numbers = {"failed": reason} if reason else measure(run, flags, data)
        if "failed" in numbers:
            failed.add((run.kind, run.variant, name))
        records.append(numbers | {"kind": run.kind, "variant": run.variant, "round": run.round, "peer": name})
        print(progress_line(records[-1]), flush=True)
        content = {"settings": settings_of(flags), "machine": machine_of(flags), "records": records}
        write_json(partial_of(flags.output), content)


def make_environments(flags: argparse.Namespace) -> dict[str, str]:
    """Makes the environments of the chosen peers; returns those that could not be made, with the reasons."""
    broken = {}
    for name in sorted({peer.environment for peer in PEERS if peer.name in flags.peers}):
        print(f"environment {name}", flush=True)
        if reason := make_environment(folder_of(name, flags), requirements_of(name, flags)):
            broken[name] = reason
    return broken


def result_of(records: list[dict], flags: argparse.Namespace) -> dict:
    versions = {record["peer"]: record["versions"] for record in records if "versions" in record}
    titles = {peer.name: peer.title for peer in PEERS if peer.name in flags.peers}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine_of(flags),
        "settings": settings_of(flags),
        "titles": titles,
        "versions": versions,
        "summary": summarize(records, list(titles), flags.variants),
        "records": records,
    }


def main() -> None:
    flags = read_flags()
    records = earlier_records(flags)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        try:
            write_arrays(flags.mnist, data)
        except (OSError, ValueError) as error:
            refuse(f"--mnist={flags.mnist}: {error}")
        measure_all(records, flags, data, make_environments(flags))
    write_json(flags.output, result_of(records, flags))
    partial_of(flags.output).unlink(missing_ok=True)
    print(f"{flags.output.name} written")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; --resume continues from here", file=sys.stderr)
        sys.exit(130)
