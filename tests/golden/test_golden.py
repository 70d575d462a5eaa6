"""What the first generation of the program has left behind is read to its recorded numbers, or refused in one line.

`make_golden.py` says what the stored files are; `expected.json` has the numbers. Nearly all goes through the
command line.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.export
import numpy as np
import pytest
from flax import linen as nn

import run
from cnn_jax.config import Config, Part, read_config
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.models.cnn import CNN
from cnn_jax.runs import checkpoint
from cnn_jax.runs.directory import RunDirectory

GOLDEN = Path(__file__).parent
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())

SMALL = ("--experiment=x_and_o", "--train_examples=640", "--widths=4,8")
SHORT = (*SMALL, "--epochs=2")
LONGER = (*SMALL, "--epochs=20")
SWEEP = ("--mode=sweep", *SHORT, "--sweep=learning_rate=0.001,0.01", "--seeds=1", "--workdir=sweep")
SEEDS = {
    "loop": (*SHORT, "--seeds=2", "--seed_strategy=loop", "--workdir=loop"),
    "vmap": (*SHORT, "--seeds=2", "--seed_strategy=vmap", "--learning_rate=0.003", "--workdir=vmap"),
}
TOGETHER = (
    *("--experiment=x_and_o", "--train_examples=640", "--model=dense", "--widths=8", "--epochs=20"),
    *("--seeds=3", "--seed_strategy=vmap", "--workdir=together"),
)
BENCHMARK = (
    *("--mode=benchmark", "--experiment=x_and_o", "--train_examples=640", "--batch_sizes=64", "--dtypes=float32"),
    *("--repeats=1", "--seconds=0.01", "--baseline=benchmark/benchmark.json", "--workdir=again"),
)


class Ended(NamedTuple):
    """How a command line ended. err: without the notes that the stored runs began on another machine."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def letters_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of its own: X and O need no file."""
    return tmp_path_factory.mktemp("letters")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters_data_dir: Path, compilation_cache: Path) -> Path:
    """A copy of the stored files, which is the working directory."""
    copy = tmp_path / "first"
    shutil.copytree(GOLDEN / "first", copy)
    for name in EXPECTED["empty_folders"]:
        (copy / name).mkdir(exist_ok=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("TFDS_DATA_DIR", str(letters_data_dir))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compilation_cache))
    return copy


