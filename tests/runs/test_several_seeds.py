"""Many seeds: each is an ordinary run, none is trained twice, and nothing is lost."""

import dataclasses
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax import compilation
from cnn_jax.errors import DivergedError, InputError, Interrupted
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs import execute as executing
from cnn_jax.runs import seeds as running
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.seeds import execute_seeds
from cnn_jax.runs.seeds_result import SeedsResult, read_seeds_result
from cnn_jax.training import loop
from tests import bitwise_diff

TINY = Experiment().vary(
    experiment="tiny",
    dataset="x_and_o",
    widths=(4, 8),
    train_examples=300,
    validation_examples=100,
    epochs=2,
    batch_size=32,
    seed=5,
)
SEEDS = (5, 6, 7)
STEPS = 20
BOTH = pytest.mark.parametrize("strategy", ["loop", "vmap"])

Train = Callable[..., SeedsResult]


@pytest.fixture(autouse=True)
def one_step_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that training can be ended between any two steps."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)


@pytest.fixture
def train(drawn_data_dir: Path, tmp_path: Path) -> Train:
    def run(seeds: int = 3, strategy: str = "auto", *, experiment: Experiment = TINY, **place: Any) -> SeedsResult:
        place = {"workdir": tmp_path / "run", "data_dir": drawn_data_dir, "checkpoint_every": 1e-9} | place
        options = RunOptions(seeds=seeds, seed_strategy=strategy, **place)
        return execute_seeds(experiment, options, Console(progress=False))

    return run


