"""Write a commented starter file for an experiment of one's own. It trains as it is."""

import shlex
from pathlib import Path

from cnn_jax import program
from cnn_jax.errors import InputError
from cnn_jax.files import machine_errors, require_writable, write_atomic
from cnn_jax.report.console import Console
from cnn_jax.runs.options import RunOptions

STARTER = '''"""My experiment: a small network with batch normalization and dropout.

    {command} --mode=check --experiment={name}
    {command} --experiment={name}
    {command} --experiment={name} --model.width=48 --optimizer.weight_decay=0.1 --seeds=3
    {command} --experiment={name} --help
"""

import jax
import optax
from flax import linen as nn

from cnn_jax import Config, Experiment, Part, max_pool


class Net(nn.Module):
    """Two convolutions. The fields with a type and a default are settings: --model.width=48."""

    classes: int  # the program gives the number of classes
    width: int = 16
    dropout: float = 0.2

    @nn.compact
    def __call__(self, images, *, train=False):  # images: float32 [N, H, W, C]; returns logits [N, classes]
        x = images
        for width in (self.width, 2 * self.width):
            x = nn.Conv(width, (3, 3))(x)  # stock layers are fast: the program replaces what they compute with
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
            x = max_pool(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(self.classes)(x)


def clipped_adamw(learning_rate, weight_decay: float = 0.05):
    """AdamW with clipped gradients. learning_rate is a function of the step: hand it to optax as it is."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(learning_rate, weight_decay=weight_decay))


def smoothed(logits, labels, amount: float = 0.1):
    """Cross-entropy with label smoothing. A loss gives one number an image: float32 [N]."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), amount)
    return optax.softmax_cross_entropy(logits, targets)


def confidence(logits, labels):
    """A metric gives one number an image. It is reported everywhere by its name."""
    return jax.nn.softmax(logits).max(axis=-1)


def experiment() -> Experiment:
    return Experiment(
        Config(
            dataset="mnist",
            model=Part("net", width=16),
            loss="smoothed",
            optimizer="clipped_adamw",
            learning_rate=3e-3,
            schedule="onecycle",
            augment=("shift",),
            epochs=3,
        ),
        models={{"net": Net}},
        losses={{"smoothed": smoothed}},
        metrics={{"confidence": confidence}},
        optimizers={{"clipped_adamw": clipped_adamw}},
    )
'''


def run(options: RunOptions, *, output: Path | None = None) -> Path:
    """Writes the file and returns its path. Raises InputError where it exists or has no name that ends in .py."""
    if output is None:
        raise InputError("--mode=new: name the file with --output=mine.py.")
    if output.suffix != ".py":
        raise InputError(f"--output={output}: the file is a Python file. Name one that ends in .py.")
    if output.exists() or output.is_symlink():
        raise InputError(f"--output={output}: already exists. Name another file.")
    require_writable(output.parent, flag="output")
    with machine_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, STARTER.format(command=program.command(), name=_in_docstring(output)))
    check = f"{program.command()} --mode=check --experiment={shlex.quote(str(output))}"
    Console().line(f"{output} written. To try it: {check}")
    return output


def _in_docstring(path: Path) -> str:
    """The path as it is typed in a shell, within a docstring."""
    name = shlex.quote(str(path)).encode(errors="backslashreplace").decode()  # the path may be no UTF-8
    return name.replace("\\", "\\\\").replace('"', '\\"')
