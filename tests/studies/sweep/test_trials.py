"""A trial gives the same numbers as a run of its own config, no trial runs twice, and no row is lost."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnn_jax import compilation, data
from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import InputError, Interrupted, MachineError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.console import Console
from cnn_jax.runs import machine, selection
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.sweep.directory import Row, SweepDirectory
from cnn_jax.studies.sweep.space import grid, parse_dimensions
from cnn_jax.studies.sweep.trials import Workload, all_trials, run_trials
from cnn_jax.training import loop
from cnn_jax.training.compiled import compile_inference, compile_training
from cnn_jax.training.mesh import make_mesh
from tests.conftest import first_quick

BASE = Experiment().vary(
    experiment="tiny", model="dense", widths=(8,), train_examples=100, validation_examples=50, batch_size=20, epochs=1
)
RATES = "learning_rate=1e-3,1e-2"
CLAIM_TIMEOUT = 1.0

Try = Callable[..., list[Row]]


@pytest.fixture(scope="module")
def dataset(drawn_data_dir: Path) -> Dataset:
    return data.load("mnist", data_dir=drawn_data_dir)


@pytest.fixture
def tried(dataset: Dataset, drawn_data_dir: Path, tmp_path: Path) -> Try:
    """Runs the trials that are not there yet; gives the rows of all of them."""

    def run(
        text: str,
        *,
        seeds: int = 2,
        base: Experiment = BASE,
        folder: str = "sweep",
        images: Dataset = dataset,
        jobs: int = 1,
    ) -> list[Row]:
        directory, trials = (
            SweepDirectory(tmp_path / folder),
            all_trials(base, grid(parse_dimensions(text, base)), seeds),
        )
        directory.begin(base, machine.describe([]) | {"data_fingerprint": images.fingerprint}, print)
        known = directory.finished_rows(base)
        left = [trial for trial in trials if trial.config not in known]
        workload = Workload(base, left, len(trials), directory, RunOptions(data_dir=drawn_data_dir), CLAIM_TIMEOUT)
        run_trials(workload, images, jobs, Console(progress=False))
        known = directory.finished_rows(base)
        return [known[trial.config] for trial in trials]

    return run


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one with every program that is compiled."""
    made: list[None] = []
    compiled = compilation.compiled
    monkeypatch.setattr(compilation, "compiled", lambda *arguments: (made.append(None), compiled(*arguments))[1])
    return made


def without_times(rows: list[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def rows_in(folder: Path) -> list[Path]:
    """The files of finished trials."""
    return [*(folder / "trials").glob("*.json")]


def test_trial_equals_a_run_of_its_own_config_to_the_bit(tried: Try, dataset: Dataset) -> None:
    rows = tried(RATES)
    assert [(row["settings"], row["seed"]) for row in rows] == [
        ({"learning_rate": rate}, seed) for rate in (1e-3, 1e-2) for seed in (0, 1)
    ]
    experiment = BASE.replace(learning_rate=1e-2, seed=1)
    train, held_out = split_training_images(dataset, 100, 50)
    assert held_out is not None
    learner = build(experiment, dataset.spec)
    last, _ = loop.train(compile_training(learner, train, make_mesh()), seed=1)
    validation = compile_inference(learner, held_out, make_mesh()).score(last.state.variables)
    assert (rows[3]["validation_loss"], rows[3]["validation_accuracy"]) == (validation.loss, validation.accuracy)
    assert (rows[3]["train_loss"], rows[3]["steps"], rows[3]["epochs"]) == (last.train.loss, 5, 1)
    assert len({row["validation_loss"] for row in rows}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"keep": "best", "patience": 2}, {"keep": "best"}, {"patience": 1}])