@pytest.fixture
def command(stored: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """`python run.py` with these flags, as typed beside the stored files."""

    def call(*arguments: str) -> Ended:
        capfd.readouterr()
        code = run.main(list(arguments))
        out, err = capfd.readouterr()
        notes = [line for line in err.splitlines(keepends=True) if "may differ in their last digits" not in line]
        return Ended(code, out, "".join(notes))

    return call


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder but the hidden ones."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def require_near(result: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """Holds that a run has taken all its steps, and came to nearly the same: another machine adds in another order."""
    for name in ("status", "seed", "parameters", "epochs", "steps"):
        assert result[name] == expected[name], name
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert result[name] == pytest.approx(expected[name], abs=tolerance), name


def test_stored_files_are_small_and_name_no_folder_of_a_machine() -> None:
    files = contents(GOLDEN / "first")
    assert sum(map(len, files.values())) < 1_000_000
    assert max(map(len, files.values())) < 200_000
    for name, content in files.items():
        assert not [place for place in (b"/tmp/", b"/home/", b"/root/", b"/work/") if place in content], name


def test_finished_run_gives_its_recorded_numbers_again_and_trains_nothing(command: Command, stored: Path) -> None:
    before, expected = contents(stored / "run"), EXPECTED["results"]["run"]
    ended = command(*SHORT, "--workdir=run")
    assert ended.code == 0, ended.err
    assert f"test loss {expected['test_loss']:.4f}  accuracy {100 * expected['test_accuracy']:.2f} %" in ended.out
    assert "--overwrite" in ended.err
    assert contents(stored / "run") == before


@pytest.mark.parametrize("name", SEEDS)
def test_finished_seeds_give_their_recorded_numbers_again_and_train_nothing(
    command: Command, stored: Path, name: str
) -> None:
    before = contents(stored / name)
    ended = command(*SEEDS[name])
    assert ended.code == 0, ended.err
    assert f"test loss {EXPECTED['means'][name]['test_loss']:.4f}" in ended.out
    assert f"accuracy {100 * EXPECTED['means'][name]['test_accuracy']:.2f}" in ended.out
    for seed in (0, 1):
        assert f"{100 * EXPECTED['results'][f'{name}/seed-{seed}']['test_accuracy']:.2f} %" in ended.out
    assert contents(stored / name) == before


@pytest.mark.slow
@pytest.mark.parametrize("runs", [("run",), ("loop", "vmap")], ids=" and ".join)
def test_evaluate_comes_to_the_recorded_numbers(command: Command, stored: Path, runs: tuple[str, ...]) -> None:
    named = f"--workdir={runs[0]}" if len(runs) == 1 else f"--runs={','.join(runs)}"
    ended = command("--mode=evaluate", named, "--output=again")
    assert ended.code == 0, ended.err
    found = {model["path"]: model["seeds"] for model in read(stored / "again/evaluation.json")["runs"]}
    assert list(found) == list(runs)
    for path, seeds in found.items():
        for seed in seeds:
            name = path if path == "run" else f"{path}/seed-{seed['seed']}"
            expected = EXPECTED["results"][name]
            assert seed["accuracy"] == expected["test_accuracy"]
            assert seed["loss"] == pytest.approx(expected["test_loss"], abs=1e-6)


def test_export_gives_the_recorded_parameters_to_the_bit(command: Command, stored: Path) -> None:
    ended = command("--mode=export", "--workdir=run", "--output=again.npz")
    assert ended.code == 0, ended.err
    for file in (stored / "again.npz", stored / "run/parameters.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
        assert found == EXPECTED["parameters"]


def test_exported_model_gives_the_recorded_logits(command: Command, stored: Path) -> None:
    ended = command("--mode=export", "--workdir=run", "--format=stablehlo", "--output=again.stablehlo")
    assert ended.code == 0, ended.err
    with np.load(stored / "images.npz", allow_pickle=False) as arrays:
        images = arrays["images"]
    for file in (stored / "run/model.stablehlo", stored / "again.stablehlo"):
        logits = jax.export.deserialize(bytearray(file.read_bytes())).call(images)
        np.testing.assert_allclose(np.asarray(logits), EXPECTED["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("damaged", "kept_epochs"), [("", 4), ("40", 3)], ids=["whole", "newest damaged"])
def test_interrupted_run_goes_on_to_its_end_from_the_newest_whole_checkpoint(
    command: Command, stored: Path, damaged: str, kept_epochs: int
) -> None:
    before = rows(stored / "interrupted/metrics.jsonl")
    if damaged:
        flip_a_byte(stored / "interrupted/checkpoints" / damaged)
    ended = command(*LONGER, "--workdir=interrupted")
    assert ended.code == 0, ended.err
    assert ended.err.count("\n") == bool(damaged)
    assert damaged in ended.err
    after = rows(stored / "interrupted/metrics.jsonl")
    assert (len(before), len(after)) == (4, 20)
    assert after[:kept_epochs] == before[:kept_epochs]
    require_near(read(stored / "interrupted/result.json"), EXPECTED["uninterrupted"]["interrupted"], 0.02)


def test_run_whose_time_was_over_goes_on_to_its_end(command: Command, stored: Path) -> None:
    ended = command(*SHORT, "--workdir=stopped")
    assert ended.code == 0, ended.err
    require_near(read(stored / "stopped/result.json"), EXPECTED["results"]["run"], 0.005)


def test_seeds_under_way_together_go_on_to_their_end_or_are_refused_in_one_line(command: Command, stored: Path) -> None:
    """Accepts both: it is undecided whether later versions go on with what vmap has begun.

    The folder `together` holds a state of all seeds at once, which is as good as the program that wrote it. A version
    may give that up; then it has to say so in one line, which names the folder and the way out, and touch nothing.
    """
    before = contents(stored / "together")
    ended = command(*TOGETHER)
    if ended.code == 0:
        results = {seed["seed"]: seed for seed in read(stored / "together/result.json")["seeds"]}
        assert list(results) == [0, 1, 2]
        for seed, result in results.items():
            require_near(result, EXPECTED["uninterrupted"][f"together/seed-{seed}"], 0.02)
    else:
        assert ended.code == 2
        require_one_line(ended, "together")
        assert "--overwrite" in ended.err or "--workdir" in ended.err.replace("--workdir=together", "")
        assert contents(stored / "together") == before


@pytest.mark.slow
def test_compare_reads_finished_seeds(command: Command, stored: Path) -> None:
    ended = command("--mode=compare", "--runs=loop,vmap", "--workdir=again")
    assert ended.code == 0, ended.err
    models = read(stored / "again/compare.json")["models"]
    assert {model["name"]: model["test_accuracy"]["values"] for model in models} == EXPECTED["compare"]


def test_sweep_goes_on_with_all_its_trials_and_trains_nothing(command: Command, stored: Path) -> None:
    before = contents(stored / "sweep/winner")
    ended = command(*SWEEP)
    assert ended.code == 0, ended.err
    assert rows(stored / "sweep/sweep.jsonl") == EXPECTED["sweep"]["trials"]
    assert contents(stored / "sweep/winner") == before
    winner = read(stored / "sweep/sweep.json")["winner"]
    assert winner["settings"] == EXPECTED["sweep"]["settings"]
    assert winner["test"]["mean"]["test_accuracy"] == EXPECTED["sweep"]["test_accuracy"]


@pytest.mark.slow
def test_benchmark_is_compared_with_the_stored_one_which_shows_no_intervals(command: Command, stored: Path) -> None:
    ended = command(*BENCHMARK, "--model=logistic")
    assert ended.code == 0, ended.err
    compared = read(stored / "again/benchmark.json")["comparison"]
    assert {row["what"]: row["verdict"] for row in compared["rows"]} == dict.fromkeys(
        EXPECTED["benchmark"], "undecided"
    )
    assert any("was written by an earlier version" in warning for warning in compared["warnings"])


def test_stored_benchmarks_are_compared_with_one_another(command: Command, stored: Path) -> None:
    ended = command("--mode=benchmark", "--runs=benchmark,benchmark/benchmark.json", "--workdir=compared")
    assert ended.code == 0, ended.err
    rows = read(stored / "compared/comparison.json")["rows"]
    assert [(row["ratio"], row["verdict"]) for row in rows] == [(1, "undecided")] * len(EXPECTED["benchmark"])


def test_benchmark_of_another_model_is_refused(command: Command) -> None:
    ended = command(*BENCHMARK, "--model=dense")
    assert ended.code == 2
    require_one_line(ended, "logistic")


def test_stored_records_hold_the_recorded_numbers(stored: Path) -> None:
    records = [read(stored / f"{name}/{name}.json") for name in ("benchmark", "compare", "overfitting", "sweep")]
    records += [read(stored / f"evaluation/{name}.json") for name in ("evaluation", "corruptions")]
    benchmark, compare, overfitting, _, evaluation, corruptions = records
    assert [record["format"] for record in records] == [1] * 6
    assert {case["what"]: case["seconds"]["median"] for case in benchmark["measurements"]} == EXPECTED["benchmark"]
    assert {model["name"]: model["test_accuracy"]["values"] for model in compare["models"]} == EXPECTED["compare"]
    few = {str(model["train_examples"]): model["test_accuracy"]["values"] for model in overfitting["learners"]}
    assert few == EXPECTED["overfitting"]
    assert {model["path"]: model["seeds"] for model in evaluation["runs"]} == EXPECTED["evaluation"]
    assert {model["name"]: model["accuracy"] for model in corruptions["runs"]} == EXPECTED["corruptions"]


def test_configs_of_the_first_version_are_read_to_this_ones(stored: Path) -> None:
    cnn = Part("cnn", widths=(4, 8), kernel_size=3, pooling=True)
    glyphs = {"train_examples": 64, "epochs": 1}
    expected = {
        "run": Config(experiment="x_and_o", dataset="x_and_o", train_examples=640, model=cnn, epochs=2),
        "together/together": Config(
            **{"experiment": "x_and_o", "dataset": "x_and_o", "train_examples": 640, "epochs": 20},
            model=Part("dense", widths=(8,)),
        ),
        "configs/glyph_seed": Config(dataset=Part("glyphs", seed=3), model=cnn, **glyphs),
        "configs/permuted": Config(
            experiment="permuted_pixels", dataset=Part("glyphs", seed=0), task="permuted", model=cnn, **glyphs
        ),
        "configs/two_outputs": Config(
            **{"experiment": "two_inputs_two_outputs", "dataset": Part("glyphs", seed=0), "task": "with_metadata"},
            model=Part("two_inputs_two_outputs", kernel_size=3),
            **glyphs,
        ),
    }
    for name, config in expected.items():
        path = stored / (f"{name}.json" if name.startswith("configs") else f"{name}/config.json")
        assert read_config(path) == config, name
        assert Experiment(config).differences(read_config(path)) == {}, name


def test_results_of_the_first_version_have_their_cross_entropy_as_a_metric(stored: Path) -> None:
    """It was their loss. Of several outputs, the first was that of the dataset's classes."""
    for name in ("run", "stopped", "loop/seed-1"):
        result = RunDirectory(stored / name).finished_result()
        assert result.test_metrics == {"cross_entropy": result.test_loss}
        assert result.main == (result.test_loss, result.test_accuracy)
    assert (unfinished := RunDirectory(stored / "interrupted").result())
    assert unfinished.test_metrics is None
    outputs = {"digit": {"test_loss": 0.3, "test_accuracy": 0.9}, "is_large": {"test_loss": 0.1, "test_accuracy": 0.96}}
    content = read(stored / "run/result.json") | {"outputs": outputs}
    (stored / "run/result.json").write_text(json.dumps(content))
    result = RunDirectory(stored / "run").finished_result()
    assert (result.main_output, result.main) == ("digit", (0.3, 0.9))


@pytest.mark.slow
def test_rows_after_a_checkpoint_of_the_first_version_have_the_norms_that_are_known(
    command: Command, stored: Path
) -> None:
    """It had counted none: the mean over the epoch that it had begun is unknown, and left out."""
    assert command(*SHORT, "--workdir=stopped").code == 0
    first, second = rows(stored / "stopped/metrics.jsonl")
    assert "gradient_norm" not in first
    assert min(first["parameter_norm"], second["parameter_norm"], second["gradient_norm"]) > 0
    assert command(*LONGER, "--workdir=interrupted").code == 0
    *_, last, new = rows(stored / "interrupted/metrics.jsonl")[:5]
    assert "gradient_norm" not in last
    assert min(new["gradient_norm"], new["parameter_norm"]) > 0


@pytest.mark.parametrize("change", [{"average": "ema"}, {"model": Part("batch_norm", widths=(4, 8))}])
def test_checkpoint_of_the_first_version_is_not_taken_for_one_with_more_state(
    stored: Path, change: dict[str, Any]
) -> None:
    config = read_config(stored / "run/config.json")
    other = Experiment(models={"batch_norm": Normalized}).with_config(dataclasses.replace(config, **change))
    with pytest.raises(InputError, match="is of another model"):
        checkpoint.load_step(stored / "run/checkpoints", 20, build(other).abstract_state)


class Normalized(CNN):
    """The same network, and the statistics of its images."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return super().__call__(nn.BatchNorm(True, use_scale=False, use_bias=False)(images))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("glyph_seed", ("--widths=4,8", "--dataset.seed=3")),
        ("permuted", ("--widths=4,8", "--task=permuted")),
        ("two_outputs", ("--model=two_inputs_two_outputs", "--task=with_metadata")),
    ],
)
def test_config_of_a_special_run_gives_its_model_again(command: Command, name: str, flags: tuple[str, ...]) -> None:
    config = read(GOLDEN / f"first/configs/{name}.json")
    ended = command("--mode=summary", f"--config=configs/{name}.json")
    assert (ended.code, ended.err) == (0, "")
    typed = command("--mode=summary", f"--experiment={config['experiment']}", "--dataset=glyphs", *flags)
    assert ended.out == typed.out


@pytest.mark.parametrize(
    ("name", "flag", "said"),
    [
        ("glyph_seed", "--dataset.seed=4", "3"),
        ("permuted", "--task=plain", "permuted"),
        ("two_outputs", "--task=plain", "with_metadata"),
    ],
)
def test_special_field_of_a_config_is_read(command: Command, stored: Path, name: str, flag: str, said: str) -> None:
    """Asks for another value in a folder of this config, which is refused with the value that is there."""
    (stored / "special").mkdir()
    shutil.copy(stored / f"configs/{name}.json", stored / "special/config.json")
    ended = command("--config=special/config.json", "--workdir=special", flag)
    assert ended.code == 2
    require_one_line(ended, said)


def flip_a_byte(checkpoint: Path) -> None:
    """Flips a bit of a byte in the middle of the largest data file."""
    file = max(checkpoint.rglob("d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flip_a_byte_of_each(checkpoints: Path) -> None:
    for path in checkpoints.iterdir():
        flip_a_byte(path)


def truncate(file: Path) -> None:
    """Leaves the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def truncate_first_line(file: Path) -> None:
    """Leaves half of the first line and all others."""
    first, *others = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([first[: len(first) // 2], b"\n", *others]))


def require_one_line(ended: Ended, said: str, notes: int = 0) -> None:
    """Holds that standard error has one line of the program's own, the last, which says this.

    notes: at most so many lines may come before, and they say it too.
    """
    *before, last = ended.err.splitlines()
    assert last.startswith("run.py: "), ended.err
    assert len(before) <= notes, ended.err
    assert all(said in line and not line.startswith("run.py: ") for line in (*before, last[8:])), ended.err


EVALUATE, COMPARE = ("--mode=evaluate", "--workdir=run"), ("--mode=compare", "--runs=run,loop", "--workdir=again")


# What is damaged and how, the command, its exit code, and how many notes may come before the line that ends it.
DAMAGES: list[tuple[str, Callable[[Path], Any], tuple[str, ...], int, int]] = [
    ("run/config.json", truncate, (*SHORT, "--workdir=run"), 2, 0),
    ("run/result.json", truncate, (*SHORT, "--workdir=run"), 2, 0),
    ("run/predictions.npz", truncate, COMPARE, 2, 0),
    ("run/metrics.jsonl", truncate, COMPARE, 2, 0),
    ("run/checkpoints/20", flip_a_byte, EVALUATE, 4, 0),
    ("run/checkpoints/20/manifest.sha256", Path.unlink, EVALUATE, 4, 0),
    ("run/checkpoints/20/progress.json", truncate, ("--mode=export", "--workdir=run", "--output=again.npz"), 4, 0),
    ("run/checkpoints/20", shutil.rmtree, EVALUATE, 2, 0),
    ("interrupted/config.json", truncate, (*LONGER, "--workdir=interrupted"), 2, 0),
    ("interrupted/checkpoints", flip_a_byte_of_each, (*LONGER, "--workdir=interrupted"), 4, 2),
    ("stopped/checkpoints", flip_a_byte_of_each, (*SHORT, "--workdir=stopped"), 4, 1),
    ("loop/seed-1/result.json", truncate, SEEDS["loop"], 2, 0),
    ("loop/result.json", truncate, SEEDS["loop"], 2, 1),
    ("vmap/seed-1/checkpoints/20", flip_a_byte, ("--mode=evaluate", "--workdir=vmap"), 4, 0),
    ("together/together/machine.json", truncate, TOGETHER, 2, 0),
    ("sweep/base.json", truncate, SWEEP, 2, 0),
    ("sweep/sweep.jsonl", truncate_first_line, SWEEP, 2, 0),
    ("sweep/winner/seed-1/result.json", truncate, SWEEP, 2, 0),
    ("benchmark/benchmark.json", truncate, (*BENCHMARK, "--model=logistic"), 2, 0),
    ("configs/permuted.json", truncate, ("--mode=summary", "--config=configs/permuted.json"), 2, 0),
]


@pytest.mark.parametrize(
    ("place", "damage", "arguments", "code", "notes"),
    DAMAGES,
    ids=[f"{damage.__name__} {place}" for place, damage, *_ in DAMAGES],
)
def test_damaged_file_is_named_in_one_line(
    command: Command,
    stored: Path,
    place: str,
    damage: Callable[[Path], Any],
    arguments: tuple[str, ...],
    code: int,
    notes: int,
) -> None:
    damage(stored / place)
    ended = command(*arguments)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.out + ended.err
    require_one_line(ended, place.split("/")[0], notes)
