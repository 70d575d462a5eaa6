"""Many seeds trained as one program, resumable as one, and at the end stored as an ordinary run each."""

from dataclasses import dataclass, replace

from cnn_jax.config import Config
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs.checkpoint import Saved
from cnn_jax.runs.directory import RunDirectory, delete
from cnn_jax.runs.execute import Images, Place, Run, machine_record, result_of, score_and_store, train
from cnn_jax.runs.many_directory import ManyDirectory
from cnn_jax.runs.result import Result
from cnn_jax.runs.signals import Requests
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs
from cnn_jax.training.programs import Programs
from cnn_jax.training.together import Together, at, begin


@dataclass(frozen=True)
class Group:
    """Seeds that are trained together. strategy: `vmap`, or `shard`, where devices share them out."""

    seeds: tuple[int, ...]
    strategy: str

    @property
    def spread(self) -> bool:
        return self.strategy == "shard"

    @property
    def lanes(self) -> int:
        """The seeds, and as many more as give every device the same number."""
        return meshes.padded(len(self.seeds), meshes.over_all_devices()) if self.spread else len(self.seeds)


def under_way(directory: RunDirectory) -> Group | None:
    """The seeds that have begun together and are not all stored; None where there are none.

    Raises InputError where the record of which they are is damaged.
    """
    if not checkpoint.steps(directory.checkpoints):
        return None
    known = directory.machine()
    seeds, strategy = known.get("seeds"), known.get("seed_strategy")
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or strategy not in ("vmap", "shard"):
        raise InputError(
            f"{directory.path}: machine.json does not say which seeds these are. To train anew: --overwrite."
        )
    return Group(tuple(seeds), strategy)


def train_group(
    group: Group,
    config: Config,
    place: Place,
    images: Images,
    compiled: Programs,
    console: Console,
    requests: Requests,
) -> dict[int, Result]:
    """Trains the seeds of a group on from where they stand, and stores each in its directory. place: of the whole."""
    many = ManyDirectory(place.workdir)
    config = replace(config, seed=group.seeds[0])
    saved = _open(group, config, place, images, many.together, console)
    run = Run(
        config,
        images.spec,
        place,
        many.together,
        compiled,
        console,
        saved.rows if saved else [],
        requests,
        group.seeds,
    )
    progress = train(run, _start(run, saved))
    assert isinstance(progress, Together)
    results = {seed: _store(run, images, group, progress, index) for index, seed in enumerate(group.seeds)}
    if all(result.status != "stopped" for result in results.values()):
        many.end_together()
    return results


def _open(
    group: Group, config: Config, place: Place, images: Images, directory: RunDirectory, console: Console
) -> Saved | None:
    """Brings the group's folder to where its newest checkpoint stands, or to the beginning: then None."""
    record = machine_record(place, images) | {"seeds": group.seeds, "seed_strategy": group.strategy}
    like = programs.saved_shapes(config, images.spec, meshes.over_all_devices(), group.lanes, spread=group.spread)
    saved = checkpoint.newest(directory.checkpoints, like, console)
    if saved is None:
        delete(directory.path)  # what is there was ended before anything was saved
        directory.begin(config, record)
        return None
    directory.go_on(config, record, saved.rows)
    return saved


def _start(run: Run, saved: Saved | None) -> Together:
    training = run.programs.training
    if saved is None:
        return begin(training, run.seeds)
    run.console.line(f"goes on from step {saved.step:,} of each seed")
    return at(training, saved.state, saved.sums, saved.step, saved.clock, len(run.seeds))


def _store(run: Run, images: Images, group: Group, progress: Together, index: int) -> Result:
    """Leaves in a seed's directory what it would have left there by itself."""
    config = replace(run.config, seed=group.seeds[index])
    directory = ManyDirectory(run.place.workdir).run(config.seed)
    rows = [row for row in run.rows if row["seed"] == config.seed]
    remark = (
        f"trained together with {len(group.seeds) - 1} other seeds by --seed_strategy={group.strategy}: "
        "its seconds are its share of the time of all"
    )
    directory.begin(config, machine_record(run.place, images) | {"remark": remark})
    for row in rows:
        directory.append_row(row)
    with directory.events(rows):
        pass
    alone, own = progress.alone(index), replace(run, config=config, directory=directory, rows=rows)
    if progress.diverged_at[index] is not None:
        result = _diverged(own, progress, index)
        directory.write_result(result)
        return result
    with checkpoint.Writer(directory.checkpoints, run.place.keep_checkpoints) as writer:
        writer.save(alone, rows)
        writer.finish()
    try:
        return score_and_store(own, alone)
    except DivergedError:
        return directory.stored_result()


def _diverged(run: Run, progress: Together, index: int) -> Result:
    """The result of a seed that has diverged: its steps until then; its training numbers were not kept."""
    steps = (progress.diverged_at[index] or 1) - 1
    result = result_of(run, "diverged", progress.alone(index))
    return replace(result, steps=steps, epochs=steps // progress.epoch_steps)