def test_trial_reports_the_epoch_that_a_run_keeps(
    tried: Try, dataset: Dataset, drawn_data_dir: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    base = BASE.replace(**changes, epochs=6, learning_rate=0.02)
    [row] = tried("batch_size=20", seeds=1, base=base)
    place = RunOptions(workdir=tmp_path / "run", data_dir=drawn_data_dir)
    result = execute(base, place, Console(progress=False), dataset)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    kept = rows[(result.best_epoch or result.epochs) - 1]
    names = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy")
    assert [row[name] for name in names] == [kept[name] for name in names]
    assert (row["epochs"], row["steps"]) == (result.epochs, result.steps)
    assert row["epochs"] < 6 or "patience" not in changes


@pytest.mark.slow
def test_learning_rates_seeds_and_epochs_share_compiled_functions(tried: Try, compilations: list[None]) -> None:
    tried("epochs=1,2; learning_rate=1e-4:1e-2:log3", seeds=2)
    assert len(compilations) == 4  # start, order and chunk of training, and inference on the held-out images
    tried("learning_rate=1e-4:1e-2:log3; widths=8|16; batch_size=20", seeds=2, folder="other")
    assert len(compilations) == 4 + 2 * 4
    tried("epochs=1,2", base=BASE.replace(schedule="cosine"), folder="cosine")
    assert len(compilations) == 4 + 2 * 4 + 2 * 4  # a cosine's length is part of the program


@pytest.mark.slow
def test_divergence_is_recorded_and_the_other_trials_run(tried: Try, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tried("learning_rate=1e30,1e300,1e-3", seeds=1, base=BASE.replace(optimizer="sgd"))
    assert [row["status"] for row in rows] == ["diverged", "diverged", "done"]
    assert [row["validation_loss"] for row in rows[:2]] == [None, None]
    assert 1 <= rows[0]["steps"] <= 5
    assert f"learning_rate=1e+30  seed 0: diverged at step {rows[0]['steps']}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_trials_do_not_use_test_images(tried: Try, dataset: Dataset) -> None:
    blind = dataclasses.replace(dataset, test=None)  # looking at them would end the test
    assert without_times(tried(RATES, images=blind)) == without_times(tried(RATES, folder="other"))


@pytest.mark.slow
def test_more_settings_and_seeds_run_only_what_is_new(tried: Try, capsys: pytest.CaptureFixture[str]) -> None:
    first = tried("learning_rate=1e-3", seeds=1)
    more = tried("learning_rate=1e-3,1e-2; epochs=1", seeds=2)
    assert capsys.readouterr().out.count("trial ") == 4
    assert more[0] == first[0]
    assert [row["seed"] for row in more] == [0, 1, 0, 1]


@pytest.mark.slow
def test_trial_with_an_incomplete_row_is_run_again(
    tried: Try, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier versions appended all rows to one file."""
    whole = tried(RATES)
    rows = "".join(json.dumps(row) + "\n" for row in whole)
    (tmp_path / "sweep/sweep.jsonl").write_text(rows[:-10])
    shutil.rmtree(tmp_path / "sweep/trials")
    capsys.readouterr()
    again = tried(RATES)
    assert capsys.readouterr().out.count("trial ") == 1
    assert without_times(again) == without_times(whole)
    assert again[:3] == whole[:3]


@pytest.mark.parametrize(
    "line",
    [
        "words",
        "[]",
        '{"seed": 0}',
        "CHANGED status stopped",
        "CHANGED seed -1",
        "CHANGED validation_loss NaN",
        "CHANGED validation_accuracy null",
        'CHANGED settings {"model.widths": 3}',
        'CHANGED settings {"pooling": true}',
        'CHANGED settings {"model": "dens"}',
        "CHANGED settings 3",
        "CHANGED steps 1.5",
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, line: str) -> None:
    directory = SweepDirectory(tmp_path)
    directory.begin(BASE, machine.describe([]) | {"data_fingerprint": "f"}, print)
    numbers = ("validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "seconds", "images_per_second")
    row: dict[str, Any] = {"settings": {}, "seed": 0, "status": "done", "epochs": 1, "steps": 5} | dict.fromkeys(
        numbers, 1
    )
    directory.write_rows([row])
    assert directory.finished_rows(BASE) == {BASE.config: row}
    if line.startswith("CHANGED"):
        _, name, value = line.split(" ", 2)
        changed = json.dumps(row | {name: "MARK"})
        line = changed.replace('"MARK"', value if name != "status" else f'"{value}"')
    with (tmp_path / "sweep.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match="not the rows of a sweep"):
        directory.finished_rows(BASE)
    (tmp_path / "sweep.jsonl").unlink()
    (tmp_path / "trials/some.json").write_text(line)
    with pytest.raises(InputError, match=r"some\.json: not the row of a sweep .* Delete it"):
        directory.finished_rows(BASE)


def test_row_or_claim_that_does_not_fit_on_the_disk_is_reported_and_dropped(
    tmp_path: Path, full_disk: Callable[[int], contextlib.AbstractContextManager[None]]
) -> None:
    directory = SweepDirectory(tmp_path)
    directory.begin(BASE, machine.describe([]) | {"data_fingerprint": "f"}, print)
    with full_disk(5):
        with pytest.raises(MachineError, match=r"\.json: cannot be written: File too large"):
            directory.write_row(BASE.config, {"seed": 0})
        with (
            pytest.raises(MachineError, match=r"trials: cannot be written: File too large"),
            directory.claimed(BASE.config, CLAIM_TIMEOUT),
        ):
            pass
    assert not list((tmp_path / "trials").iterdir())


@pytest.mark.slow
def test_signal_ends_the_sweep_with_its_rows_kept(tried: Try, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def signalled(*arguments: Any) -> Any:
        if len(rows_in(tmp_path / "sweep")) == 2:
            signal.raise_signal(signal.SIGTERM)
        return train(*arguments)

    train = selection.train
    with monkeypatch.context() as patch:
        patch.setattr(selection, "train", signalled)
        with pytest.raises(Interrupted) as ended:
            tried(RATES)
    assert ended.value.exit_code == 143
    assert len([*(tmp_path / "sweep/trials").iterdir()]) == len(rows_in(tmp_path / "sweep")) == 2
    assert without_times(tried(RATES)) == without_times(tried(RATES, folder="other"))


@pytest.mark.slow
@pytest.mark.devices(8)  # which the processes have too
def test_several_processes_run_the_same_trials(tried: Try) -> None:
    assert without_times(tried(RATES, jobs=2)) == without_times(tried(RATES, folder="other"))


@pytest.mark.parametrize("while_they", first_quick(["start", "train"]))
def test_signal_ends_all_processes_without_a_traceback(
    tried: Try, tmp_path: Path, capfd: pytest.CaptureFixture[str], while_they: str
) -> None:

    def interrupt() -> None:
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.01)
        time.sleep(0.5)  # Python itself has started, and imports what it needs
        while while_they == "train" and not rows_in(tmp_path / "sweep"):
            time.sleep(0.01)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGINT)  # as a terminal does
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted) as ended:
        tried("epochs=1,1000000; batch_size=10|20", jobs=2)
    thread.join()
    assert ended.value.exit_code == 130
    assert not multiprocessing.active_children()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_terminal_that_goes_away_ends_all_processes_of_a_sweep(
    started_run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """It sends SIGHUP to all of them, also to the one that multiprocessing starts."""
    flags = ("--mode=sweep", "--experiment=x_and_o", "--train_examples=640", "--validation_examples=100", "--jobs=2")
    process = started_run(*flags, "--sweep=epochs=1,1000000", "--workdir=sweep", start_new_session=True)
    while not rows_in(tmp_path / "sweep"):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (129, "run.py: Interrupted by SIGHUP.\n")


@pytest.mark.slow
def test_process_that_dies_is_reported_and_the_same_command_resumes(tried: Try, tmp_path: Path) -> None:
    def kill() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.01)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(MachineError, match=r"ended with code -9.*the same command resumes the sweep"):
        tried(RATES, jobs=2)
    killer.join()
    assert not multiprocessing.active_children()
    assert len(tried(RATES)) == 4
