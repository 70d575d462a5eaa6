"""What the runs of one command share: the learner, the data, the options, and the functions compiled for them."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset, Spec, Split, split_training_images
from cnn_jax.data.source import Source
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build, remarks
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint, machine
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.processes import PATIENCE, WITHOUT_HURRY
from cnn_jax.runs.signals import SignalFlags
from cnn_jax.training.checks import require_numbers
from cnn_jax.training.compiled import CompiledFunctions, compile_all
from cnn_jax.training.learner import Learner
from cnn_jax.training.mesh import in_words, make_mesh


@dataclass(frozen=True)
class DataSplits:
    """A dataset, and its training images divided into those to train on and those that are held out."""

    dataset: Dataset
    train: Split
    validation: Split | None

    @property
    def spec(self) -> Spec:
        return self.dataset.spec


@dataclass(frozen=True)
class Agreement:
    """What all processes do after a chunk. is_over: training has taken `max_time`. saves: they save a checkpoint."""

    is_over: bool
    saves: bool


def load_dataset(experiment: Experiment, options: RunOptions, console: Console) -> Dataset:
    """The experiment's dataset. Raises InputError if it cannot be found, OutOfReachError if it cannot be downloaded."""
    return data.load_from(experiment.data, data_dir=options.data_dir, manual_dir=options.manual_dir, warn=console.note)


@dataclass
class Session:
    """What runs share that differ in their seed alone. began: when the first functions were ready; None before."""

    experiment: Experiment
    options: RunOptions
    console: Console
    learner: Learner
    splits: DataSplits
    signals: SignalFlags = field(default_factory=SignalFlags)
    began: float | None = None
    _functions: dict[int | None, CompiledFunctions] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The settings of the first seed."""
        return self.experiment.config

    def functions(self, num_seeds: int | None = None) -> CompiledFunctions:
        """The functions for one seed or for several that train together, compiled at the first call."""
        if num_seeds not in self._functions:
            self._functions[num_seeds] = self._compile(num_seeds)
        self.began = self.began or time.monotonic()
        return self._functions[num_seeds]

    def _compile(self, num_seeds: int | None) -> CompiledFunctions:
        config, train = self.config, self.splits.train
        where = f"{machine.device()}, {self.options.folder}"
        self.console.line(f"{config.model} on {len(train):,} images of {config.dataset}, {where}")
        functions = compile_all(
            self.learner, train, self.splits.validation, self.splits.dataset.test, num_seeds, self.mesh(num_seeds)
        )
        frozen = f", {self.learner.frozen_parameters:,} of them frozen" if self.learner.frozen else ""
        parameters = f"{self.learner.parameters:,} parameters{frozen}"
        self.console.line(f"{parameters}, compiled in {functions.compile_seconds:.1f} s")
        return functions

    def mesh(self, num_seeds: int | None = None) -> Mesh:
        """The devices that train one seed, or several together. Raises InputError where `--mesh` does not fit them."""
        return make_mesh(num_seeds or 1, sizes=self.options.mesh)

    def require_initial(self, directories: Iterable[RunDirectory]) -> None:
        """Raises InputError where one of these runs is to start from parameters that are not given."""
        if self.options.overwrite or not all(checkpoint.steps(directory.checkpoints) for directory in directories):
            self.learner.require_initial()

    @property
    def original_index(self) -> np.ndarray | None:
        """The number of each test image in the dataset's original files, int64 [N]; None where there are none."""
        found = self.experiment.data
        return found.original_index() if isinstance(found, Source) else None

    def agree(self, *, is_due: bool = False, is_busy: bool = False) -> Agreement:
        """What all processes do next. is_due: whether to save, as process 0 says; is_busy: all are in the loop.

        Raises Interrupted in all of them where a signal has asked one of them to end.
        """
        is_over = self.began is not None and time.monotonic() - self.began >= self.options.max_time
        asked = {"ending": self.signals.ending, "over": is_over, "due": is_due}
        asked["save"] = is_busy and self.signals.take_save()
        everyone = self.options.processes.exchange(asked, PATIENCE if is_busy else WITHOUT_HURRY)
        self.signals.ending = next((one["ending"] for one in everyone if one["ending"] is not None), None)
        self.signals.raise_if_ending()
        return Agreement(everyone[0]["over"], everyone[0]["due"] or any(one["save"] for one in everyone))

    def agreed_steps(self, steps: int) -> int:
        """The number of steps of the next chunk, as process 0 says."""
        return int(self.options.processes.exchange(steps, PATIENCE)[0])

    def machine_record(self) -> dict:
        """The content of `machine.json`."""
        record = machine.describe(list(self.options.command_line))
        record |= data_record(self.experiment, self.splits.dataset)
        record |= code_record(self.experiment)
        if self.experiment.init:
            record["init_from"] = self.experiment.init.source
        return record | ({"remark": self.options.remark} if self.options.remark else {})


