"""The compiled programs of a run, each with the images that it works on: made once, called between chores."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jax.typing import ArrayLike

from cnn_jax import compilation, models
from cnn_jax.config import Config
from cnn_jax.data import views
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.training import mesh as meshes
from cnn_jax.training import metrics, step
from cnn_jax.training.metrics import Score, Sums
from cnn_jax.training.optimizer import build as build_optimizer
from cnn_jax.training.state import TrainState, create

INFERENCE_BATCH = 1000


@dataclass(frozen=True)
class Training:
    """Training on one split, compiled for it. compile_seconds: what that took. memory_bytes: on each device.

    targets: int32 [N], or a dict of them by output. learning_rate: the peak of the schedule; another one takes no
    other program. lanes: None, or how many seeds are trained beside one another; all arrays of state, sums and order
    then have an axis of this size in front.
    """

    images: jax.Array
    targets: Any
    epoch_steps: int
    learning_rate: float
    compile_seconds: float
    memory_bytes: int
    _start: Callable
    _order: Callable
    _chunk: Any
    lanes: int | None = None

    @property
    def examples(self) -> int:
        """The images of an epoch."""
        return len(self.images)

    def at_learning_rate(self, learning_rate: float) -> "Training":
        """The same programs with another learning rate."""
        return dataclasses.replace(self, learning_rate=learning_rate)

    def zeros(self) -> Sums:
        """The sums over no images, for the model's outputs."""
        shape = () if self.lanes is None else (self.lanes,)
        return jax.tree.map(lambda leaf: jnp.full(shape, leaf), metrics.zeros(self.targets))

    def start(self, seed: int | Sequence[int]) -> TrainState:
        """The state before the first step; with lanes, of one seed each."""
        return self._start(np.asarray(seed, np.uint32))

    def order(self, key: jax.Array, epoch: int) -> jax.Array:
        """The images of each step of an epoch: int32 [steps, rows], -1 where a row has none."""
        return self._order(key, np.int32(epoch))

    def chunk(self, state: TrainState, sums: Sums, order: jax.Array, first: int, last: int) -> tuple[TrainState, Sums]:
        """Takes steps first (included) to last (excluded) of an order. Donates the given state."""
        bounds = np.int32(first), np.int32(last)
        return self._chunk(state, sums, self.images, self.targets, order, *bounds, _float32(self.learning_rate))

    def program_text(self) -> str:
        """The chunk's program as XLA runs it."""
        return self._chunk.as_text()


@dataclass(frozen=True)
class Inference:
    """Inference on one split, compiled for it. compile_seconds: what that took. memory_bytes: on each device.

    targets: int32 [N], or a dict of them by output.
    """

    images: jax.Array
    targets: Any
    compile_seconds: float
    memory_bytes: int
    _infer: Callable

    def logits(self, params: dict) -> Any:
        """Logits of every image, on the host: float32 [N, classes], or a dict of them by output."""
        return jax.device_get(self._infer(jax.device_put(params, self.images.sharding), self.images))

    def on(self, images: np.ndarray) -> "Inference":
        """The same program for other images: uint8, of the same shape."""
        return dataclasses.replace(self, images=jax.device_put(images, self.images.sharding))

    def score(self, params: dict) -> Score:
        """Loss and accuracy over every image."""
        return metrics.score(self.logits(params), self.targets)


@dataclass(frozen=True)
class Programs:
    """All that a run calls. parameters: how many numbers the model learns."""

    training: Training
    test: Inference
    validation: Inference | None
    parameters: int

    @property
    def compile_seconds(self) -> float:
        """What compiling took in all."""
        return sum(p.compile_seconds for p in (self.training, self.test, self.validation) if p)


def compile_all(
    config: Config,
    spec: Spec,
    train: Split,
    validation: Split | None,
    test: Split,
    lanes: int | None = None,
    *,
    spread: bool = False,
) -> Programs:
    """Compiles a run's programs for all devices at hand. The images move there once; no step is taken.

    lanes, spread: of training, as `compile_training` has them; inference is that of one seed.
    """
    mesh = meshes.over_all_devices()
    return Programs(
        training=compile_training(config, spec, train, mesh, lanes, spread=spread),
        test=compile_inference(config, spec, test, mesh),
        validation=compile_inference(config, spec, validation, mesh) if validation else None,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state_shapes(config, spec, mesh).params)),
    )


