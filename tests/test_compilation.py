"""Compiling: options only where they are known, and a cache that is private."""

import importlib.metadata
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import compilation
from cnn_jax.errors import MachineError
from cnn_jax.runs import machine
from tests.conftest import PROJECT


@pytest.fixture
def cache_settings() -> Iterator[None]:
    """Puts jax's cache settings back."""
    names = (
        "jax_compilation_cache_dir",
        "jax_enable_compilation_cache",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Asks the jaxlib anew which options it knows, in the test and after it."""
    compilation.compiler_options.cache_clear()
    yield
    compilation.compiler_options.cache_clear()


def test_option_that_this_jaxlib_does_not_know_is_said_and_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    monkeypatch.setattr(compilation, "_CPU_OPTIONS", {"xla_of_the_future": "1"})
    assert compilation.compiler_options() == {}
    assert compilation.jit(lambda x: x + 1)(1) == 2
    described = machine.describe([])
    assert (described["compiler_options"], described["unknown_compiler_options"]) == ({}, ["xla_of_the_future"])


@pytest.mark.parametrize("arguments", [{}, {"small_loops": True}, {"runs_once": True}])
def test_barriers_do_not_stay_where_a_pass_has_another_name(
    arguments: dict[str, bool], monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    monkeypatch.setitem(compilation._CPU_OPTIONS, "xla_disable_hlo_passes", "cse_barrier_expander,name-of-the-future")
    assert "xla_disable_hlo_passes" not in compilation.compiler_options(**arguments)
    assert compilation.unknown_options()[-1] == "xla_disable_hlo_passes"


@pytest.mark.parametrize("small_loops", [False, True])
def test_no_loop_with_a_barrier_is_handed_over(small_loops: bool) -> None:
    def loop(numbers: jax.Array, count: int) -> jax.Array:
        return jax.lax.fori_loop(0, count, lambda _, x: 2 * jax.lax.optimization_barrier((x, count))[0], numbers)

    options = compilation.compiler_options(small_loops=small_loops)
    assert options["xla_disable_hlo_passes"].startswith("cse_barrier_expander"), "barriers do not hold here"
    numbers = jnp.ones(1000)
    program, _ = compilation.compiled(compilation.jit(loop, small_loops=small_loops), numbers, 3)
    assert "opt-barrier" in program.as_text()
    assert (program(numbers, 3) == 8).all()


def test_every_option_of_ours_is_known_here() -> None:
    gone = {"xla_cpu_use_fusion_emitters"}  # jaxlib 0.12 has no other way
    assert set(compilation.unknown_options()) <= gone, "jaxlib changed: see docs/performance.md"
    known = set(compilation.compiler_options(runs_once=True))
    assert known >= {*compilation._CPU_OPTIONS, *compilation._RUN_ONCE_OPTIONS} - gone


@pytest.mark.slow
def test_compiling_fast_gives_the_same_bits() -> None:
    def weights(seed: jax.Array) -> jax.Array:
        return jax.nn.initializers.glorot_uniform()(jax.random.key(seed), (40, 10))

    seed = jnp.uint32(3)
    assert (compilation.jit(weights, runs_once=True)(seed) == compilation.jit(weights)(seed)).all()


def test_lack_of_memory_is_an_error_of_ours() -> None:
    with pytest.raises(MachineError, match="smaller --batch_size"), compilation.memory_errors_named():
        jax.block_until_ready(compilation.jit(lambda: jnp.ones((2**45,), jnp.float32))())


def test_compiled_tells_its_seconds() -> None:
    program, seconds = compilation.compiled(compilation.jit(lambda x: 2 * x), jnp.float32(1))
    assert program(jnp.float32(4)) == 8
    assert seconds > 0


@pytest.mark.slow
def test_persistent_cache_is_private_and_filled(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    program = (
        "import sys, pathlib; from cnn_jax import compilation; "
        "compilation.use_persistent_cache(pathlib.Path(sys.argv[1])); "
        "compilation.compiled(compilation.jit(lambda x: x * 3 + 7), 1.0)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=PROJECT, check=True, timeout=120)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert any(folder.iterdir())


@pytest.mark.parametrize("fault", ["others may write to it", "File exists", "another user", "no UTF-8", "Permission"])
def test_cache_that_cannot_be_used_is_said_and_costs_only_time(
    fault: str, tmp_path: Path, cache_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / (os.fsdecode(b"\xff") if fault == "no UTF-8" else "cache")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    if fault == "others may write to it":
        (folder / compilation.cache_name()).mkdir(parents=True)
        (folder / compilation.cache_name()).chmod(0o777)
    elif fault == "File exists":
        folder.write_text("")
    elif fault == "another user":
        monkeypatch.setattr(os, "getuid", lambda: 4242)
    elif fault == "Permission":
        monkeypatch.setattr(os, "access", lambda *_: False)
    notes: list[str] = []
    compilation.start(persistent_cache=True, warn=notes.append)
    [note] = notes
    assert note.startswith("Compiled programs are not kept for the next start: ") and fault in note
    assert compilation.jit(lambda x: x + 1)(1) == 2
    assert not jax.config.jax_enable_compilation_cache


def test_folder_around_the_cache_may_not_be_everybodys(tmp_path: Path, cache_settings: None) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(compilation.UnusableCacheError, match="others may write"):
        compilation.use_persistent_cache(tmp_path)
    tmp_path.chmod(0o1777)  # as /tmp: nobody can rename what belongs to others
    compilation.use_persistent_cache(tmp_path)


def test_cache_has_a_folder_for_each_jaxlib_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    name, names = compilation.cache_name(), set()
    assert f"-{importlib.metadata.version('jaxlib')}-" in name
    with monkeypatch.context() as patch:
        patch.setattr(compilation.importlib.metadata, "version", lambda _: "99.0")
        names.add(compilation.cache_name())
    monkeypatch.setattr(compilation.platform, "machine", lambda: "another")
    names.add(compilation.cache_name())
    assert len(names - {name}) == 2


@pytest.mark.parametrize("umask", [0o077, 0o002, 0o000])
def test_any_umask_gives_a_private_cache(umask: int, tmp_path: Path, cache_settings: None) -> None:
    before = os.umask(umask)
    try:
        compilation.use_persistent_cache(tmp_path / "new" / "cache")
        compilation.use_persistent_cache(tmp_path / "new" / "cache")  # as at the next start
    finally:
        os.umask(before)
    for folder in (tmp_path / "new/cache", tmp_path / "new/cache" / compilation.cache_name()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.slow
def test_half_written_program_is_compiled_again(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from cnn_jax import compilation; "
        "compilation.use_persistent_cache(pathlib.Path(sys.argv[1])); "
        "print(compilation.jit(lambda x: x * 3 + 7)(1.0))"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "cache")]
    for _ in range(2):
        ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
        assert (ended.stdout, ended.stderr) == ("10.0\n", "")
        programs = list((tmp_path / "cache").rglob("*-cache"))
        assert programs
        for file in programs:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_without_jit_programs_run_operation_by_operation() -> None:
    seen: list[jax.Array] = []

    def doubled(x: jax.Array) -> jax.Array:
        seen.append(x)
        return 2 * x

    with jax.disable_jit():
        program, _ = compilation.compiled(compilation.jit(doubled), jnp.ones(3))
        assert (program(jnp.ones(3)) == 2).all()
    assert seen[0].sum() == 3  # numbers, not a tracer
    assert compilation.memory_bytes(program) == 0


def test_cache_follows_the_environment(tmp_path: Path, cache_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilation.use_persistent_cache()
    assert os.listdir(tmp_path / "cnn_jax") == [compilation.cache_name()]
    assert os.path.commonpath([jax.config.jax_compilation_cache_dir, tmp_path]) == str(tmp_path)