def data_record(experiment: Experiment, dataset: Dataset) -> dict:
    """What `machine.json` says of the data: what identifies them, their description, and where they are."""
    place = {"dataset_dir": str(experiment.dataset_dir.absolute())} if experiment.dataset_dir else {}
    return {"data_fingerprint": dataset.fingerprint, "data": dataset.spec.as_mapping(), **place}


def code_record(experiment: Experiment) -> dict:
    """What `machine.json` says of the user's file: where it is, and the hash of what it says."""
    file = {"experiment_file": str(experiment.code.path)} if experiment.code else {}
    return {**file, "experiment_hash": experiment.digest} if experiment.digest else {}


def facts(experiment: Experiment, options: RunOptions) -> dict[str, Any]:
    """What all processes of a training must have in common, but for the data: versions, settings, code and Config."""
    here = machine.describe([])
    fields = json.loads(experiment.config.to_json())
    parts = {name: value for name, value in fields.items() if isinstance(value, dict)}
    given = {name: getattr(options, name) for name in ("seeds", "seed_strategy", "mesh", "overwrite", "resume_from")}
    return {
        **here["versions"],
        **{name: here[name] for name in ("git_commit", "compiler_options", "settings")},
        "the experiment's code": experiment.digest,
        **{f"--{name}": value for name, value in (fields | given).items() if name not in parts},
        **{f"--{name}.{setting}": value for name, part in parts.items() for setting, value in part.items()},
    }


def require_other_folder(experiment: Experiment, folder: Path) -> None:
    """Raises InputError where training would start from a run in the folder that it is to write."""
    source = experiment.init.source if experiment.init else None
    if source and Path(source).is_dir() and Path(source).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"--init_from={source}: lies in --workdir={folder}, which is to be written. Name another one.")


def open_session(
    experiment: Experiment, options: RunOptions, console: Console, dataset: Dataset | None = None
) -> Session:
    """Builds the learner and loads the data. dataset: the experiment's, if it is loaded already.

    Raises InputError if the experiment's parts do not fit each other, or if there is no such data.
    """
    learner, config = build(experiment), experiment.config
    dataset = dataset or load_dataset(experiment, options, console)
    if dataset.spec != experiment.spec:  # what only the images tell, as their mean
        experiment = experiment.with_spec(dataset.spec)
        learner = build(experiment)
    splits = DataSplits(dataset, *split_training_images(dataset, config.train_examples, config.validation_examples))
    require_numbers(learner, splits.train)
    for remark in remarks(config, dataset.spec.classes):
        console.note(remark)
    session = Session(experiment, options, console, learner, splits)
    _require_mesh(session)
    options.processes.require_same({"the data's fingerprint": dataset.fingerprint})
    return session


def _require_mesh(session: Session) -> None:
    """Raises InputError where the devices that `--mesh` names are not there, or cannot share a batch evenly."""
    session.mesh()
    sizes, batch_size = session.options.mesh or {}, min(session.config.batch_size, len(session.splits.train))
    if batch_size % sizes.get("data", 1):
        raise InputError(
            f"--mesh={in_words(sizes)}: {sizes['data']} devices cannot share a batch of {batch_size} images evenly. "
            "Change --batch_size or --mesh."
        )
