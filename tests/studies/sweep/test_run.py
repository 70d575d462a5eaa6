"""The command chooses by held-out images, tests only the winner, and resumes where it was interrupted."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from cnn_jax.errors import DivergedError, InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report import estimates
from cnn_jax.report.format import percent_estimate
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.sweep.run import run as run_sweep
from tests.browser import Browser, require_sound

TINY = Experiment().vary(
    experiment="tiny",
    dataset="x_and_o",
    model="dense",
    widths=(8,),
    train_examples=200,
    validation_examples=100,
    batch_size=20,
    epochs=1,
)
RATES = "learning_rate=1e-4:1e-2:log3"

Swept = Callable[..., dict[str, Any]]


@pytest.fixture
def swept(drawn_data_dir: Path, tmp_path: Path) -> Swept:
    def run(
        text: str = RATES, *, base: Experiment = TINY, samples: int | None = None, jobs: int = 1, **options: Any
    ) -> dict[str, Any]:
        options = {"seeds": 2, "workdir": tmp_path / "sweep", "data_dir": drawn_data_dir, "progress": False} | options
        record = run_sweep(base, RunOptions(**options), sweep=text, samples=samples, jobs=jobs)
        assert record is not None
        return record

    return run


def without_times(record: Any) -> Any:
    if isinstance(record, list):
        return [without_times(item) for item in record]
    if isinstance(record, dict):
        return {name: without_times(value) for name, value in record.items() if "second" not in name}
    return record


@pytest.mark.usefixtures("nothing_is_unpickled")
def test_winner_is_chosen_on_held_out_images_and_trained_again_with_other_seeds(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str], browser: Browser
) -> None:
    record = swept(f"{RATES}; batch_size=10,20")
    assert json.loads((tmp_path / "sweep/sweep.json").read_text()) == record
    means = [found["validation_accuracy"]["mean"] for found in record["settings"]]
    assert means == sorted(means, reverse=True)
    best = record["winner"]
    assert best["validation_accuracy"]["mean"] == means[0]
    rows = [json.loads(line) for line in (tmp_path / "sweep/sweep.jsonl").read_text().splitlines()]
    assert len(rows) == 12 and not any("test" in name for row in rows for name in row)
    assert [row["seed"] for row in rows] == [0, 1] * 6  # in the order of the trials
    config = json.loads((tmp_path / "sweep/winner/config.json").read_text())
    assert (config["seed"], config["validation_examples"]) == (2, 0)
    assert {name: config[name] for name in best["settings"]} == best["settings"]
    test = json.loads((tmp_path / "sweep/winner/result.json").read_text())
    assert best["test"] == test and [seed["seed"] for seed in test["seeds"]] == [2, 3]
    printed, page = capsys.readouterr().out, (tmp_path / "sweep/sweep.html").read_text()
    said = f"x_and_o test accuracy {percent_estimate(estimates.of_seeds(test, 'test_accuracy'))} ("
    assert said in printed and said in page
    assert "the first 200 training images with seeds 2 and 3" in page
    require_sound(browser, tmp_path / "sweep/sweep.html")


def test_one_sixth_of_the_training_images_is_held_out_by_default(swept: Swept) -> None:
    record = swept("epochs=1", base=TINY.replace(validation_examples=0), seeds=1)
    assert record["base"]["validation_examples"] == record["search"]["validation_examples"] == 1_000


@pytest.mark.slow
def test_winner_whose_best_epoch_is_kept_has_held_out_images_too(swept: Swept, tmp_path: Path) -> None:
    record = swept("learning_rate=1e-2", base=TINY.replace(keep="best", patience=1, epochs=3, train_examples=None))
    config = json.loads((tmp_path / "sweep/winner/config.json").read_text())
    assert (config["seed"], config["validation_examples"]) == (2, 100)
    assert all(seed["best_epoch"] for seed in record["winner"]["test"]["seeds"])
    page = (tmp_path / "sweep/sweep.html").read_text()
    assert "trained again on the training images that are not held out with seeds 2 and 3" in page
    assert "The best of many tries looks better than it is" in page


@pytest.mark.parametrize("text", ["keep=last,best", "monitor=loss,accuracy", "patience=1,2"])
def test_what_chooses_epochs_by_the_held_out_images_cannot_be_swept(swept: Swept, tmp_path: Path, text: str) -> None:
    """The best epoch is never worse than the last one on the images that choose it."""
    with pytest.raises(InputError, match="cannot be swept: it chooses epochs by the images that score the settings"):
        swept(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_more_settings_may_win_and_the_earlier_winner_stays(swept: Swept, tmp_path: Path) -> None:
    first = swept("learning_rate=1e-5", base=TINY.replace(epochs=3))
    again = swept("learning_rate=1e-5", base=TINY.replace(epochs=3))
    assert again == first
    more = swept("learning_rate=1e-5,1e-2", base=TINY.replace(epochs=3))
    assert (first["winner"]["folder"], more["winner"]["folder"]) == ("winner", "winner-2")
    assert more["winner"]["settings"] == {"learning_rate": 1e-2}
    assert [row["seeds"] for row in more["settings"]] == [[0, 1], [0, 1]]
    anew = swept("learning_rate=1e-2", base=TINY, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [
        *("base.json", "machine.json", "sweep.html", "sweep.json", "sweep.jsonl", "trials", "winner")
    ]
    assert anew["base"]["epochs"] == 1


@pytest.mark.slow
def test_samples_are_drawn_by_the_seed(swept: Swept) -> None:
    record = swept("learning_rate=1e-4:1e-2:log; batch_size=10:20:lin", samples=3, seeds=1)
    assert record["search"]["settings"] == 3
    drawn = {tuple(found["settings"].values()) for found in record["settings"]}
    other = swept("learning_rate=1e-4:1e-2:log; batch_size=10:20:lin", samples=2, seeds=1)
    assert {tuple(found["settings"].values()) for found in other["settings"]} < drawn


def test_trial_that_is_over_before_its_warm_up_is_refused_before_anything_is_written(
    swept: Swept, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"^--warmup_steps=15: the whole run has 10 steps\."):
        swept("epochs=1,3", base=TINY.vary(warmup_steps=15))
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_sweep_in_which_all_trials_diverge_stores_its_record_and_fails(swept: Swept, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="Every setting has a seed that diverged") as error:
        swept("learning_rate=1e30", base=TINY.replace(optimizer="sgd"))
    assert error.value.exit_code == 3
    record = json.loads((tmp_path / "sweep/sweep.json").read_text())
    assert (record["winner"], record["search"]["diverged"]) == (None, 2)
    assert "No setting can win" in (tmp_path / "sweep/sweep.html").read_text()
    assert not (tmp_path / "sweep/winner").exists()


@pytest.mark.slow
def test_sweep_with_another_config_or_other_data_is_refused(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept("epochs=1", seeds=1)
    with pytest.raises(InputError, match=r"starts from another config \(batch_size: 20 there, 10 now\)"):
        swept("epochs=1", base=TINY.replace(batch_size=10))
    machine = tmp_path / "sweep/machine.json"
    machine.write_text(json.dumps(json.loads(machine.read_text()) | {"data_fingerprint": "other"}))
    with pytest.raises(InputError, match="was started on other data"):
        swept("epochs=1")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(InputError, match="--jobs=2: only on a CPU"):
        swept("epochs=1", jobs=2)


@pytest.mark.slow
def test_killed_sweep_resumes_and_gives_the_same_record(
    run_py: Callable[..., subprocess.CompletedProcess[str]],
    started_run: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    changes = ("--experiment=x_and_o", "--model=dense", "--widths=8", "--train_examples=2000", "--epochs=10")
    command = ("--mode=sweep", f"--sweep={RATES}", "--seeds=2", *changes)
    process = started_run(*command, "--workdir=killed")
    assert process.stdout is not None
    while "trial 2/6" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/sweep.json").exists()
    resumed = (*command, "--workdir=killed", "--claim_timeout=1s")
    again, whole = run_py(*resumed), run_py(*command, "--workdir=whole")
    assert (again.returncode, whole.returncode) == (0, 0), again.stderr + whole.stderr
    assert " already finished" in again.stdout
    assert "trial 1/6" not in again.stdout and "trial 6/6" in again.stdout
    records = [json.loads((tmp_path / name / "sweep.json").read_text()) for name in ("killed", "whole")]
    assert without_times(records[0]) == without_times(records[1])
