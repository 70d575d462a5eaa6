"""Starting from the parameters of another run: an exact copy, known by its hash, and not needed to resume."""

import json
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax import Experiment, InputError, compilation, data, load_run, train
from cnn_jax.config import read_config
from cnn_jax.data.published import PublishedSource
from cnn_jax.experiment import build
from cnn_jax.report.console import Console
from cnn_jax.runs import checkpoint
from cnn_jax.runs import execute as executing
from cnn_jax.runs.execute import execute
from cnn_jax.runs.initial import init_from
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.runs.seeds import execute_seeds
from cnn_jax.training import loop
from tests import bitwise_diff
from tests.data import archives

TINY = Experiment().vary(
    experiment="tiny", dataset="x_and_o", widths=(4, 8), train_examples=300, epochs=2, batch_size=32, average="ema"
)
FLAGS = ("--dataset=x_and_o", "--widths=4,8", "--train_examples=300", "--epochs=2", "--batch_size=32", "--average=ema")
OWN = '''"""Drawings of three classes, in the same form as x_and_o."""
import numpy as np
from cnn_jax import Dataset, Experiment

def bars():
    labels = np.arange(96) % 3
    images = np.zeros((96, 9, 9), np.uint8)
    for row, label in enumerate(labels):
        images[row, 2 + 2 * label] = 255
    return Dataset.from_arrays(images[:64], labels[:64], images[64:], labels[64:])

def experiment():
    return Experiment(datasets={"bars": bars}).vary(dataset="bars", widths=(4, 8), epochs=1, average="ema")
'''
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pretrained(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that scores an average of its parameters; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("pretrained") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir), Console(progress=False))
    return workdir


