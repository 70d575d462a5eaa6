"""Runs of a user's own file: what is kept of its code, what holds after it changed, and that nothing is lost."""

import functools
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax.errors import InputError, Interrupted
from cnn_jax.experiment import Experiment, build, load_experiment
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs import execute as executing
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.seeds import execute_seeds
from cnn_jax.training import loop
from cnn_jax.user_code import source_of
from tests import bitwise_diff
from tests.conftest import PROJECT
from tests.runs.test_kills import Program, require_same_bits_after_kills

Run = Callable[..., subprocess.CompletedProcess[str]]

# Twenty steps. The last batch of an epoch is smaller than the others.
MINE = '''"""A network with state and chance."""

from __future__ import annotations

from typing import Annotated

from flax import linen as nn
from shared_measures import confidence

from cnn_jax import About, Config, Experiment


class Net(nn.Module):
    """A small network."""

    classes: int
    width: Annotated[int, About("filters", at_least=1)] = 4

    @nn.compact
    def __call__(self, images, *, train=False):
        x = nn.Conv(self.width, (3, 3), strides=2, use_bias=False)(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.Dropout(0.25, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(self.classes)(x)


def experiment():
    return Experiment(
        Config(
            dataset="x_and_o",
            train_examples=300,
            validation_examples=100,
            augment=("shift",),
            model="net",
            learning_rate=0.01,
            average="ema",
            epochs=2,
            batch_size=32,
        ),
        models={"net": Net},
        metrics={"confidence": confidence},
    )
'''
NEIGHBOUR = '''"""What several of my files measure."""

import jax


def confidence(logits, labels):
    """The largest probability."""
    return jax.nn.softmax(logits).max(axis=-1)
'''
STEPS = 20
TRAIN = ("--experiment=mine.py", "--workdir=run")


class End(BaseException):
    """What ends a run as a kill does: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Takes back what loading a user's file changes in this process: other tests have neighbours of the same name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path_factory.getbasetemp())):
            del sys.modules[name]


def write(folder: Path, name: str = "mine.py") -> Path:
    """The user's file and the module beside it."""
    (folder / "shared_measures.py").write_text(NEIGHBOUR)
    (folder / name).write_text(MINE)
    return folder / name


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture(scope="module")
def trained(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the file and of its finished run. Tests copy it: see `finished`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        options = RunOptions(workdir=folder / "run", data_dir=drawn_data_dir)
        execute(load_experiment(write(folder)), options, Console(progress=False))
        sys.modules.pop("shared_measures")
    return folder


@pytest.fixture
def finished(mine: Path, trained: Path) -> Path:
    """A copy of the finished run beside the file that it was trained by."""
    return Path(shutil.copytree(trained / "run", mine.parent / "run"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replace(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_file_in_another_encoding_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_bytes(MINE.encode("utf-16"))
    with pytest.raises(InputError, match=r"wide.py: is no Python file in UTF-8. Save it as UTF-8."):
        load_experiment(tmp_path / "wide.py")


def scaled(factor: Any) -> Callable:
    def loss(logits: Any, labels: Any) -> Any:
        return factor * logits.sum(1)

    return loss


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: scaled(1.0), lambda: scaled(2.0)),
        (lambda: scaled(np.ones(3)), lambda: scaled(np.zeros(3))),
        (lambda: scaled(scaled(1.0)), lambda: scaled(scaled(2.0))),
        (lambda: jax.jit(scaled(1.0)), lambda: jax.jit(scaled(2.0))),
        (lambda: scaled(np.float32(1)), lambda: scaled(np.float32(2))),
        (lambda: scaled(jax.random.key(1)), lambda: scaled(jax.random.key(2))),
        (lambda: functools.partial(scaled, factor=1.0), lambda: functools.partial(scaled, factor=2.0)),
        (lambda: functools.partial(scaled, [1, 2]), lambda: functools.partial(scaled, [1, 3])),
    ],
)
def test_part_made_with_something_else_is_other_code(one: Callable, other: Callable) -> None:
    """Of parts that no file defines, as in a notebook: their sources are equal."""
    digests = [Experiment(losses={"mine": make()}).digest for make in (one, one, other)]
    assert digests[0] == digests[1] != digests[2]


def test_part_that_reads_modules_alone_is_its_source() -> None:
    assert source_of(_with_modules_alone) == inspect.getsource(_with_modules_alone)


def test_part_that_reads_another_global_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Experiment(losses={"mine": _with_a_global}).digest
    monkeypatch.setitem(globals(), "_FACTOR", 2.0)
    assert Experiment(losses={"mine": _with_a_global}).digest != before


_FACTOR = 1.0


def _with_modules_alone(logits: Any, labels: Any) -> Any:
    return np.sum(logits, 1)


def _with_a_global(logits: Any, labels: Any) -> Any:
    return _FACTOR * logits.sum(1)


@pytest.mark.slow
def test_run_keeps_copies_of_the_file_and_of_the_module_beside_it(trained: Path, mine: Path) -> None:
    assert content(trained / "run/experiment") == {
        "mine.py": MINE.encode(),
        "shared_measures.py": NEIGHBOUR.encode(),
    }
    machine = json.loads((trained / "run/machine.json").read_text())
    assert machine["experiment_file"] == str(trained / "mine.py")
    assert machine["experiment_hash"] == load_experiment(mine).code.digest  # wherever the file lies


@pytest.mark.slow
def test_training_again_deletes_the_copies_of_other_code(run_py: Run, finished: Path, mine: Path) -> None:
    (finished / "experiment/old.py").touch()
    replace(mine, "0.25", "0.5")
    assert run_py(*TRAIN, "--overwrite", "--epochs=1").returncode == 0
    assert content(finished / "experiment") == {"mine.py": mine.read_bytes(), "shared_measures.py": NEIGHBOUR.encode()}


CHANGES = {
    "file": ("mine.py", "0.25", "0.5"),
    "neighbour": ("shared_measures.py", ".max(axis=-1)", ".min(axis=-1)"),
}


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("status", ["done", "unfinished"])
def test_training_on_after_the_code_changed_is_refused_and_nothing_touched(
    run_py: Run, finished: Path, changed: str, status: str
) -> None:
    if status == "unfinished":
        (finished / "result.json").unlink()
    before = content(finished)
    name, old, new = CHANGES[changed]
    replace(finished.parent / name, old, new)
    for flags in ((), ("--epochs=3",), ("--resume_from=20",)):
        refused = run_py(*TRAIN, *flags)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), (flags, refused.stderr)
        assert refused.stderr.startswith("run.py: --workdir=run: the code of mine has changed since"), flags
        assert content(finished) == before


