"""The environment does not change the numbers: what decides them is set, or recorded and then the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax import Config, Experiment, compilation, numerics, train
from cnn_jax.runs import machine
from tests.conftest import PROJECT

Run = Callable[..., subprocess.CompletedProcess[str]]

SHORT = ("--dataset=x_and_o", "--train_examples=128", "--widths=4,8")
OTHERS = {
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 3,
    "jax_high_dynamic_range_gumbel": True,
    "jax_numpy_dtype_promotion": "strict",
}


@pytest.fixture
def jax_settings() -> Iterator[None]:
    """Puts jax's settings back."""
    before = dict(jax.config.values)
    yield
    compilation.apply_jax_config(before)


@pytest.fixture(scope="module")
def usual(drawn_data_dir: Path) -> dict[str, Any]:
    """Parameters of a short training, with jax's settings as they are."""
    return train(experiment(), data_dir=drawn_data_dir, progress=False).params


def experiment() -> Experiment:
    config = Config(dataset="x_and_o", train_examples=128, epochs=1)
    return Experiment(config).vary(widths=(4, 8))


def test_every_setting_that_is_fixed_is_tried() -> None:
    assert OTHERS.keys() == numerics.FIXED.keys()
    assert all(OTHERS[name] != numerics.FIXED[name] for name in OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_setting_of_jax_does_not_change_the_numbers(
    name: str, run_py: Run, jax_settings: None, tmp_path: Path, usual: dict[str, Any]
) -> None:
    jax.config.update(name, OTHERS[name])  # as a variable of the environment does
    ended = run_py(*SHORT, "--epochs=1", "--workdir=run")
    assert ended.returncode == 0, ended.stderr
    assert f"{name.upper()}={OTHERS[name]} is not followed" in ended.stderr
    run_py("--mode=export", "--workdir=run", "--output=exported.npz")
    with np.load(tmp_path / "exported.npz") as exported:
        assert (exported["Dense_0/kernel"] == usual["Dense_0"]["kernel"]).all()


@pytest.mark.parametrize("name", ["jax_enable_x64", "jax_default_prng_impl"])
def test_setting_of_a_notebook_does_not_change_the_numbers_and_stays(
    name: str, jax_settings: None, drawn_data_dir: Path, usual: dict[str, Any]
) -> None:
    jax.config.update(name, OTHERS[name])
    found = train(experiment(), data_dir=drawn_data_dir, progress=False).params
    assert jax.tree.all(jax.tree.map(lambda one, other: (one == other).all(), found, usual))
    assert jax.config.values[name] == OTHERS[name]


def test_flag_for_such_a_setting_is_refused(run_py: Run, jax_settings: None, tmp_path: Path) -> None:
    refused = run_py(*SHORT, "--workdir=run", "--jax_default_prng_impl=rbg")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--jax_default_prng_impl: this program sets it itself" in refused.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_variable_of_the_environment_does_not_change_the_numbers(
    command_environment: dict[str, str], tmp_path: Path
) -> None:
    results = []
    for name, variables in {"one": {}, "two": {"JAX_ENABLE_X64": "1", "JAX_DEFAULT_PRNG_IMPL": "rbg"}}.items():
        command = [sys.executable, str(PROJECT / "run.py"), *SHORT, "--epochs=1", f"--workdir={name}"]
        subprocess.run(command, cwd=tmp_path, env=command_environment | variables, check=True, timeout=300)
        results.append((tmp_path / name / "predictions.npz").read_bytes())
    assert results[0] == results[1]


@pytest.fixture
def begun(run_py: Run, tmp_path: Path) -> Path:
    assert run_py(*SHORT, "--epochs=1", "--workdir=run").returncode == 0
    return tmp_path / "run" / "machine.json"


RESUME = (*SHORT, "--epochs=2", "--workdir=run")


@pytest.mark.parametrize(
    ("name", "value"), [("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"), ("NVIDIA_TF32_OVERRIDE", "1")]
)
def test_run_is_not_resumed_under_other_settings(
    name: str, value: str, run_py: Run, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun.read_text()
    monkeypatch.setenv(name, value)
    refused = run_py(*RESUME)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"{name}: " in refused.stderr and f"{value} now" in refused.stderr
    assert begun.read_text() == before


@pytest.mark.slow
def test_setting_of_jax_that_is_recorded_is_the_same_when_a_run_is_resumed(
    run_py: Run, begun: Path, jax_settings: None
) -> None:
    jax.config.update("jax_use_direct_linearize", not jax.config.values["jax_use_direct_linearize"])
    assert "jax_use_direct_linearize: true there, false now" in run_py(*RESUME).stderr
    record = json.loads(begun.read_text())
    record["versions"]["jax"] = "0.1"  # another version has settings of its own
    begun.write_text(json.dumps(record))
    resumed = run_py(*RESUME)
    assert resumed.returncode == 0
    assert "jax: 0.1 there" in resumed.stderr


@pytest.mark.slow
def test_what_is_dumped_or_of_another_platform_is_no_other_setting(
    run_py: Run, begun: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to={tmp_path} --xla_gpu_deterministic_ops=true")
    resumed = run_py(*RESUME)
    assert (resumed.returncode, resumed.stderr) == (0, "")


@pytest.mark.slow
def test_other_cores_or_versions_are_said_and_machine_json_keeps_the_history(
    run_py: Run, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = machine.cores()
    monkeypatch.setattr(machine, "cores", lambda: cores + 1)
    resumed = run_py(*RESUME)
    assert resumed.returncode == 0
    said = f"run: cores: {cores} there, {cores + 1} now. The numbers may differ in their last digits.\n"
    assert resumed.stderr == said
    monkeypatch.setattr(machine, "cores", lambda: cores)
    run_py(*SHORT, "--epochs=3", "--workdir=run")
    record = json.loads(begun.read_text())
    assert [(then["until_step"], then["cores"]) for then in record["history"]] == [(2, cores), (4, cores + 1)]
    assert record["cores"] == cores
