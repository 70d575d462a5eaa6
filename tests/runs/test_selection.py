"""The best epoch on held-out images is kept and scored, and patience ends a run; whatever ends the process."""

import dataclasses
import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax import data
from cnn_jax.config import Config, Part
from cnn_jax.data.dataset import split_training_images
from cnn_jax.errors import DivergedError, InputError, Interrupted, MachineError
from cnn_jax.experiment import Experiment, build, remarks
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint, in_memory, initial
from cnn_jax.runs import execute as executing
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds import execute_seeds
from cnn_jax.runs.selection import best_row, is_patience_over
from cnn_jax.runs.session import Agreement
from cnn_jax.training import loop
from cnn_jax.training.compiled import compile_inference
from cnn_jax.training.mesh import make_mesh
from tests import bitwise_diff
from tests.conftest import first_quick

EPOCH_STEPS, STEPS = 10, 50


def ruining(first: int = 2 * EPOCH_STEPS, factor: float = 1e4) -> Callable[[Any], Any]:
    """From the step `first` on, the learning rate is so large that training ruins what was learned."""
    return lambda step: jnp.where(step < first, 1.0, factor)


class Normalized(nn.Module):
    """A network with BatchNorm, whose statistics have to be computed again for an average of the parameters."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.Dense(8)(images.reshape(len(images), -1))
        return nn.Dense(self.classes)(nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)))


TINY = Experiment(
    Config(
        experiment="tiny",
        dataset=Part("x_and_o"),
        model=Part("dense", widths=(8,)),
        train_examples=300,
        validation_examples=100,
        batch_size=32,
        epochs=5,
        schedule=Part("ruining"),
        keep="best",
        monitor="loss",  # it falls in both of the first two epochs
    ),
    schedules={"ruining": ruining},
    models={"normalized": Normalized},
)
AVERAGED = TINY.vary(model="normalized", average="ema", decay=0.8, optimizer="adam", learning_rate=0.01)

Train = Callable[..., Result]


class End(BaseException):
    """What ends a run as a kill does: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def one_step_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run can be ended between any two steps."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)


@pytest.fixture
def train(drawn_data_dir: Path, tmp_path: Path) -> Train:
    def run(experiment: Experiment = TINY, **place: Any) -> Any:
        place = {"workdir": tmp_path / "run", "data_dir": drawn_data_dir, "checkpoint_every": 1e9} | place
        start = execute_seeds if "seeds" in place else execute
        return start(experiment, RunOptions(**place), Console(progress=False))

    return run


@pytest.fixture(scope="module")
def whole(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Experiment], Path]:
    """A run of an experiment that nothing disturbed; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("whole")

    def trained(experiment: Experiment = TINY, **options: Any) -> Path:
        name = repr((experiment.config, options))
        workdir = folder / f"{abs(hash(name))}"
        if not workdir.exists():
            start = execute_seeds if "seeds" in options else execute
            start(experiment, RunOptions(workdir=workdir, data_dir=drawn_data_dir, **options), Console(progress=False))
        return workdir

    return trained


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, train: Train) -> Callable[..., None]:
    """Trains until so many steps are taken, and ends as if killed, or by a signal."""

    def run(step: int, *arguments: Any, signal_number: int | None = None, **options: Any) -> None:
        def fit(*given: Any) -> Iterator[loop.Progress]:
            for progress in loop.fit(*given):
                if progress.step == step and signal_number is not None:
                    signal.raise_signal(signal_number)
                if progress.step == step + 1:
                    raise End
                yield progress

        with monkeypatch.context() as patch:
            patch.setattr(executing, "fit", fit)
            with pytest.raises((End, Interrupted)):
                train(*arguments, **options)

    return run


def assert_same(run: Path, whole: Path, experiment: Experiment = TINY) -> None:
    """Everything that a run leaves is the same, but its times: the best epoch and its bytes too."""
    assert list(bitwise_diff.differences(run, whole, experiment)) == []


def result_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def steps(run: Path) -> list[int]:
    return checkpoint.steps(run / "checkpoints")


def held_out_score(variables: dict, experiment: Experiment, data_dir: Path) -> tuple[float, float]:
    """Loss and accuracy on the held-out images."""
    dataset = data.load("x_and_o", data_dir=data_dir)
    _, held_out = split_training_images(dataset, 300, 100)
    assert held_out is not None
    score = compile_inference(build(experiment, dataset.spec), held_out, make_mesh()).score(variables)
    return score.loss, score.accuracy


def early_stopping(values: Sequence[float], patience: int, *, is_better: Callable[[float, float], bool]) -> int:
    """The epoch after which Keras' EarlyStopping ends training, by its rule; all epochs where it does not."""
    best, wait = values[0], 0
    for epoch, value in enumerate(values[1:], start=2):
        wait += 1
        if is_better(value, best):
            best, wait = value, 0
        if wait >= patience:
            return epoch
    return len(values)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 5), st.sampled_from(["accuracy", "loss"]))
