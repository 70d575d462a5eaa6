"""The compiled functions of a learner, each with the images that it works on."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from cnn_jax import compilation
from cnn_jax.data.dataset import Split
from cnn_jax.display import Displayed
from cnn_jax.training import step
from cnn_jax.training.learner import Learner
from cnn_jax.training.mesh import (
    DATA,
    SEED,
    all_along_data,
    by_data,
    by_seed,
    make_mesh,
    on_host,
    padded,
    place,
    replicated,
    stacked,
    whole,
)
from cnn_jax.training.metrics import Measures, MetricSums, Score
from cnn_jax.training.state import TrainState

INFERENCE_BATCH = 1000
CPU_INFERENCE_BATCH = 64  # what is computed of one batch then stays in the processor's cache
STATISTICS_IMAGES = 10_000  # that the statistics of an average are taken over


@dataclass(frozen=True, repr=False)
class Training(Displayed):
    """Training on one split. compile_seconds: the time to compile. memory_bytes: on each device of the mesh.

    targets: int32 [N], or a dict of them by output. learning_rate: the peak of the schedule; it may be replaced without
    compiling again, as may epochs. num_seeds: None, or how many seeds train together; all arrays of state, sums and
    indices then have an axis of this size in front.
    """

    learner: Learner
    mesh: Mesh
    images: jax.Array
    targets: Any
    epoch_steps: int
    learning_rate: float
    epochs: int
    compile_seconds: float
    memory_bytes: int
    _create: Callable
    _indices: Callable
    _chunk: Any
    num_seeds: int | None = None

    def _facts(self) -> dict[str, str]:
        seeds = {} if self.num_seeds is None else {"seeds": str(self.num_seeds)}
        return {
            "module": type(self.learner.module).__name__,
            "images": f"{self.examples:,}",
            "epochs": str(self.epochs),
            "steps in an epoch": f"{self.epoch_steps:,}",
            "learning rate": f"{self.learning_rate:g}",
            **seeds,
            "compiled in": f"{self.compile_seconds:.1f} s",
            "memory": f"{self.memory_bytes / 1e6:,.0f} MB",
        }

    @property
    def examples(self) -> int:
        """The images of an epoch."""
        return len(self.images)

    def replace(self, **changes: Any) -> "Training":
        """The same compiled functions with another learning rate, other epochs, or other images and targets."""
        return dataclasses.replace(self, **changes)

    def zeros(self) -> MetricSums:
        """The sums over no images, for the model's outputs."""
        shape = () if self.num_seeds is None else (self.num_seeds,)
        zeros = jax.tree.map(lambda leaf: np.full(shape, leaf), self.learner.measures.zeros(self.targets))
        return place(zeros, self._by_seed)

    @property
    def _by_seed(self) -> NamedSharding:
        """How the arrays of a state lie on the devices."""
        return replicated(self.mesh) if self.num_seeds is None else by_seed(self.mesh)

    def create_state(self, seed: int | Sequence[int]) -> TrainState:
        """The state before the first step, of one seed or of `num_seeds` seeds.

        Raises InputError where the variables that training starts from are not given.
        """
        self.learner.require_initial()
        return self._create(place(np.asarray(seed, np.uint32), self._by_seed), self.learner.initial)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate after `step` steps were taken."""
        return self.learning_rate * float(self.learner.factor(self.epochs * self.epoch_steps)(step))

    def settled(self, state: TrainState) -> TrainState:
        """The state of one seed, or of `num_seeds` seeds, ready to be scored.

        Where an average of the parameters is kept, the module's state that goes with it is computed over a fixed list
        of training images: the statistics of a BatchNorm were taken with other parameters.
        """
        if not state.average or not state.model_state:
            return state
        if self.num_seeds is None:
            return self._settled(state)
        of_seeds = [jax.tree.map(operator.itemgetter(index), whole(state)) for index in range(self.num_seeds)]
        return stacked([self._settled(of_seed) for of_seed in of_seeds], self.mesh)

    def _settled(self, state: TrainState) -> TrainState:
        """The state of one seed with the module's state that goes with its average."""
        mesh = all_along_data(self.mesh)
        rows = padded(min(self.learner.batch_size, self.examples), mesh)
        order = np.random.default_rng(0).permutation(self.examples)[: max(rows, STATISTICS_IMAGES // rows * rows)]
        indices = np.resize(order, (max(1, len(order) // rows), rows)).astype(np.int32)
        # From the state of training: that of an earlier settling would make the result depend on interruptions.
        variables = {"params": state.average["params"], **state.model_state}
        on_devices = place((variables, self.images, indices), replicated(mesh))
        return state.replace(average={**state.average, "model_state": self._statistics(*on_devices)})

    @functools.cached_property
    def _statistics(self) -> Callable:
        mesh = all_along_data(self.mesh)
        return compilation.jit(
            step.make_statistics(self.learner, by_data(mesh)),
            in_shardings=replicated(mesh),
            out_shardings=replicated(mesh),
        )

    def batch_indices(self, key: jax.Array, epoch: int) -> jax.Array:
        """The images of each step of an epoch: int32 [steps, rows], -1 in rows without an image."""
        return self._indices(key, np.int32(epoch))

    def chunk(
        self, state: TrainState, sums: MetricSums, indices: jax.Array, first: int, last: int
    ) -> tuple[TrainState, MetricSums]:
        """Takes the steps first (included) to last (excluded) of an epoch. Donates the given state."""
        with np.errstate(over="ignore"):  # a learning rate that is too large for float32 becomes infinity
            learning_rate = np.float32(self.learning_rate)
        bounds = np.int32(first), np.int32(last)
        return self._chunk(state, sums, self.images, self.targets, indices, *bounds, learning_rate)

    def hlo_text(self) -> str:
        """The optimized program of the chunk, as XLA runs it."""
        return self._chunk.as_text()


@dataclass(frozen=True, repr=False)
class Inference(Displayed):
    """Inference on one split. compile_seconds: the time to compile. memory_bytes: on each device.

    targets: int32 [N], or a dict of them by output.
    """

    measures: Measures
    images: jax.Array
    targets: Any
    compile_seconds: float
    memory_bytes: int
    _infer: Callable

    def _facts(self) -> dict[str, str]:
        return {"images": f"{len(self.images):,}", "compiled in": f"{self.compile_seconds:.1f} s"}

    def logits(self, variables: dict) -> Any:
        """Logits of every image, on the host: float32 [N, classes], or a dict of them by output."""
        return on_host(self._infer(place(variables, self.images.sharding), self.images))

    def on(self, images: np.ndarray) -> "Inference":
        """The same compiled function for other images: uint8, of the same shape."""
        return dataclasses.replace(self, images=place(images, self.images.sharding))

    def score(self, variables: dict) -> Score:
        """Loss, accuracy and metrics over every image."""
        return self.measures.score(self.logits(variables), self.targets)


@dataclass(frozen=True)
class CompiledFunctions:
    """All compiled functions of a run."""

    training: Training
    test: Inference
    validation: Inference | None

    @property
    def compile_seconds(self) -> float:
        """The time to compile all of them."""
        return sum(part.compile_seconds for part in (self.training, self.test, self.validation) if part)


def compile_all(
    learner: Learner,
    train: Split,
    validation: Split | None,
    test: Split,
    num_seeds: int | None = None,
    mesh: Mesh | None = None,
) -> CompiledFunctions:
    """Compiles a run's functions. The images move to the devices once; no step is taken.

    num_seeds: as in `compile_training`. Inference is always for one seed. mesh: None means all devices.
    """
    mesh = mesh or make_mesh(num_seeds or 1)
    for_inference = all_along_data(mesh)
    return CompiledFunctions(
        training=compile_training(learner, train, mesh, num_seeds),
        test=compile_inference(learner, test, for_inference),
        validation=compile_inference(learner, validation, for_inference) if validation else None,
    )


def compile_training(learner: Learner, split: Split, mesh: Mesh, num_seeds: int | None = None) -> Training:
    """Compiles training on a split, whose arrays move to the devices once.

    num_seeds: train this many seeds together, laid along the mesh's axis `seed`; its size must divide their number.
    """
    batch_size = min(learner.batch_size, len(split))
    epoch_steps = -(-len(split) // batch_size)
    images, targets = place((split.images, learner.task.targets(split.labels)), replicated(mesh))
    compiled = functools.partial(_compiled, mesh, num_seeds)

    # Where the initial variables are not given, this state serves to compile the step alone.
    seeds, initial, zero = np.zeros(num_seeds or (), np.uint32), learner.initial or {}, np.int32(0)
    seeds = place(seeds, replicated(mesh) if num_seeds is None else by_seed(mesh))
    create, create_seconds = compiled(learner.create_state, (0, None), seeds, initial, runs_once=True)
    state = create(seeds, initial)
    rows = padded(batch_size, mesh, learner.microbatches)
    sized = functools.partial(step.batch_indices, examples=len(split), batch_size=batch_size, rows=rows)
    indices, indices_seconds = compiled(sized, (0, None), state.key, zero)
    training = Training(
        learner, mesh, images, targets, epoch_steps, learner.learning_rate, learner.epochs, 0.0, 0, create, indices,
        None, num_seeds,
    )  # fmt: skip

    def make_step(learning_rate: ArrayLike) -> step.Step:
        return step.make_step(learner, learning_rate, learner.epochs * epoch_steps)

    chunk, chunk_seconds = compiled(
        step.make_chunk(make_step, _batch_sharding(mesh, num_seeds)),
        (0, 0, None, None, 0, None, None, None),
        *(state, training.zeros(), images, targets, indices(state.key, zero), zero, zero, np.float32(0)),
        donate_argnums=0,
        small_loops=True,
    )
    seconds = create_seconds + indices_seconds + chunk_seconds
    return training.replace(compile_seconds=seconds, memory_bytes=compilation.memory_bytes(chunk), _chunk=chunk)


def _batch_sharding(mesh: Mesh, num_seeds: int | None) -> Any:
    """How devices share a batch. Under `shard_map` the mesh is known from there."""
    return by_data(mesh) if num_seeds is None else PartitionSpec(DATA)


def _compiled(
    mesh: Mesh, num_seeds: int | None, function: Callable, seed_axes: tuple, *arguments: Any, **options: Any
) -> tuple[Callable, float]:
    """Compiles a function for a mesh, and gives the seconds that this took.

    seed_axes: for each argument 0 or None, as `jax.vmap` takes them where several seeds train together.
    """
    everywhere = replicated(mesh)
    if num_seeds is None:
        jitted = compilation.jit(function, in_shardings=everywhere, out_shardings=everywhere, **options)
        return compilation.compiled(jitted, *arguments)
    shardings = tuple(everywhere if axis is None else by_seed(mesh) for axis in seed_axes)
    # The devices along `seed` work alone. Left to itself, XLA could exchange arrays between seeds.
    mapped = jax.shard_map(
        jax.vmap(function, seed_axes),
        mesh=mesh,
        in_specs=tuple(sharding.spec for sharding in shardings),
        out_specs=by_seed(mesh).spec,
        axis_names={SEED},
        check_vma=False,  # the gradients of our operators do not declare the axes along which they vary
    )
    jitted = compilation.jit(mapped, in_shardings=shardings, out_shardings=by_seed(mesh), **options)
    return compilation.compiled(jitted, *arguments)


def compile_inference(learner: Learner, split: Split, mesh: Mesh, batch_size: int | None = None) -> Inference:
    """Compiles inference on a split, whose images move to the devices once.

    batch_size: how many images are computed at a time; None means a number that suits the device.
    """
    everywhere = replicated(mesh)
    images = place(split.images, everywhere)
    if batch_size is None:
        batch_size = CPU_INFERENCE_BATCH if mesh.devices.flat[0].platform == "cpu" else INFERENCE_BATCH
    rows = padded(min(batch_size, len(split)), mesh)
    infer = step.make_infer(learner.apply, rows, by_data(mesh))
    jitted = compilation.jit(infer, in_shardings=everywhere, out_shardings=everywhere)
    program, seconds = compilation.compiled(jitted, learner.abstract_variables, images)
    return Inference(
        learner.measures,
        images,
        learner.task.targets(split.labels),
        seconds,
        compilation.memory_bytes(program),
        program,
    )
