"""Makes the stored files that later versions of the program have to read, or to refuse in one clear line.

    python tests/golden/make_golden.py FOLDER

makes FOLDER/second, a folder for each kind of thing that the program leaves behind, and FOLDER/expected.json, the
numbers in them; it takes two minutes. It calls nothing but `run.py`, so that it outlives whatever is moved inside.

What is stored beside this script, in `first`, is of format generation 1, made on 2026-11-26 by this script as it was
then, with jax 0.10.2, flax 0.12.8 and orbax-checkpoint 0.12.8 on a CPU. It is never made anew: this program writes
files of generation 2, with a name and settings for each part in configs, and with metrics and norms. A new generation
gets a folder of its own beside `first`, and a GENERATION of its own here.

    run             finished, with two checkpoints and both exports
    stopped         ended by --max_time after one step, and scored
    interrupted     ended by SIGTERM, with two checkpoints
    loop, vmap      two finished seeds each, one after the other and together
    together        three seeds of a dense network that were interrupted while they trained together
    sweep           two trials, and the winner's run
    benchmark, compare, overfitting, evaluation     the records
    configs         config.json of runs whose task, model or glyphs are special
    images.npz      the first test images, for the exported model

Pages, TensorBoard's events and locks are left out. Orbax notes in `commit_success.txt` where a checkpoint was written:
the folder above FOLDER/first is taken out of that, and the file's line in the checkpoint's manifest follows.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[2]
GENERATION = "second"
IMAGES = 8  # test images whose logits are recorded

SMALL = ("--experiment=x_and_o", "--train_examples=640", "--widths=4,8")
SHORT = (*SMALL, "--epochs=2")
INTERRUPTED = (*SMALL, "--epochs=20")
DENSE = ("--experiment=x_and_o", "--train_examples=640", "--model=dense", "--widths=8")
TOGETHER = (*DENSE, "--epochs=20", "--seeds=3", "--seed_strategy=vmap")
OF_GLYPHS = ("--dataset=glyphs", "--train_examples=64", "--epochs=1", "--widths=4,8")
SPECIAL = {
    "glyph_seed": (*OF_GLYPHS, "--dataset.seed=3"),
    "permuted": (*OF_GLYPHS, "--experiment=permuted_pixels"),
    "two_outputs": ("--experiment=two_inputs_two_outputs", *OF_GLYPHS[:-1]),
}
NOT_STORED = ("*.html", "*.csv", "events.out.tfevents.*", ".lock", ".*.partial")

Command = Callable[..., None]


def make(folder: Path) -> None:
    """Makes the stored files and the record of their numbers."""
    stored = folder / GENERATION
    stored.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        other, environment = Path(name), environment_of(Path(name))

        def run(*arguments: str, **variables: str) -> None:
            command = [sys.executable, str(PROJECT / "run.py"), *arguments]
            print(" ".join(arguments), flush=True)
            subprocess.run(command, cwd=stored, env=environment | variables, check=True, stdout=subprocess.DEVNULL)

        make_runs(run, stored, other, environment)
        make_records(run, stored)
        make_configs(run, stored, other)
        store_images(stored, Path(environment["TFDS_DATA_DIR"]))
        expected = recorded(stored) | recorded_of_whole(other)
    clean(stored)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of the commands: on a CPU, with data and compiled programs of their own."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "TFDS_DATA_DIR": str(folder / "data"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    }


def make_runs(run: Command, stored: Path, other: Path, environment: dict[str, str]) -> None:
    """Trains: to the end, to a limit, to a signal, and many seeds. other: a folder for what is not stored."""
    run(*SHORT, "--checkpoint_every=0", "--keep_checkpoints=2", "--workdir=run")
    run("--mode=export", "--workdir=run")
    # The model names the source files that it came from, with their folders but for this.
    run("--mode=export", "--workdir=run", "--format=stablehlo", JAX_HLO_SOURCE_FILE_CANONICALIZATION_REGEX=".*/")
    run(*SHORT, "--max_time=0.000001", "--workdir=stopped")
    run(*SHORT, "--seeds=2", "--seed_strategy=loop", "--workdir=loop")
    run(*SHORT, "--seeds=2", "--seed_strategy=vmap", "--learning_rate=0.003", "--workdir=vmap")
    kept = ("--checkpoint_every=0", "--keep_checkpoints=2")
    interrupt((*INTERRUPTED, *kept, "--workdir=interrupted"), stored, "interrupted", environment)
    interrupt((*TOGETHER, *kept, "--workdir=together"), stored, "together/seed-2", environment)
    run(*INTERRUPTED, f"--workdir={other / 'interrupted'}")
    run(*TOGETHER, f"--workdir={other / 'together'}")


def interrupt(arguments: tuple[str, ...], stored: Path, run: str, environment: dict[str, str]) -> None:
    """Starts a command and sends SIGTERM once there are two checkpoints in the run's folder."""
    print(" ".join(arguments), flush=True)
    command = [sys.executable, str(PROJECT / "run.py"), *arguments]
    process = subprocess.Popen(command, cwd=stored, env=environment, stdout=subprocess.DEVNULL)
    while len(list(stored.glob(f"{run}/checkpoints/*/manifest.sha256"))) < 2:
        if process.poll() is not None:
            raise SystemExit("The run ended before it could be interrupted.")
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    if process.wait() != 128 + signal.SIGTERM:
        raise SystemExit(f"The run was not interrupted but ended with {process.returncode}.")