def test_best_is_the_first_of_the_best_and_patience_is_that_of_keras(
    values: list[int], patience: int, monitor: str
) -> None:
    config = Config(monitor=monitor, patience=patience)
    rows = [{"epoch": epoch, f"validation_{monitor}": value} for epoch, value in enumerate(values, start=1)]
    best, is_better = (max(values), float.__gt__) if monitor == "accuracy" else (min(values), float.__lt__)
    found = best_row(config, rows)
    assert found is not None
    assert found["epoch"] == values.index(best) + 1
    ends = [epoch for epoch in range(1, len(rows) + 1) if is_patience_over(config, rows[:epoch])]
    expected = early_stopping([*map(float, values)], patience, is_better=is_better)
    assert min(ends, default=len(values)) == expected


@pytest.mark.parametrize("experiment", first_quick([TINY, AVERAGED, TINY.vary(monitor="accuracy")]))
def test_best_epoch_is_scored_and_is_what_is_loaded(
    whole: Callable[..., Path], drawn_data_dir: Path, experiment: Experiment
) -> None:
    run, monitor = whole(experiment), experiment.config.monitor
    rows, result = RunDirectory(run).rows(), result_of(run)
    best = (max if monitor == "accuracy" else min)(rows, key=lambda row: row[f"validation_{monitor}"])
    assert 1 <= best["epoch"] < 5
    names = ("epoch", "step", "validation_loss", "validation_accuracy")
    assert [result[f"best_{name}"] for name in names] == [best[name] for name in names]
    assert (result["status"], result["epochs"], result["steps"]) == ("done", 5, STEPS)
    assert steps(run) == [best["step"], STEPS]
    loaded = in_memory.load_run(run, experiment)
    assert loaded.best_epoch == best["epoch"]
    row = best["validation_loss"], best["validation_accuracy"]
    assert held_out_score(loaded.variables, experiment, drawn_data_dir) == row
    newest = checkpoint.load_step(run / "checkpoints", STEPS, build(experiment).abstract_state).state.variables
    assert held_out_score(newest, experiment, drawn_data_dir)[0] == rows[-1]["validation_loss"] != row[0]
    dataset = data.load("x_and_o", data_dir=drawn_data_dir)
    test = compile_inference(build(experiment, dataset.spec), dataset.test, make_mesh())
    np.testing.assert_array_equal(RunDirectory(run).predictions()[0], test.logits(loaded.variables))
    assert test.score(loaded.variables).accuracy == result["test_accuracy"] > test.score(newest).accuracy
    started = initial.init_from(experiment, run)
    assert started.init is not None
    jax.tree.map(np.testing.assert_array_equal, dict(started.init.variables), loaded.variables)


