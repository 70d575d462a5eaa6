"""Nothing lost: a run that was ended anywhere goes on as if nothing had happened, to the bit."""

import errno
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnn_jax.errors import InputError, Interrupted, MachineError
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint, session
from cnn_jax.runs import execute as executing
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.training import loop
from cnn_jax.training.compiled import compile_all
from tests import bitwise_diff, event_files
from tests.conftest import first_quick

TINY = Experiment().vary(
    experiment="tiny",
    dataset="x_and_o",
    widths=(4, 8),
    train_examples=300,
    validation_examples=100,
    epochs=2,
    batch_size=32,
)
STEPS = 20


@pytest.fixture(autouse=True)
def one_step_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run can be ended between any two steps."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)


@pytest.fixture
def train(drawn_data_dir: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(experiment: Experiment = TINY, *, workdir: Path = tmp_path / "run", **place: Any) -> Result:
        place = {"data_dir": drawn_data_dir, "checkpoint_every": 1e-9} | place
        return execute(experiment, RunOptions(workdir=workdir, **place), Console(progress=False))

    return run


@pytest.fixture(scope="module")
def whole(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir), Console(progress=False))
    return workdir


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


class End(BaseException):
    """What ends a run as a kill does: nothing of ours catches it."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, train: Callable[..., Result]) -> Callable[..., None]:
    """Trains until so many steps are taken, and ends as if killed, or by a signal."""

    def run(step: int, *, signal_number: int | None = None, **options: Any) -> None:
        def fit(*arguments: Any, **named: Any) -> Iterator[loop.Progress]:
            for progress in loop.fit(*arguments, **named):
                if progress.step == step and signal_number is not None:
                    signal.raise_signal(signal_number)
                if progress.step == step + 1:
                    raise End
                yield progress

        monkeypatch.setattr(executing, "fit", fit)
        with pytest.raises((End, Interrupted)):
            train(**options)
        monkeypatch.setattr(executing, "fit", loop.fit)

    return run


def assert_same(workdir: Path, whole: Path) -> None:
    """Everything that a run leaves is the same, but its times."""
    assert list(bitwise_diff.differences(workdir, whole)) == []


def assert_same_events(workdir: Path, whole: Path) -> None:
    """TensorBoard shows the same curves and pictures, and nothing twice."""
    assert event_files.curves(workdir) == event_files.curves(whole)
    pictures = [event_files.images(folder) for folder in (workdir, whole)]
    assert [picture.keys() for picture in pictures] == 2 * [{("test_confusion_matrix", STEPS)}]
    assert all((pictures[0][name] == pictures[1][name]).all() for name in pictures[1])


@pytest.mark.slow
def test_comparison_sees_every_difference(copy: Path, whole: Path) -> None:
    rows, result = (copy / "metrics.jsonl").read_text(), json.loads((copy / "result.json").read_text())
    (copy / "metrics.jsonl").write_text(rows.replace('"train_loss": 0', '"train_loss": 1'))
    (copy / "result.json").write_text(json.dumps(result | {"test_loss": 1.0, "train_seconds": 1.0}))
    (copy / "predictions.npz").write_bytes(b"")
    assert list(bitwise_diff.differences(copy, whole)) == [
        "the rows of metrics.jsonl",
        "test_loss in result.json",
        "the logits in predictions.npz",
    ]


@pytest.mark.parametrize("step", first_quick([1, 7, 10, 11, 19]))
def test_killed_run_goes_on_and_equals_the_uninterrupted_one_to_the_bit(
    ended: Callable, train: Callable[..., Result], whole: Path, tmp_path: Path, step: int
) -> None:
    ended(step)
    assert not (tmp_path / "run" / "result.json").exists()
    train()
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "lion"])
def test_run_with_warm_up_clipping_decay_and_batches_in_parts_resumes_to_the_same_bits(
    ended: Callable, train: Callable[..., Result], tmp_path: Path, optimizer: str
) -> None:
    """Killed within the warm-up."""
    kit = TINY.vary(model="dense", widths=(8,), optimizer=optimizer, weight_decay=0.1, loss="focal", average="ema")
    kit = kit.vary(schedule="multistep", warmup_steps=9, clip_norm=0.5, microbatches=4, augment=("shift",))
    train(kit, workdir=tmp_path / "whole")
    ended(7, experiment=kit)
    train(kit)
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_run_killed_again_and_again_equals_the_uninterrupted_one(
    ended: Callable, train: Callable[..., Result], whole: Path, tmp_path: Path
) -> None:
    for step in (3, 8, 9, 10, 16):
        ended(step)
    train()
    assert_same(tmp_path / "run", whole)


def test_signal_saves_where_it_stands(
    ended: Callable, train: Callable[..., Result], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(13, signal_number=signal.SIGTERM, checkpoint_every=1e9)
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [13]
    interrupted = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (interrupted["status"], interrupted["steps"], interrupted["epochs"]) == ("interrupted", 13, 1)
    train()
    assert "resumes from step 13, 1 of 2 epochs done" in capsys.readouterr().out
    assert_same(tmp_path / "run", whole)


def test_signal_while_compiling_ends_the_run_before_its_first_step(
    monkeypatch: pytest.MonkeyPatch, train: Callable[..., Result], tmp_path: Path
) -> None:
    def interrupted(*arguments: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return compile_all(*arguments, **named)

    monkeypatch.setattr(session, "compile_all", interrupted)
    with pytest.raises(Interrupted):
        train()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("interrupted", 0)


@pytest.mark.slow
def test_rows_and_events_after_the_checkpoint_are_dropped(
    ended: Callable, train: Callable[..., Result], whole: Path, tmp_path: Path
) -> None:
    ended(5)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 1, "step": 10}\n{"epoch": 2, "st')
    (tmp_path / "run" / "events.out.tfevents.0.old").touch()
    train()
    assert_same(tmp_path / "run", whole)
    assert_same_events(tmp_path / "run", whole)


def test_run_killed_in_the_final_write_is_finished(train: Callable[..., Result], copy: Path, whole: Path) -> None:
    (copy / "result.json").unlink()
    predictions = (copy / "predictions.npz").read_bytes()
    (copy / "predictions.npz").write_bytes(predictions[:1000])
    train()
    assert_same(copy, whole)
    assert_same_events(copy, whole)


@pytest.mark.slow
def test_newest_checkpoints_are_kept_and_seconds_add_up(
    ended: Callable, train: Callable[..., Result], tmp_path: Path
) -> None:
    ended(12, keep_checkpoints=2)
    newest = checkpoint.steps(tmp_path / "run" / "checkpoints")[-1]
    before = json.loads((tmp_path / "run" / "checkpoints" / str(newest) / "progress.json").read_text())["clock"]
    after = train(keep_checkpoints=2)
    kept = checkpoint.steps(tmp_path / "run" / "checkpoints")
    assert (len(kept), kept[-1]) == (2, STEPS)
    assert after.train_seconds > before["device"] + before["host"]


@pytest.mark.slow
def test_zero_seconds_save_at_the_ends_of_epochs_alone(train: Callable[..., Result], tmp_path: Path) -> None:
    train(checkpoint_every=0)
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [10, 20]


@pytest.mark.slow
def test_epochs_may_be_added(train: Callable[..., Result], copy: Path, tmp_path: Path) -> None:
    longer = TINY.vary(epochs=3)
    assert train(longer).epochs == 3
    train(longer, workdir=tmp_path / "at_once")
    assert_same(copy, tmp_path / "at_once")
    assert event_files.curves(copy) == event_files.curves(tmp_path / "at_once")
    with pytest.raises(InputError, match="epochs: 3 there, 2 now"):
        train(TINY)


def test_epochs_of_a_schedule_may_not_be_added(train: Callable[..., Result], copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"schedule": "cosine"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its cosine schedule depends on their number"):
        train(TINY.vary(schedule="cosine", epochs=3))


@pytest.mark.slow
def test_time_that_is_over_stops_with_a_checkpoint_and_an_evaluation(
    train: Callable[..., Result], whole: Path, tmp_path: Path
) -> None:
    stopped = train(max_time=1e-3)
    assert stopped.status == "stopped"
    assert stopped.test_examples == 2_000
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [stopped.steps]
    assert stopped.steps < STEPS
    train()
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_training_can_go_back_to_a_checkpoint(
    train: Callable[..., Result], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(checkpoint_every=0)
    train(resume_from=10)
    assert "resumes from step 10" in capsys.readouterr().out
    assert_same(tmp_path / "run", whole)
    with pytest.raises(InputError, match=r"no checkpoint of step 7\. There are: .*20"):
        train(resume_from=7)


def damage(place: Path, how: str) -> None:
    largest = max(place.rglob("*/d/*"), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    middle = len(content) // 2
    match how:
        case "truncated":
            largest.write_bytes(content[:middle])
        case "emptied":
            largest.write_bytes(b"")
        case "one byte flipped":
            largest.write_bytes(content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :])
        case "replaced by a link":
            (place / "elsewhere").write_bytes(content)
            largest.unlink()
            largest.symlink_to(place / "elsewhere")


@pytest.mark.parametrize("how", first_quick(["truncated", "emptied", "one byte flipped", "replaced by a link"]))
def test_damaged_checkpoint_is_said_and_the_one_before_it_used(
    train: Callable[..., Result], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    train(checkpoint_every=0)
    (tmp_path / "run" / "result.json").unlink()
    damage(tmp_path / "run" / "checkpoints" / "20", how)
    train()
    said = capsys.readouterr()
    assert "20: this checkpoint is damaged" in said.err
    assert "resumes from step 10" in said.out
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_old_checkpoint_that_cannot_be_deleted_is_said_once_and_training_goes_on(
    train: Callable[..., Result],
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def busy(path: Path) -> None:  # a file that is open on another machine stays as .nfs0000
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", busy)
        train(keep_checkpoints=1)
    [note] = capsys.readouterr().err.splitlines()
    assert "an old checkpoint cannot be deleted: Directory not empty" in note
    checkpoints = tmp_path / "run/checkpoints"
    assert checkpoint.steps(checkpoints) == [STEPS]
    assert list(checkpoints.glob(".discarded.*"))
    assert_same(tmp_path / "run", whole)
    (tmp_path / "run/result.json").unlink()
    train(keep_checkpoints=1, resume_from=STEPS)  # tries again
    assert os.listdir(checkpoints) == [str(STEPS)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_said_and_training_goes_on(
    train: Callable[..., Result],
    copy: Path,
    whole: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    (copy / "result.json").unlink()
    train()
    [note] = capsys.readouterr().err.splitlines()
    assert "its file system has no locks" in note
    assert_same(copy, whole)


STRAYS = [
    *(".DS_Store", "default/.nfs0000000000e1", "default/d/Thumbs.db", "._default", "lost+found/x", "default/d/more"),
    *("default/array_metadatas/process_1", "default/array_metadatas/process_0~", "default/ocdbt.process_1/x"),
]


@pytest.mark.slow
def test_file_that_is_not_the_checkpoints_does_no_harm(
    train: Callable[..., Result], copy: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "result.json").unlink()
    for name in (*(f"{STEPS}/{stray}" for stray in STRAYS), ".DS_Store", "21 (copy)/x", "007/x", "٣/x", "@eaDir/x"):
        (copy / "checkpoints" / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / "checkpoints" / name).write_bytes(b"\0not JSON")
    (copy / "checkpoints" / str(STEPS) / "latest").symlink_to("nowhere")
    (copy / ".#metrics.jsonl").symlink_to("editor@machine.4242")
    train()
    said = capsys.readouterr()
    assert (said.err, f"resumes from step {STEPS}" in said.out) == ("", True)
    assert_same(copy, whole)


@pytest.mark.slow
def test_file_of_the_system_that_is_there_while_a_checkpoint_is_written_may_vanish(
    train: Callable[..., Result], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = tmp_path / "run/checkpoints", checkpoint._restored

    def with_strays(*arguments: Any) -> Any:
        if arguments[0] == folder:
            (folder / str(arguments[1]) / ".nfs01").write_bytes(b"")
        return found(*arguments)

    monkeypatch.setattr(checkpoint, "_restored", with_strays)
    train()
    (folder / str(STEPS) / ".nfs01").unlink()
    assert not checkpoint._damage(folder / str(STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lost+found", "Thumbs.db", "$RECYCLE.BIN", ".Trashes"])
def test_new_disk_or_folder_with_files_of_the_system_is_an_empty_folder(
    train: Callable[..., Result], whole: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    train()
    assert (tmp_path / "run" / name).exists()
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_checkpoint_that_was_being_written_is_passed_over(
    train: Callable[..., Result], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(checkpoint_every=0)
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "checkpoints" / "20" / "manifest.sha256").unlink()
    train()
    said = capsys.readouterr()
    assert "damaged" not in said.err
    assert "resumes from step 10" in said.out
    assert_same(tmp_path / "run", whole)


def test_run_whose_checkpoints_are_all_damaged_is_refused_and_nothing_deleted(
    train: Callable[..., Result], tmp_path: Path
) -> None:
    train(checkpoint_every=0)
    (tmp_path / "run" / "result.json").unlink()
    for step in ("10", "20"):
        damage(tmp_path / "run" / "checkpoints" / step, "truncated")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MachineError, match=r"every checkpoint is damaged \(10, 20\)\. Nothing was deleted"):
        train()
    assert sorted(tmp_path.rglob("*")) == before


def test_checkpoint_of_a_newer_format_is_refused(train: Callable[..., Result], copy: Path) -> None:
    (copy / "result.json").unlink()
    place = copy / "checkpoints" / str(STEPS)
    record = json.loads((place / "progress.json").read_text()) | {"format": 99}
    (place / "progress.json").write_text(json.dumps(record))
    lines = [f"{checkpoint._digest(place / name)}  {name}\n" for name in checkpoint._files(place)]
    (place / "manifest.sha256").write_text("".join(lines))
    with pytest.raises(InputError, match="checkpoint format 99; this program knows 1"):
        train()


def test_run_on_other_data_is_refused(train: Callable[..., Result], copy: Path) -> None:
    (copy / "result.json").unlink()
    machine = json.loads((copy / "machine.json").read_text()) | {"data_fingerprint": "another"}
    (copy / "machine.json").write_text(json.dumps(machine))
    with pytest.raises(InputError, match="started on other data"):
        train()


def test_second_process_is_refused_at_once(train: Callable[..., Result], copy: Path) -> None:
    (copy / "result.json").unlink()
    with (
        RunDirectory(copy).locked(print),
        pytest.raises(InputError, match=rf"another process is training here \(process {os.getpid()}"),
    ):
        train()
    train()


def test_lock_left_by_a_dead_process_does_not_block(train: Callable[..., Result], copy: Path) -> None:
    (copy / "result.json").unlink()
    (copy / ".lock").write_text("99999")
    assert train().status == "done"


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "config.json", "result.json", ".lock"])
def test_symbolic_link_in_a_run_directory_is_refused(
    train: Callable[..., Result], copy: Path, tmp_path: Path, name: str
) -> None:
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{name} is a symbolic link"):
        train()


# The threads of Orbax may raise errors of their own after that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_directory_that_is_deleted_under_a_run_ends_it(
    monkeypatch: pytest.MonkeyPatch, train: Callable[..., Result], tmp_path: Path
) -> None:
    def fit(*arguments: Any, **named: Any) -> Iterator[loop.Progress]:
        for progress in loop.fit(*arguments, **named):
            if progress.step == 4:
                # Renamed first: a checkpoint that is being written would get in the way of deleting.
                shutil.rmtree((tmp_path / "run").rename(tmp_path / "gone"), ignore_errors=True)
            yield progress

    monkeypatch.setattr(executing, "fit", fit)
    with pytest.raises(MachineError, match=r"run directory is gone|cannot be written"):
        train()


@pytest.mark.slow
def test_clock_that_goes_backwards_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, train: Callable[..., Result], whole: Path, tmp_path: Path
) -> None:
    now = iter(range(10**9, 0, -1000))
    monkeypatch.setattr("time.time", lambda: float(next(now)))
    train()
    assert_same(tmp_path / "run", whole)
    assert all(row["seconds"] > 0 for row in map(json.loads, (tmp_path / "run/metrics.jsonl").read_text().splitlines()))
