"""Makes the folders in cnn_jax/runs/shipped/ from finished runs on MNIST, and measures what float16 costs.

    python experiments/results/ship.py RUN [RUN ...] [--manual_dir=FOLDER] [--data_dir=FOLDER]

Each RUN is the folder of a finished run; its copy has the name of its experiment. The copy has no checkpoints, no
predictions, no events of TensorBoard, and no command line, which names folders of one machine.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax import TrainedRun, data, load_run
from cnn_jax.data.dataset import Split
from cnn_jax.errors import InputError, ProjectError
from cnn_jax.files import write_json
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.shipped import FOLDER, PARAMETERS, ROUNDED
from cnn_jax.training.metrics import score

_COPIED = ("config.json", "metrics.jsonl", "result.json")
_STORED_LOGITS = 20  # test images whose logits are stored, for tests


def ship(path: Path, test: Split) -> None:
    """Writes one folder. path: of a finished run. test: its test images."""
    run = load_run(path)
    halves = {name: array.astype(np.float16) for name, array in flatten_dict(run.params, sep="/").items()}
    floats = {name: array.astype(np.float32) for name, array in halves.items()}
    rounded = dataclasses.replace(run, variables={"params": unflatten_dict(floats, sep="/")})
    folder = FOLDER / run.experiment.config.experiment
    folder.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        shutil.copyfile(path / name, folder / name)
    machine = json.loads((path / "machine.json").read_text(encoding="utf-8"))
    write_json(folder / "machine.json", {name: value for name, value in machine.items() if name != "command_line"})
    np.savez(folder / PARAMETERS, allow_pickle=False, **halves)
    cost = _cost(path, rounded, test)
    write_json(folder / ROUNDED, cost)
    print(f"{folder.name}: {(folder / PARAMETERS).stat().st_size:,} bytes; test loss {run.test_loss:.6f} before,")
    print(f"{cost['test_loss']:.6f} after; test accuracy {run.test_accuracy:.4f} before, {cost['test_accuracy']:.4f}")
    print(f"after; largest change of a logit {cost['largest_logit_change']:.5f}")


def _cost(path: Path, rounded: TrainedRun, test: Split) -> dict:
    """What rounding costs on all test images, and the first logits before rounding. path: of the run."""
    before, labels = RunDirectory(path).predictions()
    if not np.array_equal(labels, test.labels):
        raise InputError(f"{path}: was scored on other test images than MNIST's.")
    after = rounded.logits(test.images)
    scored = score(after, labels)
    return {
        "dtype": "float16",
        "test_loss": scored.loss,
        "test_accuracy": scored.accuracy,
        "largest_logit_change": float(np.abs(after - before).max()),
        "changed_answers": int(np.sum(after.argmax(axis=1) != before.argmax(axis=1))),
        "first_logits": before[:_STORED_LOGITS].tolist(),
    }


def main() -> int:
    """Reads the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--manual_dir", type=Path)
    parser.add_argument("--data_dir", type=Path)
    flags = parser.parse_args()
    try:
        test = data.load("mnist", data_dir=flags.data_dir, manual_dir=flags.manual_dir).test
        for path in flags.runs:
            ship(path, test)
    except (ProjectError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