@pytest.mark.parametrize("experiment", first_quick([TINY, AVERAGED, TINY.vary(patience=1), TINY.vary(keep="last")]))
def test_training_in_memory_keeps_the_same(
    whole: Callable[..., Path], drawn_data_dir: Path, experiment: Experiment
) -> None:
    on_disk = in_memory.load_run(whole(experiment), experiment)
    trained = in_memory.train(experiment, data_dir=drawn_data_dir, progress=False)
    jax.tree.map(np.testing.assert_array_equal, trained.variables, on_disk.variables)
    assert (trained.best_epoch, len(trained.history)) == (on_disk.best_epoch, len(on_disk.history))
    assert (trained.test_loss, trained.test_accuracy) == (on_disk.test_loss, on_disk.test_accuracy)


PLACES: dict[str, Any] = {
    "every step": {"checkpoint_every": 1e-9},
    "every epoch": {"checkpoint_every": 0, "keep_checkpoints": 1},
    "at the end": {"keep_checkpoints": 1},
}


@pytest.mark.parametrize(
    ("step", "place"), first_quick([(step, place) for step in (31, 9, 10, 11, 20, 21, 40, 49) for place in PLACES])
)
def test_killed_run_comes_to_the_same_best_epoch_and_bytes(
    ended: Callable[..., None], train: Train, whole: Callable[..., Path], tmp_path: Path, step: int, place: str
) -> None:
    ended(step, **PLACES[place])
    train(**PLACES[place])
    assert_same(tmp_path / "run", whole())


# What a run does on disk, for the n-th time, with checkpoints as these places have them: it is killed before that.
PHASES = [
    ("_write", (2, 1), "at the end"),  # between the best checkpoint and the newest one; before both
    ("_write", (1, 2, 3, 4, 5), "every epoch"),
    ("_are_equal", (1, 2), "at the end"),  # the arrays are on disk, but not the manifest
    ("_are_equal", (1, 2, 3, 4, 5), "every epoch"),
    ("_discard", (1,), "at the end"),  # before old ones are deleted
    ("_discard", (2, 3, 4, 5), "every epoch"),
    ("_put_aside", (1, 2), "every epoch"),  # one of several is deleted
    ("_digest", (1, 4, 9), "at the end"),
    ("append_row", (1, 2, 3, 5), "every step"),
    ("write_predictions", (1,), "at the end"),
    ("write_result", (1,), "at the end"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "number", "place"),
    [(function, number, place) for function, numbers, place in PHASES for number in numbers],
)
def test_run_killed_at_any_phase_comes_to_the_same_best_epoch_and_bytes(
    monkeypatch: pytest.MonkeyPatch,
    train: Train,
    whole: Callable[..., Path],
    tmp_path: Path,
    function: str,
    number: int,
    place: str,
) -> None:
    owner: Any = checkpoint if function.startswith("_") else RunDirectory
    original, calls = getattr(owner, function), [0]

    def killed(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] >= number:
            raise End
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, function, killed)
        with pytest.raises(End):
            train(**PLACES[place])
    assert not (tmp_path / "run/result.json").exists()
    train(**PLACES[place])
    assert_same(tmp_path / "run", whole())


