"""Compiling: jit with the compiler options that this jaxlib knows, compile time apart, and the persistent cache.

Every top-level function of the project is compiled through `jit` and `compiled` of this file.
"""

import errno
import functools
import hashlib
import importlib.metadata
import os
import platform
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from cnn_jax import numerics
from cnn_jax.errors import InputError, MachineError, printable

_CPU_OPTIONS = {
    # jaxlib 0.10 sends unpadded convolutions on CPU to a library that is 3 to 7 times slower for small networks than
    # XLA's own kernels; an empty list of fusion types keeps them off it.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # The operators put barriers between what must not be fused; the first pass would remove them too early. The second
    # gives small loops (jaxlib 0.10: of less than 1 KiB; 0.12: all without a product) to an older code generator, which
    # aborts the process when it meets a barrier.
    "xla_disable_hlo_passes": "cse_barrier_expander,small-while-loop-hoisting",
    # Compiles the training step in three quarters of the time; its speed is the same.
    "xla_cpu_use_fusion_emitters": "False",
}

# The gradient of the loss is a loop over the batch's rows on jaxlib 0.10, and slower where it is not handed over. Right
# only where nothing of more than 1 KiB is: a training step, and a block of images, reads and writes more.
_SMALL_LOOPS_OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}

# Making a model's weights takes milliseconds to run but 20 s to optimize (threefry over many-dimensional arrays).
_RUN_ONCE_OPTIONS = {"xla_backend_optimization_level": "0"}


# Excludes GPU kernels that add in whatever order, and the choice of kernels by timing them; superset of
# xla_gpu_exclude_nondeterministic_ops (openxla/xla pull request 12520).
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


# Switches for debugging that every command would trip over, with the values that it would not.
_DEBUGGING: Mapping[str, tuple[Any, ...]] = {
    "jax_transfer_guard": (None, "allow", "log", "log_explicit"),
    "jax_transfer_guard_host_to_device": (None, "allow", "log", "log_explicit"),
    "jax_no_tracing": (False,),
    "jax_no_execution": (False,),
}


@functools.cache
def compiler_options(*, runs_once: bool = False, small_loops: bool = False) -> dict[str, str]:
    """The options to compile with on this platform: those of ours that this jaxlib knows. Arguments: as of `jit`.

    An option that a jaxlib does not know is an error there, so they are tried on a small program first.
    """
    options = _asked_for(runs_once=runs_once)
    if not _are_known(options):
        options = {name: value for name, value in options.items() if _are_known({name: value})}
    if small_loops and _SMALL_LOOPS_OPTIONS.keys() <= options.keys():
        others = options | _SMALL_LOOPS_OPTIONS
        return others if _loops_handed_over(others) <= 1 else options
    return options


def unknown_options() -> list[str]:
    """The options that we would compile with on this platform and that this jaxlib does not know."""
    return sorted(_asked_for(runs_once=True).keys() - compiler_options(runs_once=True).keys())


def jit(function: Callable, *, runs_once: bool = False, small_loops: bool = False, **arguments: Any) -> Any:
    """`jax.jit` with this platform's compiler options.

    runs_once: compile fast, run slower. small_loops: for a program that has loops over less than 1 KiB, without
    barriers in them, as an old jaxlib makes of a scatter: compile such a loop in one piece.
    """
    options = compiler_options(runs_once=runs_once, small_loops=small_loops)
    return jax.jit(function, compiler_options=options or None, **arguments)


def compiled(jitted: Any, *arguments: Any) -> tuple[Callable, float]:
    """Compiles for the shapes of the arguments (arrays or `jax.ShapeDtypeStruct`); also gives the seconds it took."""
    if jax.config.values["jax_disable_jit"]:
        return jitted, 0.0  # runs operation by operation, where a debugger can look at each
    start = time.perf_counter()
    program = jitted.lower(*arguments).compile()
    return program, time.perf_counter() - start


def memory_bytes(program: Any) -> int:
    """Bytes on a device of a compiled program's arguments, results and temporary values; 0 if unknown."""
    sizes = program.memory_analysis() if hasattr(program, "memory_analysis") else None
    if sizes is None:
        return 0
    kept = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return int(kept + sizes.temp_size_in_bytes)


class UnusableCacheError(Exception):
    """Compiled programs cannot be kept here. The text is the reason."""


def start(*, persistent_cache: bool, deterministic: bool = False, warn: Callable[[str], None] | None = None) -> None:
    """What a command does before it runs anything. Raises InputError where jax has no device.

    deterministic: make the same bits every time; it has to be asked for before jax is used for the first time. warn:
    receives notes for the user, a line each; None means standard error.
    """
    warn = warn or functools.partial(print, file=sys.stderr)
    if deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip()
    for name, value in numerics.fix().items():
        warn(f"{name.upper()}={value} is not followed: this program sets it itself, because it changes the results.")
    require_device()
    # The lines of a program go into what is compiled, with their files' names, which may be no UTF-8.
    if not jax.config.values["jax_hlo_source_file_canonicalization_regex"]:
        jax.config.update("jax_hlo_source_file_canonicalization_regex", "[\ud800-\udfff]")
    jax.config.update("jax_enable_compilation_cache", persistent_cache)  # $JAX_COMPILATION_CACHE_DIR turns it on too
    try:
        if persistent_cache:
            use_persistent_cache()
    except UnusableCacheError as error:
        jax.config.update("jax_enable_compilation_cache", False)
        warn(f"Compiled programs are not kept for the next start: {printable(str(error))}.")


