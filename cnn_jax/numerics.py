"""What decides numbers beside a Config: settings of jax and of the environment, each fixed here or recorded."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

# Settings of jax that decide numbers, with the values that they always have here.
FIXED: Mapping[str, Any] = {
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,  # the Config has one of its own
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_numpy_dtype_promotion": "standard",
}


# What else decides numbers: settings of jax and variables of the environment that may be set, and are recorded.
_RECORDED = (
    *("jax_disable_jit", "jax_disable_most_optimizations", "jax_optimization_level", "jax_enable_pgle"),
    *("jax_exec_time_optimization_effort", "jax_memory_fitting_effort", "jax_memory_fitting_level"),
    *("jax_compiler_enable_remat_pass", "jax_softmax_custom_jvp", "jax_use_direct_linearize"),
    *("jax_allow_f16_reductions", "jax_use_hlo_logistic_lowering", "jax_accurate_erf_inv"),
)
_RECORDED_VARIABLES = ("NVIDIA_TF32_OVERRIDE", "LIBTPU_INIT_ARGS", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA")


def fix() -> dict[str, Any]:
    """Sets what decides numbers and is no field of Config. Gives the values that were others before."""
    others = {name: now for name, value in FIXED.items() if (now := jax.config.values.get(name, value)) != value}
    for name in others:
        jax.config.update(name, FIXED[name])
    return others


@contextmanager
def fixed() -> Iterator[None]:
    """The settings of jax that decide numbers, as every command sets them; afterwards again as they were."""
    before = dict(jax.config.values)
    others = fix()
    try:
        yield
    finally:
        for name in others:
            jax.config.update(name, before[name])


def recorded() -> dict[str, Any]:
    """What decides numbers beside a Config and is not always the same, for `machine.json`."""
    found = {name: jax.config.values[name] for name in _RECORDED if name in jax.config.values}
    found = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in found.items()}
    return {"XLA_FLAGS": _recorded_flags(), **{name: os.environ.get(name) for name in _RECORDED_VARIABLES}, **found}


def _recorded_flags() -> str:
    """The flags of XLA that may decide numbers here: not what is dumped, and none of other platforms."""
    others = {"cpu", "gpu", "tpu"} - {jax.default_backend()}
    harmless = ("--xla_dump", "--xla_force_host_platform_device_count", *(f"--xla_{other}_" for other in others))
    return " ".join(sorted(flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(harmless)))