REACHED = """import importlib

import parts
from cnn_jax import Experiment

RATES = importlib.import_module("rates")
LIMIT = importlib.import_module("lim" + "its").LIMIT


def experiment():
    from late import EPOCHS

    importlib.import_module("la" + "ter")
    return Experiment().vary(epochs=EPOCHS)
"""
IN_FOLDER = {
    "parts/__init__.py": "from .layers import *\n",
    "parts/layers.py": "from . import sizes\nfrom .deep.width import WIDTH\n",
    "parts/sizes.py": "SIZE = 3\n",
    "parts/deep/__init__.py": "X = 1\n",
    "parts/deep/width.py": "from ..above import WIDTH\n",
    "parts/above.py": "WIDTH = 4\n",
    "rates.py": "RATE = 0.1\n",
    "limits.py": "LIMIT = 3\n",
    "late.py": "EPOCHS = 2\n",
    "later.py": "Y = 1\n",
}


def test_modules_that_are_reached_by_relative_imports_and_by_importlib_are_of_the_code(tmp_path: Path) -> None:
    for name, text in {"reaching.py": REACHED, **IN_FOLDER, "unrelated.py": "Z = 1\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code = load_experiment(tmp_path / "reaching.py").code
    assert set(code.sources) == {"reaching.py", *IN_FOLDER}
    assert load_experiment(tmp_path / "reaching.py").code == code
    for name, text in IN_FOLDER.items():
        (tmp_path / name).write_text(f"{text}CHANGED = 1\n")
        assert load_experiment(tmp_path / "reaching.py").code.digest != code.digest, name
        (tmp_path / name).write_text(text)


def test_library_of_pip_install_user_is_no_part_of_a_file_in_the_home_folder(tmp_path: Path) -> None:
    packages = Path(sysconfig.get_path("purelib", f"{os.name}_user", vars={"userbase": str(tmp_path / ".local")}))
    packages.mkdir(parents=True)
    (packages / "their_library.py").write_text("")
    (tmp_path / "mine.py").write_text("import their_library\n")
    script = "import pathlib, cnn_jax.user_code as u; print(*u.code_of(u.load_module(pathlib.Path('mine.py'))).sources)"
    environment = os.environ | {
        "PYTHONUSERBASE": str(tmp_path / ".local"),
        "PYTHONPATH": f"{packages}{os.pathsep}{PROJECT}",
    }
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (finished.stdout, finished.stderr) == ("mine.py\n", "")


@pytest.mark.slow
def test_training_on_after_a_module_of_a_package_changed_is_refused(run_py: Run, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "measures").mkdir()
    (tmp_path / "measures/__init__.py").write_text("from .one import confidence\n")
    (tmp_path / "measures/one.py").write_text(NEIGHBOUR)
    replace(mine, "from shared_measures", "from measures")
    train = (*TRAIN, "--epochs=1", "--train_examples=64")
    assert run_py(*train).returncode == 0
    assert set(content(tmp_path / "run/experiment")) == {"mine.py", "measures/__init__.py", "measures/one.py"}
    replace(tmp_path / "measures/one.py", ".max(axis=-1)", ".min(axis=-1)")
    refused = run_py(*train)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "the code of mine has changed" in refused.stderr


ENCODED = {
    "byte order mark": b"\xef\xbb\xbf" + MINE.encode(),
    "latin-1": b"# -*- coding: latin-1 -*-\n" + MINE.replace("A small", "Ein gr\xf6\xdferes").encode("latin-1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODED)
def test_file_that_is_encoded_otherwise_trains_and_is_kept_as_it_is(
    run_py: Run, mine: Path, tmp_path: Path, encoding: str
) -> None:
    plain = load_experiment(mine).code.digest
    mine.write_bytes(ENCODED[encoding])
    trained = run_py(*TRAIN, "--epochs=1", "--train_examples=64")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert (tmp_path / "run/experiment/mine.py").read_bytes() == ENCODED[encoding]
    assert json.loads((tmp_path / "run/machine.json").read_text())["experiment_hash"] == plain


@pytest.mark.slow
def test_changed_comments_and_docstrings_are_no_change(run_py: Run, finished: Path, mine: Path) -> None:
    replace(mine, '    """A small network."""\n', '    """A very small network."""\n    # It has one convolution.\n')
    replace(mine.with_name("shared_measures.py"), "The largest", "Largest")
    again = run_py(*TRAIN)
    assert again.returncode == 0, again.stderr
    assert "run holds this run, finished" in again.stderr
    (finished / "result.json").unlink()
    again = run_py(*TRAIN)
    assert again.returncode == 0, again.stderr
    assert "resumes from step 20" in again.stdout


def test_run_of_a_file_is_not_resumed_by_a_shipped_experiment(run_py: Run, finished: Path) -> None:
    before = content(finished)
    refused = run_py("--experiment=x_and_o", "--workdir=run")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert content(finished) == before


@pytest.mark.slow
def test_seeds_are_not_resumed_after_the_code_changed(run_py: Run, tmp_path: Path, mine: Path) -> None:
    assert run_py(*TRAIN, "--seeds=2", "--epochs=1").returncode == 0
    for seed in (0, 1):
        assert (tmp_path / f"run/seed-{seed}/experiment/mine.py").read_text() == MINE
    before = content(tmp_path / "run")
    replace(mine, "0.25", "0.5")
    for seeds in (2, 3):
        refused = run_py(*TRAIN, f"--seeds={seeds}", "--epochs=1")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert "the code of mine has changed" in refused.stderr
    assert content(tmp_path / "run") == before


@pytest.mark.slow
def test_sweep_is_not_resumed_after_the_code_changed(run_py: Run, tmp_path: Path, mine: Path) -> None:
    sweep = ("--mode=sweep", "--experiment=mine.py", "--sweep=width=2,3", "--seeds=1", "--epochs=1", "--workdir=sweep")
    assert run_py(*sweep).returncode == 0
    before = content(tmp_path / "sweep")
    replace(mine, "0.25", "0.5")
    refused = run_py(*sweep)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "--workdir=sweep: the code of mine has changed" in refused.stderr
    assert content(tmp_path / "sweep") == before


@pytest.mark.slow
def test_run_that_was_ended_while_its_first_files_were_written_begins(run_py: Run, finished: Path) -> None:
    config = (finished / "config.json").read_bytes()
    shutil.rmtree(finished)
    finished.mkdir()
    (finished / "config.json").write_bytes(config)
    trained = run_py(*TRAIN)
    assert trained.returncode == 0, trained.stderr
    assert set(content(finished / "experiment")) == {"mine.py", "shared_measures.py"}


COMMANDS = {
    "evaluate": ("--mode=evaluate", "--workdir=run"),
    "predict": ("--mode=predict", "--workdir=run", "--images=letter.png"),
    "export": ("--mode=export", "--workdir=run"),
    "export stablehlo": ("--mode=export", "--workdir=run", "--format=stablehlo"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_without_the_file_says_which_to_name_and_goes_on_with_a_changed_one(
    run_py: Run, finished: Path, mine: Path, trained: Path, command: str
) -> None:
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(mine.with_name("letter.png"))
    refused = run_py(*COMMANDS[command])
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1), refused.stderr
    assert f"its experiment is in a file of its own. Name it: --experiment={trained / 'mine.py'}." in refused.stderr
    replace(mine, "0.25", "0.5")
    went_on = run_py(*COMMANDS[command], "--experiment=mine.py")
    assert went_on.returncode == 0, went_on.stderr
    assert went_on.stderr.startswith("run: mine has changed since this run was trained.\n")


@pytest.mark.slow
def test_run_of_shipped_parts_needs_no_file(run_py: Run, mine: Path) -> None:
    mine.write_text(
        "from experiments import x_and_o\n\ndef experiment():\n"
        "    return x_and_o.experiment().vary(epochs=1, train_examples=64)\n"
    )
    assert run_py(*TRAIN).returncode == 0
    mine.unlink()
    evaluated = run_py(*COMMANDS["evaluate"])
    assert (evaluated.returncode, evaluated.stderr) == (0, "")


def test_copy_that_a_run_keeps_is_never_run(run_py: Run, finished: Path) -> None:
    for file in (finished / "experiment").iterdir():
        file.write_text("raise SystemExit('the copy was run')")
    for arguments in (TRAIN, (*COMMANDS["evaluate"], "--experiment=mine.py")):
        ended = run_py(*arguments)
        assert ended.returncode == 0, ended.stderr


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, drawn_data_dir: Path, mine: Path) -> Callable[..., None]:
    """Trains the file's experiment, and ends it after so many steps, as if killed or by a signal."""

    def run(*, end: int | None = None, signal_number: int | None = None, **options: Any) -> None:
        def fit(*arguments: Any, **named: Any) -> Iterator[loop.Progress]:
            for progress in loop.fit(*arguments, **named):
                if progress.step == end and signal_number is not None:
                    signal.raise_signal(signal_number)
                elif progress.step == end:
                    raise End
                yield progress

        place = {"workdir": mine.parent / "run", "data_dir": drawn_data_dir, "checkpoint_every": 1e-9} | options
        with monkeypatch.context() as patch:
            patch.setattr(executing, "fit", fit)
            patch.setattr(loop, "CHUNK_SECONDS", 0.0)
            experiment = load_experiment(mine)
            if "seeds" in place:
                execute_seeds(experiment, RunOptions(**place), Console(progress=False))
            else:
                execute(experiment, RunOptions(**place), Console(progress=False))

    return run


@pytest.mark.slow
def test_run_killed_at_several_steps_comes_to_the_same_bits(
    train: Callable[..., None], trained: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (2, 7, 10, 11, 20):
        with pytest.raises(End):
            train(end=step)
    train()
    assert "resumes from step" in capsys.readouterr().out
    assert_same(mine.parent / "run", trained / "run", mine)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["end of epoch", "signal"])
@pytest.mark.parametrize("seeds", [{}, {"seeds": 2, "seed_strategy": "vmap"}], ids=["alone", "together"])
def test_checkpoint_of_the_last_step_holds_what_was_scored(
    train: Callable[..., None], run_py: Run, mine: Path, tmp_path: Path, ending: str, seeds: dict[str, Any]
) -> None:
    """Its average has the statistics of the average, also where there was something to save at that step before."""
    if ending == "signal":
        with pytest.raises(Interrupted):
            train(end=STEPS, signal_number=signal.SIGTERM, checkpoint_every=1e9, **seeds)
    train(checkpoint_every=0, **seeds)
    evaluated = run_py("--mode=evaluate", "--workdir=run", "--experiment=mine.py", "--output=again")
    assert evaluated.returncode == 0, evaluated.stderr
    [model] = json.loads((tmp_path / "again/evaluation.json").read_text())["runs"]
    for seed in model["seeds"]:
        run = RunDirectory(tmp_path / (f"run/seed-{seed['seed']}" if seeds else "run"))
        assert seed["loss"] == pytest.approx(run.finished_result().test_loss, abs=1e-6)


@pytest.mark.slow
def test_seeds_killed_together_come_to_the_same_bits(
    train: Callable[..., None], mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(seeds=2, seed_strategy="vmap", workdir=tmp_path / "whole")
    for step in (7, 14):
        with pytest.raises(End):
            train(end=step, seeds=2, seed_strategy="vmap")
    train(seeds=2)
    assert "resumes from step" in capsys.readouterr().out
    for seed in (0, 1):
        assert_same(tmp_path / f"run/seed-{seed}", tmp_path / f"whole/seed-{seed}", mine)


def assert_same(run: Path, other: Path, file: Path) -> None:
    """Everything that the runs left is the same, but their times; and it is all there to be compared."""
    experiment = load_experiment(file)
    assert {"params", "model_state", "average"} <= {name.split(".")[1].split("[")[0] for name in arrays(run, file)}
    assert list(bitwise_diff.differences(run, other, experiment)) == []


def arrays(run: Path, file: Path) -> dict[str, np.ndarray]:
    """The arrays of the last checkpoint by their names, but for the key."""
    saved = checkpoint.load_step(RunDirectory(run).checkpoints, STEPS, build(load_experiment(file)).abstract_state)
    leaves = jax.tree_util.tree_leaves_with_path((saved.state.replace(key=0), saved.sums))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.mark.slow
def test_seeds_that_train_together_are_each_as_alone_after_20_steps(
    train: Callable[..., None], trained: Path, mine: Path, drawn_data_dir: Path, tmp_path: Path
) -> None:
    train(seeds=3, seed_strategy="vmap")
    alone = {0: trained / "run"}
    for seed in (1, 2):
        alone[seed] = tmp_path / f"alone-{seed}"
        options = RunOptions(workdir=alone[seed], data_dir=drawn_data_dir)
        execute(load_experiment(mine).replace(seed=seed), options, Console(progress=False))
    for seed, folder in alone.items():
        found, expected = (arrays(run, mine) for run in (tmp_path / f"run/seed-{seed}", folder))
        for name in expected:
            # The optimizer's moments and the sums over images are large numbers and are not asked about.
            if name.startswith(("[0].params", "[0].model_state", "[0].average")):
                np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=1e-5, err_msg=name)
        results = [json.loads((run / "result.json").read_text()) for run in (tmp_path / f"run/seed-{seed}", folder)]
        for name in ("train_loss", "test_loss"):
            assert results[0][name] == pytest.approx(results[1][name], abs=1e-5), name
        assert results[0]["test_metrics"] == pytest.approx(results[1]["test_metrics"], abs=1e-5)
    assert len({(tmp_path / f"run/seed-{seed}/predictions.npz").read_bytes() for seed in alone}) == 3


@pytest.mark.long
def test_own_file_killed_20_times_at_random_moments_comes_to_the_same_bits(
    command_environment: dict[str, str], mine: Path, tmp_path: Path
) -> None:
    flags = (f"--experiment={mine}", "--train_examples=5000", "--epochs=20")
    require_same_bits_after_kills(Program(flags, command_environment, tmp_path), tmp_path, load_experiment(mine))


NAMES = ["random.py", "my first net.py", "моя сеть.py", "from.py", "shared.measures.py"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_file_of_any_name_trains(run_py: Run, tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    trained = run_py(f"--experiment={name}", "--epochs=1", "--train_examples=64", "--workdir=run")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert (tmp_path / "run/experiment" / name).read_text() == MINE
    again = run_py(f"--experiment={name}", "--epochs=1", "--train_examples=64", "--workdir=run")
    assert "finished" in again.stderr
    by_name = run_py(f"--experiment={name}", "--epochs=1", "--train_examples=64")
    assert (by_name.returncode, by_name.stderr) == (0, "")
    [folder] = (tmp_path / "runs").iterdir()
    config = RunDirectory(folder).config()
    assert config.experiment == name.removesuffix(".py")
    evaluated = run_py("--mode=evaluate", "--workdir=run", f"--experiment={name}")
    assert (evaluated.returncode, evaluated.stderr) == (0, "")


@pytest.mark.slow
def test_processes_of_a_sweep_load_the_file(run_process: Run, tmp_path: Path) -> None:
    """Its name has spaces and letters of another script, and beside it is a file that is named as a standard module."""
    write(tmp_path, "моя сеть.py")
    (tmp_path / "random.py").write_text("raise ValueError('this is no module of the standard library')")
    swept = run_process(
        *("--mode=sweep", "--experiment=моя сеть.py", "--sweep=width=2,3", "--jobs=2", "--seeds=1", "--epochs=1"),
        *("--train_examples=64", "--workdir=sweep"),
    )
    assert swept.returncode == 0, swept.stderr
    rows = [json.loads(line) for line in (tmp_path / "sweep/sweep.jsonl").read_text().splitlines()]
    assert sorted(row["settings"]["model.width"] for row in rows) == [2, 3]
    assert {row["status"] for row in rows} == {"done"}


def test_experiment_made_in_memory_with_parts_of_its_own_names_no_file(mine: Path) -> None:
    """Such parts cannot be loaded by another process, and their code has no hash."""
    loaded = load_experiment(mine)
    assert Experiment(loaded.config, models=loaded.models, metrics=loaded.metrics).code is None
