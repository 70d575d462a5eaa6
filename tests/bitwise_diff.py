"""Compares two finished runs bit by bit: everything that a run writes, except its times."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax.experiment import Experiment, build
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory


def _is_time(name: str) -> bool:
    return "seconds" in name or name == "images_per_second"


def differences(one: Path, other: Path, experiment: Experiment | None = None) -> Iterator[str]:
    """Yields a line for each difference between two finished runs, and nothing where they are equal.

    It compares the rows and the result without their times, the test logits, and the last checkpoint and the one that
    was scored: params, the module's state, the average, optimizer state, key and metric sums. experiment: has the runs'
    parts, where they are a user's.
    """
    if _rows(one) != _rows(other):
        yield "the rows of metrics.jsonl"
    results = [RunDirectory(path).finished_result() for path in (one, other)]
    mine, theirs = map(vars, results)
    yield from (f"{name} in result.json" for name in mine if not _is_time(name) and mine[name] != theirs[name])
    if (one / "predictions.npz").read_bytes() != (other / "predictions.npz").read_bytes():
        yield "the logits in predictions.npz"
    scored, last = ({result.scored_step for result in results}, {result.steps for result in results})
    for step in sorted(scored | last) if len(scored) == len(last) == 1 else ():
        which = "last" if step in last else "scored"
        arrays, others = (_arrays(path, step, experiment) for path in (one, other))
        yield from (f"{name} in the {which} checkpoint" for name in arrays if not _same(arrays[name], others[name]))


def _rows(run: Path) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if not _is_time(name)} for line in lines]


def _arrays(run: Path, step: int, experiment: Experiment | None) -> dict[str, np.ndarray]:
    directory = RunDirectory(run)
    abstract_state = build((experiment or Experiment()).with_config(directory.config())).abstract_state
    saved = checkpoint.load_step(directory.checkpoints, step, abstract_state)
    tree: Any = (saved.state.replace(key=jax.random.key_data(saved.state.key)), saved.sums)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.tobytes() == other.tobytes()