def make_records(run: Command, stored: Path) -> None:
    """Writes what commands record of many runs, or of the machine."""
    run("--mode=sweep", *SHORT, "--sweep=learning_rate=0.001,0.01", "--seeds=1", "--workdir=sweep")
    run(
        *("--mode=benchmark", "--experiment=x_and_o", "--train_examples=640", "--model=logistic"),
        *("--batch_sizes=64", "--dtypes=float32", "--repeats=1", "--seconds=1", "--workdir=benchmark"),
    )
    run("--mode=compare", "--runs=loop,vmap", "--workdir=compare")
    run("--mode=evaluate", "--runs=loop,vmap", "--corruptions=shift", "--output=evaluation")
    run(
        *("--mode=overfitting", "--experiments=x_and_o", "--widths=4,8", "--sizes=64,640", "--seeds=2"),
        "--workdir=overfitting",
    )
    for size in (stored / "overfitting").iterdir():
        if size.is_dir():  # runs like the others
            shutil.rmtree(size)


def make_configs(run: Command, stored: Path, other: Path) -> None:
    """Keeps the configs of runs that are special."""
    (stored / "configs").mkdir()
    for name, arguments in SPECIAL.items():
        run(*arguments, f"--workdir={other / name}")
        shutil.copy(other / name / "config.json", stored / "configs" / f"{name}.json")


def store_images(stored: Path, data_dir: Path) -> None:
    """Keeps the first test images."""
    [file] = data_dir.rglob("x_and_o*.npz")
    with np.load(file, allow_pickle=False) as arrays:
        np.savez(stored / "images.npz", images=arrays["test_images"][:IMAGES])


def recorded(stored: Path) -> dict[str, Any]:
    """The numbers that the stored files hold, by what has them."""
    results = {name: numbers(stored / name) for name in ("run", "stopped", "interrupted")}
    results |= {
        f"{name}/seed-{seed}": numbers(stored / name / f"seed-{seed}") for name in ("loop", "vmap") for seed in (0, 1)
    }
    means = {name: read(stored / name / "result.json")["mean"] for name in ("loop", "vmap")}
    with np.load(stored / "run/predictions.npz", allow_pickle=False) as arrays:
        logits = arrays["logits"][:IMAGES].tolist()
    sweep, evaluation = read(stored / "sweep/sweep.json"), read(stored / "evaluation/evaluation.json")
    measured = read(stored / "benchmark/benchmark.json")["measurements"]
    return {
        "results": results,
        "means": means,
        "logits": logits,
        "parameters": hashes(stored / "run/parameters.npz"),
        "benchmark": {case["what"]: case["seconds"]["median"] for case in measured},
        "sweep": {
            "settings": sweep["winner"]["settings"],
            "test_accuracy": sweep["winner"]["test"]["mean"]["test_accuracy"],
            "trials": [json.loads(line) for line in (stored / "sweep/sweep.jsonl").read_text().splitlines()],
        },
        "evaluation": {run["path"]: run["seeds"] for run in evaluation["runs"]},
        "corruptions": {run["name"]: run["accuracy"] for run in read(stored / "evaluation/corruptions.json")["runs"]},
        "compare": {
            model["name"]: model["test_accuracy"]["values"] for model in read(stored / "compare/compare.json")["models"]
        },
        "overfitting": {
            str(learner["train_examples"]): learner["test_accuracy"]["values"]
            for learner in read(stored / "overfitting/overfitting.json")["learners"]
        },
        # Git keeps no empty folders: whoever copies the files makes them again.
        "empty_folders": [str(path.relative_to(stored)) for path in sorted(stored.rglob("*")) if is_empty(path)],
    }


def recorded_of_whole(other: Path) -> dict[str, Any]:
    """What the interrupted runs come to where nothing interrupts them, on the machine that made them."""
    seeds = {f"together/seed-{seed}": numbers(other / f"together/seed-{seed}") for seed in range(3)}
    return {"uninterrupted": {"interrupted": numbers(other / "interrupted")} | seeds}


def numbers(run: Path) -> dict[str, Any]:
    """What a run came to, but for its times."""
    wanted = ("status", "seed", "parameters", "epochs", "steps", "train_loss", "train_accuracy")
    return {name: read(run / "result.json")[name] for name in (*wanted, "test_loss", "test_accuracy")}


def hashes(file: Path) -> dict[str, str]:
    """The SHA-256 of each array's bytes."""
    with np.load(file, allow_pickle=False) as arrays:
        return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def read(file: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(file.read_text())


def is_empty(path: Path) -> bool:
    """Whether this is a folder with nothing in it that is stored."""
    if not path.is_dir():
        return False
    return all(any(entry.match(pattern) for pattern in NOT_STORED) for entry in path.iterdir())


def clean(stored: Path) -> None:
    """Deletes what is not stored, and takes the folders of this machine out of the rest."""
    for pattern in NOT_STORED:
        for path in stored.rglob(pattern):
            path.unlink()
    here = f"{stored.resolve()}/"
    for file in stored.rglob("commit_success.txt"):
        file.write_text(file.read_text().replace(here, ""))
    for manifest in stored.rglob("manifest.sha256"):
        names = [line.partition("  ")[2] for line in manifest.read_text().splitlines()]
        digests = {name: hashlib.sha256((manifest.parent / name).read_bytes()).hexdigest() for name in names}
        manifest.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    for file in stored.rglob("*"):
        if file.is_file() and here.encode() in file.read_bytes():
            raise SystemExit(f"{file}: names a folder of this machine.")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python make_golden.py FOLDER")
    make(Path(sys.argv[1]))