def require_device() -> None:
    """Raises InputError where jax has no device, or where a switch for debugging forbids what every command does."""
    for name, allowed in _DEBUGGING.items():
        if (value := jax.config.values[name]) not in allowed:
            raise InputError(f"{name.upper()}={value}: this program cannot run with that. Unset it.")
    try:
        jax.devices()
    except AssertionError:  # it is jax's answer where the plugin of a platform is not installed
        asked = jax.config.values["jax_platforms"]
        raise InputError(
            f"jax finds no device to run on: it was not installed for {asked}. Install it, or unset JAX_PLATFORMS."
        ) from None
    except RuntimeError as error:
        raise InputError(f"jax finds no device to run on: {error}") from None


def settings() -> dict[str, Any]:
    """All settings of jax, for another process."""
    return dict(jax.config.values)


def apply_jax_config(settings: Mapping[str, Any]) -> None:
    """Applies the settings of another process. Call it before jax is used for the first time."""
    for name, value in settings.items():
        if jax.config.values[name] != value:
            jax.config.update(name, value)
    _ignore_faults_of_the_cache()


def price_of_determinism() -> str:
    """What `deterministic` does on this platform, and what it costs, in a line."""
    if jax.default_backend() != "gpu":
        return f"--deterministic: {jax.default_backend()} needs no setting for it, and it costs no speed."
    return (
        "--deterministic: kernels that add in any order are left out, and none is chosen by timing, which costs speed. "
        "How much here: --mode=benchmark with it and without."
    )


@contextmanager
def memory_errors_named() -> Iterator[None]:
    """Turns the device's lack of memory into MachineError."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MachineError("The device's memory is too small for this. Use a smaller --batch_size or model.") from None


def use_persistent_cache(folder: Path | None = None) -> None:
    """Keeps compiled programs on disk, so that the next process starts without compiling.

    folder: default `$JAX_COMPILATION_CACHE_DIR`, else `cnn_jax` in the user's cache. It gets a folder for each version
    of jaxlib and each kind of processor. Compiled programs are code, so others must not be able to write them. Raises
    UnusableCacheError.
    """
    path = (folder or _cache_folder()) / cache_name()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status, around = path.stat(), path.parent.stat()
        str(path).encode()  # jaxlib takes no other
    except OSError as error:
        raise UnusableCacheError(f"{path}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise UnusableCacheError(f"{path}: its name is no UTF-8") from None
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise UnusableCacheError(f"{path}: it belongs to another user")
    others_may_move_it = around.st_mode & stat.S_IWOTH and not around.st_mode & stat.S_ISVTX
    if os.name == "posix" and (status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or others_may_move_it):
        raise UnusableCacheError(
            f"{path}: others may write to it. Name a folder of your own: JAX_COMPILATION_CACHE_DIR"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise UnusableCacheError(f"{path}: {os.strerror(errno.EACCES)}")
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    _ignore_faults_of_the_cache()


def _ignore_faults_of_the_cache() -> None:
    """Another process may be writing the same program, or the disk may be full: then it is compiled here."""
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def cache_name() -> str:
    """The folder of this jaxlib's programs for this processor: others crash on them."""
    return f"xla-{importlib.metadata.version('jaxlib')}-{_processor()}"


def _cache_folder() -> Path:
    """Where compiled programs are kept by default. Raises UnusableCacheError where there is no place for them."""
    if named := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        if "://" in named:
            raise UnusableCacheError(f"{named}: it is no folder on this machine")
        return Path(os.path.expanduser(named))
    home = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if not os.path.isabs(home):
        is_named = bool(os.environ.get("XDG_CACHE_HOME"))
        raise UnusableCacheError("XDG_CACHE_HOME is no absolute path" if is_named else "there is no home folder")
    return Path(home) / "cnn_jax"


def _asked_for(*, runs_once: bool) -> dict[str, str]:
    if jax.default_backend() != "cpu":
        return {}
    return _CPU_OPTIONS | (_RUN_ONCE_OPTIONS if runs_once else {})


def _are_known(options: dict[str, str]) -> bool:
    """Whether this jaxlib takes the options, and knows the passes in them: it ignores unknown names silently."""
    try:
        handed_over = _loops_handed_over(options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return "xla_disable_hlo_passes" not in options or not handed_over


def _loops_handed_over(options: dict[str, str]) -> int:
    """How many loops the older code generator gets, of a small and a large one. It gets each in a call."""
    return _two_loops().compile(compiler_options=options).as_text().count(" call(")


@functools.cache
def _two_loops() -> Any:
    def doubled(count: Any, numbers: Any) -> Any:
        return jax.lax.fori_loop(0, count, lambda _, numbers: numbers + numbers, numbers)

    shapes = [jax.ShapeDtypeStruct((size,), "float32") for size in (2, 2**16)]
    return jax.jit(lambda count, *both: [doubled(count, numbers) for numbers in both]).lower(0, *shapes)


def _processor() -> str:
    """A short name of the processor's instruction set: programs compiled for another one must not be loaded."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
