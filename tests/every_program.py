"""Compiles every program that any mode makes of the given experiments, and runs none. An abort ends this process.

Prints, as JSON, which functions of the project had a program compiled. `test_every_program.py` runs this.
"""

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import experiments
from cnn_jax import compilation, models
from cnn_jax.analysis import feature_maps, receptive_field
from cnn_jax.benchmark import cases, layers, roofs
from cnn_jax.benchmark.cases import Subject
from cnn_jax.models import blocks
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs

PROJECT = Path(__file__).parents[1]
EXAMPLES, BATCH_SIZE, SEEDS = 10, 4, 2
# The one whose programs are compiled in bfloat16 and for spread seeds too, and whose layers are looked at: the others'
# have the same loops and barriers in them.
MOST = "x_and_o"


class Compiled:
    """A compiled program that is not run: a call gives zeros in the shapes of its results."""

    def __init__(self, program: Any) -> None:
        self._program = program

    def __call__(self, *arguments: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self._program.out_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)


def compile_only() -> set[str]:
    """From now on. Gives the set that will hold, as in `programs.py:compile_inference`, where programs come from."""
    jit, sites = compilation.jit, set()

    class Jitted:
        def __init__(self, function: Callable, **arguments: Any) -> None:
            code = inspect.currentframe().f_back.f_code  # type: ignore[union-attr]
            sites.add(f"{Path(code.co_filename).name}:{code.co_name}")
            self._jitted = jit(function, **arguments)

        def lower(self, *arguments: Any) -> Any:
            return self._jitted.lower(*arguments)

        def __call__(self, *arguments: Any) -> Any:
            return Compiled(self.lower(*arguments).compile())()

    compilation.jit = Jitted  # type: ignore[assignment]
    compilation.compiled = lambda jitted, *arguments: (Compiled(jitted.lower(*arguments).compile()), 0.0)
    # LLVM's optimizations do not change which programs XLA can compile.
    compilation._CPU_OPTIONS |= compilation._RUN_ONCE_OPTIONS
    blocks._BLOCK_BYTES = 2**16  # so that a few images fill several blocks
    roofs._COPIED_BYTES = 2**12
    return sites


def programs_of(subject: Subject) -> None:
    """Those of training and inference, and the benchmark's own: the layers and the roofs."""
    config, spec, mesh = subject.config, subject.spec, meshes.over_all_devices()
    programs.compile_training(config, spec, subject.train, mesh)
    programs.compile_inference(config, spec, subject.test[:EXAMPLES], mesh, BATCH_SIZE)
    layers.measure(subject.model, BATCH_SIZE, config.dtype, config.matmul_precision, seconds=0.0)
    roofs.measure(config.dtype, config.matmul_precision, seconds=0.0)


def programs_of_seeds(subject: Subject, *, spread: bool) -> None:
    """Training of several seeds beside one another."""
    programs.compile_training(
        subject.config, subject.spec, subject.train, meshes.over_all_devices(), SEEDS, spread=spread
    )


def programs_of_layers(subject: Subject) -> None:
    """The layers' maps and what they see, as predict and the lesson show them."""
    module = models.build(subject.config, len(subject.spec.classes), fused=False)
    inputs = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), programs.input_shapes(subject.config, subject.spec)
    )
    params = jax.eval_shape(module.init, jax.random.key(0), inputs)["params"]
    feature_maps.feature_maps(module, params, inputs)
    receptive_field.measured(module, inputs)


def main(names: list[str]) -> None:
    sites = compile_only()
    compilation.start(persistent_cache=False)
    for name in names:
        config = replace(experiments.load(name), train_examples=EXAMPLES, batch_size=BATCH_SIZE)
        subject = cases.subject(config)
        programs_of(subject)
        programs_of_seeds(subject, spread=False)
        if name == MOST:
            programs_of(subject.at("bfloat16", BATCH_SIZE))
            programs_of_seeds(subject, spread=True)
            programs_of_layers(subject)
    print(json.dumps(sorted(sites)))


if __name__ == "__main__":
    main(sys.argv[1:])