@pytest.fixture(scope="module")
def whole(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Three seeds that nothing disturbed, by strategy, and `alone`: each by itself. Tests leave them as they are."""
    folder = tmp_path_factory.mktemp("whole")

    def trained(strategy: str) -> Path:
        workdir, console = folder / strategy, Console(progress=False)
        if workdir.exists():
            return workdir
        if strategy == "alone":
            for seed in SEEDS:
                place = RunOptions(workdir=workdir / f"seed-{seed}", data_dir=drawn_data_dir)
                execute(TINY.vary(seed=seed), place, console)
        else:
            options = RunOptions(workdir=workdir, data_dir=drawn_data_dir, seeds=3, seed_strategy=strategy)
            execute_seeds(TINY, options, console)
        return workdir

    return trained


@pytest.fixture
def copy(whole: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of three seeds that were trained one after the other."""
    shutil.copytree(whole("loop"), tmp_path / "run")
    return tmp_path / "run"


class End(BaseException):
    """What ends a run as a kill does: nothing of ours catches it."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, train: Train) -> Callable[..., None]:
    """Trains until so many steps are taken, in this seed where they are trained alone, and ends as if killed."""

    def run(
        strategy: str, step: int, *, seeds: int = 3, seed: int = 6, signal_number: int | None = None, **options: Any
    ) -> None:
        def fit(training: Any, start: Any, *others: Any) -> Iterator[loop.Progress]:
            key = np.asarray(jax.random.key_data(start.state.key))
            is_meant = key.ndim > 1 or (key == np.asarray(jax.random.key_data(jax.random.key(seed)))).all()
            for progress in loop.fit(training, start, *others):
                if is_meant and progress.step == step and signal_number is not None:
                    signal.raise_signal(signal_number)
                if is_meant and progress.step == step + 1:
                    raise End
                yield progress

        with monkeypatch.context() as patch:
            patch.setattr(executing, "fit", fit)
            with pytest.raises((End, Interrupted)):
                train(seeds, strategy, **options)

    return run


def assert_same(workdir: Path, whole: Path, seeds: tuple[int, ...] = SEEDS) -> None:
    """Every seed's run is the same, but its times."""
    for seed in seeds:
        assert list(bitwise_diff.differences(workdir / f"seed-{seed}", whole / f"seed-{seed}")) == []


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_one_after_the_other_is_each_seed_alone_to_the_bit(whole: Callable[[str], Path]) -> None:
    assert_same(whole("loop"), whole("alone"))


def test_together_each_seed_leaves_the_run_that_it_would_leave_alone(whole: Callable[[str], Path]) -> None:
    """To 1e-5 after these 20 steps."""
    for seed in SEEDS:
        run, alone = whole("vmap") / f"seed-{seed}", whole("alone") / f"seed-{seed}"
        names = [sorted(path.name.partition(".out.")[0] for path in folder.iterdir()) for folder in (run, alone)]
        assert names[0] == names[1]
        assert (run / "config.json").read_bytes() == (alone / "config.json").read_bytes()
        found, expected = (json.loads((folder / "result.json").read_text()) for folder in (run, alone))
        for name in ("status", "seed", "steps", "epochs", "parameters", "test_examples", "train_accuracy"):
            assert found[name] == expected[name]
        assert found["test_loss"] == pytest.approx(expected["test_loss"], abs=1e-5)
        rows = [[json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (run, alone)]
        for mine, theirs in zip(*rows, strict=True):
            assert list(mine) == list(theirs)
            assert mine["validation_loss"] == pytest.approx(theirs["validation_loss"], abs=1e-5)
        assert checkpoint.steps(run / "checkpoints") == [STEPS]
        machine = json.loads((run / "machine.json").read_text())
        assert (machine["seeds"], machine["seed_strategy"]) == ([5, 6, 7], "vmap")
        assert "together with 2 other seeds" in machine["remark"]


@BOTH
def test_directory_of_many_seeds_is_as_agreed(whole: Callable[[str], Path], strategy: str) -> None:
    folder = whole(strategy)
    expected = {"config.json", "machine.json", "result.json", *(f"seed-{seed}" for seed in SEEDS)}
    assert {path.name for path in folder.glob("[!.]*")} == expected
    assert json.loads((folder / "config.json").read_text()) == json.loads(TINY.config.to_json())
    result = read_seeds_result(folder / "result.json")
    assert (result.status, result.n, [seed.seed for seed in result.seeds]) == ("done", 3, list(SEEDS))
    for seed in result.seeds:
        assert dataclasses.asdict(seed) == json.loads((folder / f"seed-{seed.seed}" / "result.json").read_text())


@pytest.mark.slow
@BOTH
def test_all_seeds_are_compiled_once(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    compiled: list[float] = []
    original = compilation.compiled

    def counted(*arguments: Any) -> tuple[Callable, float]:
        compiled.append(1)
        return original(*arguments)

    monkeypatch.setattr(compilation, "compiled", counted)
    shorter = TINY.vary(epochs=1)
    counts = []
    for seeds in (1, 3):
        compiled.clear()
        train(seeds, strategy, experiment=shorter, workdir=tmp_path / f"{seeds}")
        counts.append(len(compiled))
    assert counts == [5, 5]  # start, order, chunk, inference on validation and test images


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "step"), [(5, 1), (6, 7), (6, 10), (7, 19)])
def test_killed_in_a_seed_it_goes_on_there_to_the_same_bits(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path, seed: int, step: int
) -> None:
    ended("loop", step, seed=seed)
    assert not (tmp_path / "run" / "result.json").exists()
    before = content(tmp_path / "run" / "seed-5") if seed > 5 else {}
    train()
    assert_same(tmp_path / "run", whole("loop"))
    assert not before or content(tmp_path / "run" / "seed-5") == before  # the finished seed was not touched


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 13])
def test_killed_together_they_resume_to_the_same_bits(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path, step: int
) -> None:
    ended("vmap", step)
    train()  # auto: as they began
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
def test_killed_while_a_checkpoint_of_each_was_written_they_resume_from_the_newest_that_all_have(
    ended: Callable[..., None],
    train: Train,
    whole: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended("vmap", 13, signal_number=signal.SIGTERM, checkpoint_every=0)
    assert checkpoint.steps(tmp_path / "run/seed-5/checkpoints") == [10, 13]
    shutil.rmtree(tmp_path / "run/seed-7/checkpoints/13")
    train()
    said = capsys.readouterr()
    assert "resumes from step 10," in said.out
    assert "damaged" not in said.err
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
def test_seed_without_a_checkpoint_takes_the_others_back_to_the_beginning(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    ended("vmap", 13)
    shutil.rmtree(tmp_path / "run/seed-6/checkpoints")
    train()
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
def test_seed_that_was_deleted_is_trained_again_alone_and_the_finished_ones_of_its_group_are_kept(
    train: Train, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(whole("vmap"), tmp_path / "run")
    before = {seed: content(tmp_path / f"run/seed-{seed}") for seed in (5, 7)}
    shutil.rmtree(tmp_path / "run/seed-6")
    result = train(3, "vmap")
    assert (result.status, result.n) == ("done", 3)
    assert {seed: content(tmp_path / f"run/seed-{seed}") for seed in (5, 7)} == before
    assert_same(tmp_path / "run", whole("alone"), seeds=(6,))


@pytest.mark.slow
@pytest.mark.parametrize("recorded", ["567", [5, 6, "7"], [[5, 6], 7], [6.0, True]], ids=repr)
def test_damaged_record_of_who_trains_together_does_no_harm(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path, recorded: Any
) -> None:
    def damage(folder: Path) -> None:
        machine = json.loads((folder / "machine.json").read_text()) | {"seeds": recorded}
        (folder / "machine.json").write_text(json.dumps(machine))

    shutil.copytree(whole("vmap"), tmp_path / "finished")
    damage(tmp_path / "finished/seed-6")
    before = {seed: content(tmp_path / f"finished/seed-{seed}") for seed in SEEDS}
    assert train(workdir=tmp_path / "finished").n == 3
    assert {seed: content(tmp_path / f"finished/seed-{seed}") for seed in SEEDS} == before
    ended("vmap", 13)
    damage(tmp_path / "run/seed-6")
    train()
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
def test_killed_while_the_seeds_are_stored_they_are_stored_again(
    train: Train, whole: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score_one(run: Any, *others: Any, **named: Any) -> Any:
        if run.config.seed == 6:
            raise End
        return original(run, *others, **named)

    original = executing._score_and_store
    with monkeypatch.context() as patch:
        patch.setattr(executing, "_score_and_store", score_one)
        with pytest.raises(End):
            train(3, "vmap")
    assert (tmp_path / "run" / "seed-5" / "result.json").exists()
    train()
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
@BOTH
def test_signal_saves_where_they_stand(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path, strategy: str
) -> None:
    ended(strategy, 13, signal_number=signal.SIGTERM, checkpoint_every=1e9)
    seeds = (6,) if strategy == "loop" else SEEDS
    assert all(checkpoint.steps(tmp_path / f"run/seed-{seed}/checkpoints") == [13] for seed in seeds)
    train(3, strategy)
    assert_same(tmp_path / "run", whole(strategy))


@pytest.mark.slow
@BOTH
def test_time_that_is_over_stops_them_and_they_go_on(
    train: Train, whole: Callable[[str], Path], tmp_path: Path, strategy: str
) -> None:
    stopped = train(3, strategy, max_time=1e-3)
    assert (stopped.status, stopped.n, stopped.mean["test_loss"]) == ("stopped", 0, None)
    assert len(stopped.seeds) == (1 if strategy == "loop" else 3)
    assert {seed.status for seed in stopped.seeds} == {"stopped"}
    train(3, strategy)
    assert_same(tmp_path / "run", whole(strategy))


def test_finished_seeds_are_not_trained_again(
    train: Train, copy: Path, whole: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(copy)
    again = train()
    assert again == read_seeds_result(whole("loop") / "result.json")
    assert content(copy) == before
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_seeds_may_be_added_and_the_finished_ones_are_kept(train: Train, copy: Path, strategy: str) -> None:
    before = {seed: content(copy / f"seed-{seed}") for seed in SEEDS}
    more = train(5, strategy)
    assert (more.n, [seed.seed for seed in more.seeds]) == (5, [5, 6, 7, 8, 9])
    assert {seed: content(copy / f"seed-{seed}") for seed in SEEDS} == before
    assert read_seeds_result(copy / "result.json") == more


def test_fewer_seeds_than_there_are_are_refused(train: Train, copy: Path) -> None:
    before = content(copy)
    with pytest.raises(InputError, match=r"--seeds=2: .* holds more, up to seed 7\. Use --seeds=3 or more"):
        train(2)
    assert content(copy) == before


@pytest.mark.slow
def test_seeds_under_way_together_are_added_to(
    ended: Callable[..., None], train: Train, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    ended("vmap", 13)
    with pytest.raises(InputError, match=r"seeds 5 to 7 have begun together, with vmap\. Resume them"):
        train(3, "loop")
    with pytest.raises(InputError, match=r"holds more, up to seed 7\. Use --seeds=3 or more"):
        train(2)
    assert train(4).n == 4
    assert_same(tmp_path / "run", whole("vmap"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_epochs_may_be_added(train: Train, copy: Path, tmp_path: Path, strategy: str) -> None:
    longer = TINY.vary(epochs=3)
    assert [seed.epochs for seed in train(3, strategy, experiment=longer).seeds] == [3, 3, 3]
    train(3, "loop", experiment=longer, workdir=tmp_path / "at_once")
    assert_same(copy, tmp_path / "at_once")


def test_one_seed_makes_the_directory_of_many(train: Train, tmp_path: Path) -> None:
    assert train(1).n == 1
    assert {path.name for path in (tmp_path / "run").glob("[!.]*")} == {
        *("config.json", "machine.json", "result.json", "seed-5")
    }


def test_one_run_is_not_made_many_and_many_not_one(
    train: Train, copy: Path, whole: Callable[[str], Path], drawn_data_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole("alone") / "seed-5", tmp_path / "single")
    before = content(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds a run of one seed"):
            train(workdir=tmp_path / "single", overwrite=overwrite)
        place = RunOptions(workdir=copy, data_dir=drawn_data_dir, overwrite=overwrite)
        with pytest.raises(InputError, match="holds several seeds"):
            execute(TINY, place, Console(progress=False))
    assert content(tmp_path) == before


def test_command_for_one_run_says_which_folders_there_are(copy: Path) -> None:
    with pytest.raises(InputError, match=r"holds several seeds\. Name one of them: .*seed-5\."):
        RunDirectory(copy).finished_result()


def test_folder_of_something_else_is_never_touched(train: Train, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds files, but no run"):
            train(overwrite=overwrite)
    assert content(tmp_path) == {"run/result.json": b"{}"}


def test_other_config_is_refused(train: Train, copy: Path) -> None:
    with pytest.raises(InputError, match="batch_size: 32 there, 64 now"):
        train(experiment=TINY.vary(batch_size=64))
    with pytest.raises(InputError, match="seed: 5 there, 6 now"):
        train(experiment=TINY.vary(seed=6))


def test_seeds_on_other_data_are_refused(train: Train, copy: Path) -> None:
    machine = json.loads((copy / "machine.json").read_text()) | {"data_fingerprint": "another"}
    (copy / "machine.json").write_text(json.dumps(machine))
    before = content(copy)
    with pytest.raises(InputError, match="started on other data"):
        train(4)
    assert content(copy) == before


@pytest.mark.slow
def test_overwrite_deletes_the_seeds_and_nothing_else(train: Train, copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    result = train(1, experiment=TINY.vary(epochs=1), overwrite=True)
    assert (result.n, result.seeds[0].epochs) == (1, 1)
    assert sorted(path.name for path in copy.glob("[!.]*")) == [
        *("config.json", "machine.json", "notes.txt", "result.json", "seed-5")
    ]
    assert (copy / "notes.txt").read_text() == "mine"


def test_second_process_is_refused_at_once(train: Train, copy: Path) -> None:
    with RunDirectory(copy).locked(print), pytest.raises(InputError, match="another process is training here"):
        train(4)
    shutil.rmtree(copy / "seed-7")
    with (
        RunDirectory(copy / "seed-7").locked(print),
        pytest.raises(InputError, match="seed-7: another process is training here"),
    ):
        train(3)


@pytest.mark.slow
def test_seed_that_diverges_is_recorded_and_the_others_go_on(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(training: Any, start: Any, *others: Any) -> Iterator[loop.Progress]:
        key, bad = (np.asarray(jax.random.key_data(key)) for key in (start.state.key, jax.random.key(6)))
        is_bad = (key == bad).all()
        for progress in loop.fit(training, start, *others):
            if is_bad and progress.step == 3:
                raise DivergedError("The loss is not finite in epoch 1 at step 3.", 3)
            yield progress

    monkeypatch.setattr(executing, "fit", fit)
    result = train()
    assert (result.status, result.n, [seed.status for seed in result.seeds]) == (
        *("diverged", 2, ["done", "diverged", "done"]),
    )
    assert json.loads((tmp_path / "run/seed-6/result.json").read_text())["status"] == "diverged"
    assert "seed 6: The loss is not finite" in capsys.readouterr().err
    before = content(tmp_path / "run")
    assert train() == result
    assert content(tmp_path / "run") == before


@pytest.mark.slow
def test_seed_that_diverges_together_with_others_is_recorded(train: Train, tmp_path: Path) -> None:
    """Here all do. tests/training/test_several_seeds.py has one that does alone."""
    result = train(2, "vmap", experiment=TINY.vary(optimizer="sgd", learning_rate=1e30))
    alone = train(2, "loop", experiment=TINY.vary(optimizer="sgd", learning_rate=1e30), workdir=tmp_path / "b")
    assert (result.status, result.n, len(result.seeds)) == ("diverged", 0, 2)
    assert [seed.steps for seed in result.seeds] == [seed.steps for seed in alone.seeds]


@pytest.mark.slow
@pytest.mark.parametrize(("bytes_limit", "said"), [(1, "more memory than there is"), (1 << 40, "as they began")])
def test_auto_does_without_what_the_memory_does_not_hold(
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    bytes_limit: int,
    said: str,
) -> None:
    monkeypatch.setattr(running, "_chosen", lambda *_: ("vmap", "as they began"))
    monkeypatch.setattr(running, "_memory_limit", lambda: bytes_limit)
    assert train(2, experiment=TINY.vary(epochs=1)).n == 2
    assert said in capsys.readouterr().out
    remark = json.loads((tmp_path / "run/seed-5/machine.json").read_text()).get("remark")
    assert (remark is None) == (bytes_limit == 1)


@pytest.mark.slow
def test_auto_says_what_it_took(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    train(2, experiment=TINY.vary(epochs=1))
    assert "2 seeds with --seed_strategy=loop: " in capsys.readouterr().out


@pytest.mark.slow
def test_seeds_of_an_earlier_version_that_trained_together_are_refused(
    train: Train, copy: Path, whole: Callable[[str], Path]
) -> None:
    (copy / "together" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="an earlier version trained these seeds together"):
        train()
    assert train(overwrite=True).n == 3
    assert_same(copy, whole("loop"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "--seeds=0: must be between 1 and 10,000"),
        ({"seeds": -3}, "--seeds=-3: must be between 1"),
        ({"seeds": 10_001}, "must be between 1 and 10,000"),
        ({"seeds": 2, "experiment": TINY.vary(seed=2**32 - 1)}, "exceed the largest seed, 4,294,967,295"),
        ({"strategy": "lop"}, "no such strategy. Did you mean loop?"),
        ({"resume_from": 10}, "--resume_from: has no meaning with --seeds"),
        ({"strategy": "shard"}, "no such strategy. Known: auto, loop, vmap"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    train: Train, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(**arguments)
    assert not (tmp_path / "run").exists()


def test_last_seed_of_all_can_be_trained(train: Train) -> None:
    last = TINY.vary(seed=2**32 - 2, epochs=1)
    assert [seed.seed for seed in train(2, experiment=last).seeds] == [2**32 - 2, 2**32 - 1]