def compile_training(
    config: Config, spec: Spec, split: Split, mesh: Mesh, lanes: int | None = None, *, spread: bool = False
) -> Training:
    """Compiles start, order and chunk for a split, whose arrays move to the devices once.

    lanes: for so many seeds beside one another. spread: the devices share these out, and no longer each batch; their
    number must divide by that of the devices.
    """
    batch_size = min(config.batch_size, len(split))
    rows = batch_size if spread else meshes.padded(batch_size, mesh)
    epoch_steps = -(-len(split) // batch_size)
    optimizer = build_optimizer(config, config.epochs * epoch_steps)
    everywhere = meshes.replicated(mesh)
    images, targets = jax.device_put((split.images, _targets(config, split)), everywhere)

    def compiled(function: Callable, lane_axes: Any, *arguments: Any, **options: Any) -> tuple[Callable, float]:
        jitted = _jitted(function, mesh, lane_axes if lanes else None, spread=spread, **options)
        return compilation.compiled(jitted, *arguments)

    start, start_seconds = compiled(
        lambda seed: create(_module(config, spec), optimizer, _example(config, spec), seed),
        0,
        np.zeros(lanes or (), np.uint32),
        runs_once=True,
    )
    state, zero = start(np.zeros(lanes or (), np.uint32)), np.int32(0)
    order, order_seconds = compiled(
        lambda key, epoch: step.epoch_order(key, epoch, len(split), batch_size, rows), (0, None), state.key, zero
    )
    training = Training(images, targets, epoch_steps, config.learning_rate, 0.0, 0, start, order, None, lanes)
    step_at = functools.partial(step_function, config, spec, epoch_steps)
    chunk, chunk_seconds = compiled(
        step.make_chunk(step_at, None if spread else meshes.by_batch(mesh)),
        (0, 0, None, None, 0, None, None, None),
        *(state, training.zeros(), images, targets, order(state.key, zero), zero, zero, np.float32(0)),
        donate_argnums=0,
        small_loops=True,
    )
    seconds = start_seconds + order_seconds + chunk_seconds
    return dataclasses.replace(
        training, compile_seconds=seconds, memory_bytes=compilation.memory_bytes(chunk), _chunk=chunk
    )


def _jitted(function: Callable, mesh: Mesh, lane_axes: Any, *, spread: bool, **options: Any) -> Any:
    """The function jitted for a mesh. lane_axes: where arguments have their lanes, as in `jax.vmap`, or None."""
    everywhere = meshes.replicated(mesh)
    if lane_axes is None:
        return compilation.jit(function, in_shardings=everywhere, out_shardings=everywhere, **options)
    mapped = jax.vmap(function, lane_axes)
    if not spread:
        return compilation.jit(mapped, in_shardings=everywhere, out_shardings=everywhere, **options)
    axes = lane_axes if isinstance(lane_axes, tuple) else (lane_axes,)
    apart = meshes.by_batch(mesh)
    places = tuple(everywhere if axis is None else apart for axis in axes)
    local = jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=tuple(place.spec for place in places),
        out_specs=apart.spec,
        check_vma=False,  # the operators' own gradients do not say over which devices they vary
    )
    return compilation.jit(local, in_shardings=places, out_shardings=apart, **options)


def compile_inference(
    config: Config, spec: Spec, split: Split, mesh: Mesh, batch_size: int = INFERENCE_BATCH
) -> Inference:
    """Compiles inference for a split, whose images move to the devices once."""
    everywhere = meshes.replicated(mesh)
    images = jax.device_put(split.images, everywhere)
    rows = meshes.padded(min(batch_size, len(split)), mesh)
    infer = step.make_infer(apply_function(config, spec), rows, meshes.by_batch(mesh))
    jitted = compilation.jit(infer, in_shardings=everywhere, out_shardings=everywhere)
    program, seconds = compilation.compiled(jitted, state_shapes(config, spec, mesh).params, images)
    return Inference(images, _targets(config, split), seconds, compilation.memory_bytes(program), program)


def step_function(
    config: Config, spec: Spec, epoch_steps: int, learning_rate: ArrayLike | None = None
) -> Callable[..., tuple[TrainState, Sums]]:
    """The config's training step, not compiled. learning_rate: instead of the config's; it may be traced."""
    optimizer = build_optimizer(config, config.epochs * epoch_steps, learning_rate)
    return step.make_step(apply_function(config, spec), optimizer)


def state_shapes(config: Config, spec: Spec, mesh: Mesh) -> TrainState:
    """Shapes, dtypes and places of the state that a run of this config has. No array is made."""
    optimizer = build_optimizer(config, steps=1)
    return _shapes(lambda: create(_module(config, spec), optimizer, _example(config, spec), config.seed), mesh)


def saved_shapes(
    config: Config, spec: Spec, mesh: Mesh, lanes: int | None = None, *, spread: bool = False
) -> tuple[TrainState, Sums]:
    """The same of all that a checkpoint of such a run holds. lanes, spread: as `compile_training` has them."""
    sums = _shapes(lambda: metrics.zeros(views.VIEWS[config.view].targets(jnp.zeros(1, jnp.int32))), mesh)
    one = state_shapes(config, spec, mesh), sums
    if lanes is None:
        return one
    place = meshes.by_batch(mesh) if spread else meshes.replicated(mesh)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((lanes, *leaf.shape), leaf.dtype, sharding=place), one)


def input_shapes(config: Config, spec: Spec) -> Any:
    """Shapes and dtypes of what the config's model receives for one image."""
    return jax.eval_shape(lambda: _example(config, spec))


def _shapes(function: Callable, mesh: Mesh) -> Any:
    everywhere = meshes.replicated(mesh)
    shapes = jax.eval_shape(function)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), shapes)


def apply_function(config: Config, spec: Spec, *, fused: bool = True) -> step.Apply:
    """The config's model as a pure function of parameters and uint8 images. fused: as `models.build` has it."""
    module, view = _module(config, spec, fused=fused), views.VIEWS[config.view]

    def apply(params: dict, images: jax.Array) -> Any:
        with jax.default_matmul_precision(config.matmul_precision):
            return module.apply({"params": params}, view.inputs(spec.inputs(images)))

    return apply


def _float32(number: float) -> np.float32:
    """The number as a device takes it: one too large for it is infinity, without a word."""
    with np.errstate(over="ignore"):
        return np.float32(number)


def _targets(config: Config, split: Split) -> Any:
    return views.VIEWS[config.view].targets(split.labels)


def _example(config: Config, spec: Spec) -> Any:
    """What the config's model receives for one image without anything on it."""
    return views.VIEWS[config.view].inputs(jnp.zeros((1, *spec.image_shape), jnp.float32))


def _module(config: Config, spec: Spec, *, fused: bool = True) -> nn.Module:
    return models.build(config, len(spec.classes), fused=fused)