@pytest.mark.slow
def test_newest_is_resumed_and_the_best_survives_few_checkpoints(
    ended: Callable[..., None], train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(44, checkpoint_every=0, keep_checkpoints=1)
    best = RunDirectory(tmp_path / "run").rows()[1]["step"]
    assert steps(tmp_path / "run") == [best, 40]
    capsys.readouterr()
    assert train(keep_checkpoints=1).best_step == best == 20
    said = capsys.readouterr().out
    assert "resumes from step 40, 4 of 5 epochs done" in said
    assert steps(tmp_path / "run") == [best, STEPS]


@pytest.mark.slow
def test_each_checkpoint_that_is_kept_keeps_the_best_one_before_it(
    train: Train, whole: Callable[..., Path], tmp_path: Path
) -> None:
    """So that a run can go back to any of them."""
    rising = TINY.vary(schedule="constant", optimizer="sgd", learning_rate=1e-3, monitor="loss", epochs=4)
    train(rising, checkpoint_every=0, keep_checkpoints=2)
    assert steps(tmp_path / "run") == [30, 40]
    first_is_best = TINY.vary(**{"schedule.first": 10, "keep": "best"})
    train(first_is_best, workdir=tmp_path / "other", checkpoint_every=0, keep_checkpoints=2)
    assert steps(tmp_path / "other") == [10, 40, 50]
    train(first_is_best, workdir=tmp_path / "other", resume_from=40)
    assert_same(tmp_path / "other", whole(first_is_best))


@pytest.mark.parametrize("how", first_quick(["deleted", "damaged"]))
def test_best_checkpoint_that_is_lost_is_said_before_training_goes_on(
    ended: Callable[..., None], train: Train, tmp_path: Path, how: str
) -> None:
    ended(44, checkpoint_every=0)
    best = tmp_path / "run/checkpoints/20"
    if how == "deleted":
        shutil.rmtree(best)
    else:
        (best / "progress.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError if how == "deleted" else MachineError, match="Step 20 ended epoch 2, the best one"):
        train()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_signal_saves_the_best_epoch_too(
    ended: Callable[..., None], train: Train, whole: Callable[..., Path], tmp_path: Path
) -> None:
    ended(33, signal_number=signal.SIGTERM)
    assert steps(tmp_path / "run") == [20, 33]
    assert result_of(tmp_path / "run")["best_epoch"] == 2
    train()
    assert_same(tmp_path / "run", whole())


@pytest.mark.slow
def test_time_that_is_over_scores_the_best_epoch_so_far(
    monkeypatch: pytest.MonkeyPatch, train: Train, whole: Callable[..., Path], tmp_path: Path
) -> None:
    agree, rows = executing.Session.agree, tmp_path / "run/metrics.jsonl"

    def until_three_rows(session: executing.Session, **given: bool) -> Agreement:
        is_over = rows.is_file() and rows.read_text().count("\n") == 3
        return dataclasses.replace(agree(session, **given), is_over=is_over)

    with monkeypatch.context() as patch:
        patch.setattr(executing.Session, "agree", until_three_rows)
        stopped = train()
    assert (stopped.status, stopped.steps, stopped.best_step) == ("stopped", 30, 20)
    whole_result = result_of(whole())
    assert stopped.test_loss == whole_result["test_loss"]
    train()
    assert_same(tmp_path / "run", whole())


@pytest.mark.slow
def test_run_that_diverges_leaves_its_best_epoch(train: Train, tmp_path: Path) -> None:
    diverging = TINY.vary(**{"schedule.factor": 1e38})
    with pytest.raises(DivergedError, match="epoch 3"):
        train(diverging)
    result = result_of(tmp_path / "run")
    assert (result["status"], result["best_step"], result["test_loss"]) == ("diverged", 20, None)
    assert steps(tmp_path / "run") == [20]
    assert train(diverging.vary(schedule="constant"), resume_from=20).status == "done"


@pytest.mark.slow
def test_patience_ends_a_run_that_is_done(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patient = TINY.vary(patience=2)
    result = train(patient)
    assert (result.status, result.epochs, result.steps, result.best_epoch) == ("done", 4, 40, 2)
    assert "ends after epoch 4 of 5: the last 2 epochs had no better validation loss" in capsys.readouterr().out
    assert train(patient) == result
    assert "holds this run, finished" in capsys.readouterr().err
    assert train(patient.vary(epochs=9)).steps == 40
    assert "ends after epoch 4 of 9" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("longer", [3, None])
def test_patience_may_grow_and_comes_to_the_same_bits(
    train: Train, whole: Callable[..., Path], tmp_path: Path, longer: int | None
) -> None:
    train(TINY.vary(patience=1))
    assert train(TINY.vary(patience=longer)).epochs == 5
    assert_same(tmp_path / "run", whole(TINY.vary(patience=longer)))
    with pytest.raises(InputError, match=r"patience: .* there, 2 now"):
        train(TINY.vary(patience=2))


@pytest.mark.slow
@pytest.mark.parametrize("function", ["write_predictions", "write_result"])
def test_killed_when_patience_was_over_nothing_more_is_trained(
    monkeypatch: pytest.MonkeyPatch, train: Train, whole: Callable[..., Path], tmp_path: Path, function: str
) -> None:
    def killed(*arguments: Any) -> None:
        raise End

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, function, killed)
        with pytest.raises(End):
            train(TINY.vary(patience=2))
    train(TINY.vary(patience=2))
    assert_same(tmp_path / "run", whole(TINY.vary(patience=2)))


def test_patience_without_keep_scores_the_newest(train: Train, tmp_path: Path) -> None:
    result = train(TINY.vary(patience=2, keep="last"))
    assert (result.epochs, result.best_epoch, result.scored_step) == (4, None, 40)
    assert steps(tmp_path / "run") == [40]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_examples": 0}, "--keep=best: held-out images decide. Hold out some with --validation_examples=N"),
        ({"keep": "last", "patience": 3, "validation_examples": 0}, "--patience=3: held-out images decide"),
    ],
)
def test_nothing_is_chosen_without_held_out_images(
    train: Train, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for options in ({}, {"seeds": 2}):
        with pytest.raises(InputError, match=message):
            train(TINY.vary(changes), **options)
    with pytest.raises(InputError, match=message):
        in_memory.train(TINY.vary(changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep": "last"}, ["--monitor=loss: changes nothing without --keep=best or --patience"]),
        ({"keep": "last", "monitor": "accuracy"}, []),
        ({"keep": "last", "patience": 2}, []),
        ({}, []),
    ],
)
def test_monitor_that_changes_nothing_is_remarked(changes: dict[str, Any], said: list[str]) -> None:
    assert remarks(TINY.vary(changes).config, ()) == said


def test_seeds_that_train_together_have_no_patience(train: Train, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--patience=2: seeds that train together .*Use --seed_strategy=loop"):
        train(TINY.vary(patience=2), seeds=2, seed_strategy="vmap")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_each_of_several_seeds_has_its_own_patience(
    monkeypatch: pytest.MonkeyPatch, train: Train, whole: Callable[..., Path], tmp_path: Path
) -> None:
    """Also where seeds would train together by default."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    patient = TINY.vary(patience=1, schedule="constant", learning_rate=0.02, epochs=12, monitor="accuracy")
    result = train(patient, seeds=3)
    assert [seed.status for seed in result.seeds] == ["done"] * 3
    assert len({seed.steps for seed in result.seeds}) > 1
    for seed in range(3):
        assert_same(tmp_path / f"run/seed-{seed}", whole(patient.vary(seed=seed)))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [TINY, AVERAGED], ids=["plain", "averaged"])
def test_seeds_that_train_together_keep_a_best_epoch_each_and_are_killed(
    ended: Callable[..., None],
    train: Train,
    whole: Callable[..., Path],
    drawn_data_dir: Path,
    tmp_path: Path,
    experiment: Experiment,
) -> None:
    together = {"seeds": 3, "seed_strategy": "vmap"}
    differing = experiment.vary(schedule="constant", learning_rate=0.05)
    undisturbed = whole(differing, **together)
    for step in (17, 31):
        ended(step, differing, checkpoint_every=1e-9, keep_checkpoints=1, **together)
    result = train(differing, keep_checkpoints=1, **together)
    assert len({seed.best_epoch for seed in result.seeds}) > 1
    for seed in result.seeds:
        run = tmp_path / f"run/seed-{seed.seed}"
        assert_same(run, undisturbed / run.name, differing)
        assert steps(run) == sorted({seed.best_step, STEPS})
        score = held_out_score(in_memory.load_run(run, differing).variables, differing, drawn_data_dir)
        assert score == (seed.best_validation_loss, seed.best_validation_accuracy)
