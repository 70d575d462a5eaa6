"""Compiles every program that any mode makes of the given experiments, and runs none. An abort ends this process.

Prints, as JSON, which functions of the project had a program compiled. `test_every_program.py` runs this.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

import experiments
from cnn_jax import compilation
from cnn_jax.config import Config
from cnn_jax.data.augmentations import AUGMENTATIONS, Mixed
from cnn_jax.experiment import Experiment, build
from cnn_jax.models import receptive_field, summary
from cnn_jax.ops import blocks
from cnn_jax.runs.history import History
from cnn_jax.runs.in_memory import TrainedRun
from cnn_jax.studies.benchmark import cases, layers, reference, roofline
from cnn_jax.studies.benchmark.cases import BenchmarkModel
from cnn_jax.studies.lesson.live import robustness
from cnn_jax.studies.summary import sheets
from cnn_jax.training import checks
from cnn_jax.training.compiled import compile_inference, compile_training
from cnn_jax.training.mesh import make_mesh

PROJECT = Path(__file__).parents[1]
EXAMPLES, BATCH_SIZE, SEEDS = 10, 4, 2
# The programs of this one are also compiled in bfloat16, and those that look at layers are compiled for it alone: the
# programs of the others have the same loops and barriers.
MOST = "x_and_o"
# Its network is lecture_cnn's, behind a permutation of the pixels: that is compiled before a small network.
SHRUNK = {"permuted_pixels": {"widths": (8,)}, "resnet": {"depth": 8}}


class Compiled:
    """A compiled program that is not run: a call gives zeros in the shapes of its results."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def __call__(self, *arguments: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self._program.out_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)


def compile_only() -> set[str]:
    """Compiles from now on, and runs nothing. Returns a set of places, as `compiled.py:compile_inference`.

    The set will hold every place in the project that has compiled a program.
    """
    jit, sites = compilation.jit, set()

    class Jitted:
        def __init__(self, function: Callable, **arguments: Any) -> None:
            code = inspect.currentframe().f_back.f_code
            sites.add(f"{Path(code.co_filename).name}:{code.co_name}")
            self._jitted = jit(function, **arguments)

        def lower(self, *arguments: Any) -> Any:
            return self._jitted.lower(*arguments)

        def __call__(self, *arguments: Any) -> Any:
            return Compiled(self.lower(*arguments).compile())()

    compilation.jit = Jitted
    compilation.compiled = lambda jitted, *arguments: (Compiled(jitted.lower(*arguments).compile()), 0.0)
    # LLVM's optimizations do not change which programs XLA can compile.
    compilation._CPU_OPTIONS |= compilation._RUN_ONCE_OPTIONS
    blocks._BLOCK_BYTES = 2**16  # so that a few images fill several blocks
    roofline._COPIED_BYTES = 2**12
    roofline._LARGEST_MATRIX = 512  # products of larger ones are the same program
    return sites


def compile_model(model: BenchmarkModel) -> None:
    """Compiles training, training of several seeds, inference, and what the benchmark compiles beside them."""
    learner, config = build(model.experiment, model.spec), model.config
    compile_training(learner, model.train, make_mesh())
    compile_training(learner, model.train, make_mesh(SEEDS), SEEDS)
    compile_inference(learner, model.test[:EXAMPLES], make_mesh(), BATCH_SIZE)
    layers.measure(model.layers, BATCH_SIZE, config.dtype, config.matmul_precision, seconds=0.0)
    roofline.measure_peaks(config.dtype, config.matmul_precision, seconds=0.0)
    reference.prepare()


def compile_views_of_layers(model: BenchmarkModel) -> None:
    """Compiles what computes the layers' maps, receptive fields and answers, as the lesson shows them."""
    learner = build(model.experiment, model.spec, fused=False)
    inputs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), learner.input_shapes)
    summary.feature_maps(learner.module, learner.abstract_variables, inputs)
    receptive_field.measured(learner.module, inputs)
    robustness.compiled_apply(model.experiment)(learner.abstract_variables, model.test.images[:EXAMPLES])


class OwnModel(nn.Module):
    """A user's model: stock layers, with a state and random numbers."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(8, (3, 3))(images)))
        x = nn.Dropout(0.5, deterministic=not train)(nn.avg_pool(x, (2, 2), (2, 2)))
        return nn.Dense(self.classes)(x.reshape(x.shape[0], -1))


def mixup(key: jax.Array, images: jax.Array) -> Mixed:
    """Each image is mixed with the image of another row."""
    partners = jax.random.permutation(key, images.shape[0])
    weight = jax.random.uniform(key, images.shape[:1])
    shares = weight.reshape(-1, 1, 1, 1)
    return Mixed(shares * images + (1 - shares) * images[partners], partners, weight)


def own_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The squared distance from the label's vector."""
    return jnp.sum((logits - jax.nn.one_hot(labels, logits.shape[-1])) ** 2, axis=-1)


def compile_own_parts(config: Config) -> None:
    """Compiles what only an experiment of a user's own has, as a run and a program in memory have it."""
    experiment = Experiment(
        config,
        models={"own": OwnModel},
        augmentations={"own_mixup": mixup},
        losses={"own": own_loss},
        metrics={"margin": lambda logits, labels: jnp.max(logits, axis=-1)},
    ).vary(model="own", augment=("shift", "flip", "own_mixup"), loss="own", metrics=("margin",), average="ema")
    model = cases.build_model(experiment)
    compile_model(model)
    learner, split = build(experiment, model.spec), model.train[:EXAMPLES]
    checks.require_numbers(learner, split)
    training = compile_training(learner, split, make_mesh())
    training.settled(training.create_state(0))
    TrainedRun(experiment, learner.abstract_variables, History(), 0.0, 0.0, {}).predict(split.images)


def compile_augmentations(model: BenchmarkModel) -> None:
    """Compiles what a page of augmentations shows."""
    keys = jax.random.split(jax.random.key(0), 2)
    for augment in AUGMENTATIONS.values():
        sheets._draws(augment, keys, model.train.images[:EXAMPLES])


def main(names: list[str]) -> None:
    sites = compile_only()
    compilation.start(persistent_cache=False)
    for name in names:
        small = {"train_examples": EXAMPLES, "batch_size": BATCH_SIZE} | SHRUNK.get(name, {})
        model = cases.build_model(experiments.load(name).vary(small))
        compile_model(model)
        if name == MOST:
            compile_model(model.variant("bfloat16", BATCH_SIZE))
            compile_views_of_layers(model)
            compile_own_parts(model.config)
            compile_augmentations(model)
    print(json.dumps(sorted(sites)))


if __name__ == "__main__":
    main(sys.argv[1:])