@pytest.fixture
def fit_tiny(drawn_data_dir: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(experiment: Experiment, *, workdir: Path = tmp_path / "run", **options: Any) -> Result:
        options = {"data_dir": drawn_data_dir, "checkpoint_every": 1e-9} | options
        return execute(experiment, RunOptions(workdir=workdir, **options), Console(progress=False))

    return run


def bits(variables: dict) -> dict[str, bytes]:
    return {"/".join(path): np.asarray(leaf).tobytes() for path, leaf in flatten_dict(variables).items()}


def scored(run: Path) -> dict[str, bytes]:
    """The bits of the variables that a run has scored."""
    step = json.loads((run / "result.json").read_text())["steps"]
    return bits(checkpoint.load_variables(run / "checkpoints", step))


def first_state(experiment: Experiment) -> dict[str, bytes]:
    learner = build(experiment)
    create = compilation.jit(learner.create_state, runs_once=True)
    return bits(create(experiment.config.seed, learner.initial).variables)


def test_training_starts_from_an_exact_copy_of_what_the_run_has_scored(pretrained: Path) -> None:
    assert first_state(init_from(TINY, pretrained)) == scored(pretrained)
    assert first_state(TINY) != scored(pretrained)


@pytest.mark.parametrize(
    ("prefix", "skip", "taken"),
    [(("Conv_0", "Dense_0/bias"), (), {"Conv_0", "Dense_0/bias"}), ((), ("Dense_0",), {"Conv_0", "Conv_1"})],
)
def test_what_is_not_taken_starts_from_the_seed(
    pretrained: Path, prefix: tuple[str, ...], skip: tuple[str, ...], taken: set[str]
) -> None:
    found = first_state(init_from(TINY.replace(seed=3), pretrained, init_prefix=prefix, init_skip=skip))
    old, new = scored(pretrained), first_state(TINY.replace(seed=3))
    for name, value in found.items():
        is_taken = any(name.removeprefix("params/").startswith(one) for one in taken)
        assert value == (old if is_taken else new)[name], name


def test_hash_depends_on_the_parameters_alone(pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(pretrained, tmp_path / "elsewhere")
    experiment = init_from(TINY, pretrained)
    assert init_from(TINY, tmp_path / "elsewhere").config == experiment.config
    assert init_from(TINY, pretrained, init_skip=["Dense_0"]).config != experiment.config
    copy = pickle.loads(pickle.dumps(experiment))  # for the processes of a sweep
    assert copy.config == experiment.config
    assert first_state(copy) == first_state(experiment)


@pytest.mark.slow
def test_resumed_run_equals_the_uninterrupted_one_and_needs_the_old_run_no_more(
    pretrained: Path, tmp_path: Path, fit_tiny: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(pretrained, tmp_path / "source")
    experiment = init_from(TINY.vary(optimizer="adamw", freeze=("Conv_0",)), source, init_skip=["Dense_0"])
    fit_tiny(experiment, workdir=tmp_path / "whole")

    def fit(*arguments: Any, **named: Any) -> Iterator[loop.Progress]:
        for progress in loop.fit(*arguments, **named):
            yield progress
            if progress.step >= 7:
                raise KeyboardInterrupt

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(executing, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        fit_tiny(experiment)
    monkeypatch.undo()
    shutil.rmtree(source)
    alone = Experiment(read_config(tmp_path / "run" / "config.json"))
    fit_tiny(alone)
    assert list(bitwise_diff.differences(tmp_path / "run", tmp_path / "whole")) == []
    assert json.loads((tmp_path / "run" / "machine.json").read_text())["init_from"] == str(source)
    assert scored(tmp_path / "run")["params/Conv_0/kernel"] == scored(pretrained)["params/Conv_0/kernel"]
    with pytest.raises(InputError, match=r"^--init_hash: .* --init_from=RUN\.$"):
        fit_tiny(alone, overwrite=True)
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_all_seeds_start_from_the_same_parameters(
    pretrained: Path, tmp_path: Path, drawn_data_dir: Path, strategy: str
) -> None:
    experiment = init_from(TINY.vary(epochs=1, freeze=("Conv_0", "Conv_1/bias")), pretrained, init_skip=["Dense_0"])
    options = RunOptions(workdir=tmp_path / "seeds", data_dir=drawn_data_dir, seeds=2, seed_strategy=strategy)
    assert execute_seeds(experiment, options, Console(progress=False)).n == 2
    first, second, old = (scored(path) for path in (*sorted(options.folder.glob("seed-*")), pretrained))
    assert {name for name in old if old[name] == first[name]} == {name for name in old if first[name] == second[name]}
    assert {name for name in old if old[name] == first[name]} == {
        *("params/Conv_0/kernel", "params/Conv_0/bias", "params/Conv_1/bias")
    }
    with pytest.raises(InputError, match=r"^--init_from=.*: holds several seeds\. Name one of them: .*seed-0\.$"):
        init_from(TINY, options.folder)


@pytest.mark.slow
def test_one_name_is_a_name_and_parameters_alone_are_refused(pretrained: Path) -> None:
    run = load_run(pretrained)
    variables, experiment = run.variables, run.experiment
    one, several = (experiment.init_from(variables, skip=skip) for skip in ("Dense_0", ("Dense_0",)))
    assert one.config == several.config
    with pytest.raises(InputError, match="has no params"):
        experiment.init_from(variables["params"])


def test_training_in_memory_starts_there_too(pretrained: Path, drawn_data_dir: Path) -> None:
    frozen = ("Conv_0", "Conv_1", "Dense_0/kernel")
    experiment = init_from(TINY.vary(epochs=1, freeze=frozen), pretrained)
    found, old = bits(train(experiment, data_dir=drawn_data_dir, progress=False).variables), scored(pretrained)
    assert {name for name in old if found[name] != old[name]} == {"params/Dense_0/bias"}
    with pytest.raises(InputError, match=r"^--init_hash: .*"):
        train(Experiment(experiment.config), data_dir=drawn_data_dir)


@pytest.mark.slow
def test_other_classes_need_a_new_last_layer(pretrained: Path, run_py: Run, tmp_path: Path) -> None:
    (tmp_path / "bars.py").write_text(OWN)
    command = ("--experiment=bars.py", f"--init_from={pretrained}", "--workdir=run")
    refused = run_py(*command)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"run.py: --init_from={pretrained}: Dense_0/bias is float32 (2,) there, and float32 (3,) in this model. To "
        "leave out what does not fit, so that it starts anew: --init_skip=Dense_0.\n"
    )
    assert not (tmp_path / "run").exists()
    finished = run_py(*command, "--init_skip=Dense_0", "--freeze=Conv_0,Conv_1")
    assert finished.returncode == 0, finished.stderr
    assert f"starts from {pretrained} (Conv_0, Conv_1)\n" in finished.stdout
    assert "parameters, 336 of them frozen, compiled" in finished.stdout
    found, old = scored(tmp_path / "run"), scored(pretrained)
    assert {name for name in old if found[name] == old[name]} == {name for name in old if "Conv" in name}
    # A user's own run is started from without its file.
    (tmp_path / "bars.py").unlink()
    again = run_py(*FLAGS, "--mode=check", "--init_from=run", "--init_skip=Dense_0", "--freeze=Conv_0")
    assert again.returncode == 0, again.stderr
    assert "frozen parameters" in again.stdout


@pytest.mark.slow
def test_letters_start_from_digits(run_py: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On archives in EMNIST's format, of which the digits have ten classes and the letters 26."""
    made = {split: archives.make("emnist", tmp_path / split, split=split).source for split in ("digits", "letters")}

    def emnist(split: str = "letters") -> PublishedSource:
        return made[split]

    monkeypatch.setitem(data.DATASETS, "emnist", emnist)  # type: ignore[index]
    common = ("--dataset=emnist", "--model=dense", "--widths=8", "--epochs=1")
    first = run_py(*common, "--dataset.split=digits", "--manual_dir=digits", "--workdir=on_digits")
    assert first.returncode == 0, first.stderr
    letters = (*common, "--manual_dir=letters", "--init_from=on_digits", "--workdir=on_letters")
    refused = run_py(*letters)
    assert (refused.returncode, "Dense_1/bias is float32 (10,) there, and float32 (26,)" in refused.stderr) == (2, True)
    finished = run_py(*letters, "--init_skip=Dense_1", "--freeze=Dense_0")
    assert finished.returncode == 0, finished.stderr
    found, old = scored(tmp_path / "on_letters"), scored(tmp_path / "on_digits")
    assert {name for name in old if found[name] == old[name]} == {name for name in old if "Dense_0" in name}


def damaged(run: Path) -> None:
    [file, *_] = [path for path in (run / "checkpoints").rglob("d/*") if path.stat().st_size > 100]
    file.write_bytes(file.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        (None, ["--init_from=nowhere"], "holds no run (there is no config.json). Name the folder of one."),
        (lambda run: (run / "result.json").unlink(), [], "this run is not finished. Run it to its end first."),
        (
            lambda run: (run / "result.json").write_text("{}"),
            [],
            "--init_from=old: old/result.json: not the result of a run",
        ),
        (damaged, [], "the checkpoint is damaged"),
        (lambda run: shutil.rmtree(run / "checkpoints"), [], "there is no checkpoint of step 20"),
        (
            None,
            ["--init_prefix=Conv_7"],
            "--init_prefix=Conv_7: no such layer or parameter of old. Did you mean Conv_1?",
        ),
        (
            None,
            ["--init_skip=Dense_7"],
            "--init_skip=Dense_7: no such layer or parameter of the model. Did you mean De",
        ),
        (None, ["--init_skip=Conv_0,Conv_1,Dense_0"], "--init_from=old: no parameter is left to start from."),
        (
            None,
            ["--widths=4,8,8", "--pooling=false"],
            "so that it starts anew: --init_skip=Conv_2,Dense_0.",
        ),
        (None, ["--widths=4", "--init_skip=Dense_0"], "Conv_1/bias is float32 (8,) there, and missing in this model."),
        (None, ["--init_hash=0123456789abcdef"], "these are not the parameters that the config starts from"),
        (None, ["--mode=summary"], "--init_from: has no meaning with --mode=summary."),
        (None, ["--mode=sweep", "--sweep=init_hash=a,b"], "init_hash cannot be swept"),
    ],
)
def test_what_cannot_be_started_from_is_one_line_exit_2_and_nothing_written(
    change: Callable[[Path], None] | None, flags: list[str], message: str, pretrained: Path, run_py: Run, tmp_path: Path
) -> None:
    shutil.copytree(pretrained, tmp_path / "old")
    if change:
        change(tmp_path / "old")
    refused = run_py(*FLAGS, "--init_from=old", *flags)
    assert refused.returncode == 2
    assert refused.stderr.startswith("run.py: ")
    assert refused.stderr.count("\n") == 1
    assert message in refused.stderr
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["old"]


@pytest.mark.slow
def test_config_of_such_a_run_needs_the_same_parameters_again(pretrained: Path, run_py: Run, tmp_path: Path) -> None:
    first = run_py(*FLAGS, f"--init_from={pretrained}", "--init_skip=Dense_0", "--workdir=first")
    assert first.returncode == 0, first.stderr
    config = ("--config=first/config.json", "--workdir=second")
    for flags, message in (
        ((), "--init_hash: this run starts from parameters of another one. Name it: --init_from=RUN."),
        ((f"--init_from={pretrained}",), "these are not the parameters that the config starts from"),
        (("--init_skip=Dense_0",), "--init_skip: has no meaning without --init_from."),
    ):
        refused = run_py(*config, *flags)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert message in refused.stderr
        assert not (tmp_path / "second").exists()
    repeated = run_py(*config, f"--init_from={pretrained}", "--init_skip=Dense_0")
    assert repeated.returncode == 0, repeated.stderr
    assert scored(tmp_path / "second") == scored(tmp_path / "first")
    # The folder by default says the hash, so that the same run is found again, also by the hash itself.
    assert run_py(*FLAGS, f"--init_from={pretrained}").returncode == 0
    [folder] = (tmp_path / "runs").iterdir()
    name = read_config(folder / "config.json").init_hash
    assert f"init_hash={name}" in folder.name
    again = run_py(*FLAGS, f"--init_hash={name}")
    assert (again.returncode, [*(tmp_path / "runs").iterdir()]) == (0, [folder])
    assert "holds this run, finished" in again.stderr


@pytest.mark.slow
def test_studies_that_train_take_it_or_refuse_it_in_one_line(pretrained: Path, run_py: Run, tmp_path: Path) -> None:
    start = ("--dataset=x_and_o", "--epochs=1", f"--init_from={pretrained}", "--mode")
    for flags, message in (
        (("overfitting", "--experiments=logistic", "--seeds=1"), "Conv_0/bias is float32 (4,) there, and missing in"),
        (("compare", "--experiments=dense,logistic", "--seeds=1"), "this model. No layer fits."),
        (("compare", f"--runs={pretrained},{tmp_path}"), "can only be used with --experiments, not with --runs."),
        (("sweep", "--sweep=model.widths=4,8|8,8", "--train_examples=64"), "Conv_0/bias is float32 (4,) there, and fl"),
    ):
        refused = run_py(*start, *flags)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert message in refused.stderr
    sweep = ("sweep", "--widths=4,8", "--train_examples=64", "--sweep=learning_rate=1e-3", "--seeds=1")
    finished = run_py(*start, *sweep, "--freeze=Conv_0", "--workdir=sweep")
    assert finished.returncode == 0, finished.stderr
    old, new = scored(pretrained), scored(tmp_path / "sweep/winner/seed-1")
    assert {name for name in old if old[name] == new[name]} == {"params/Conv_0/bias", "params/Conv_0/kernel"}
