"""A benchmark's page is good for every reader."""

from pathlib import Path
from typing import Any

from cnn_jax.studies.benchmark import page as benchmark
from tests.browser import Browser, require_sound

PLACE = {"multiply_adds": 1e6, "moved_bytes": 1e5, "seconds": 1e-4, "multiply_adds_per_second": 1e10, "share": 0.5}
PLACE |= {"multiply_adds_per_byte": 10.0}
WORDS = {"bound": "compute", "verdict": "half of what this device could do"}


def record() -> dict[str, Any]:
    speed = {"images_per_second": 64e3, "multiply_adds_per_second": 1e10}
    case = {"what": "training step", "dtype": "float32", "batch_size": 64, "compile_seconds": 1.5}
    case |= {"seconds": {"median": 1e-3, "low": 9e-4, "high": 2e-3, "repeats": 7}, "peak_memory_bytes": 1 << 28}
    layers = [{"name": name, "operations": 2e6, "operations_by_xla": 2e6} for name in ("Conv_0", "Dense_0")]
    part = {
        "dtype": "float32",
        "batch_size": 64,
        "roofs": {"multiply_adds_per_second": 1e11, "bytes_per_second": 1e10},
        "layers": [layer | PLACE | WORDS for layer in layers],
        "step": {"name": "training step", **PLACE, **WORDS},
    }
    versions = {"jax": "0.10.2", "numpy": "2.1"}
    machine = {"device": "1 x abacus", "cores": 2, "system": "Linux", "python": "3.11", "versions": versions}
    return {
        "config": {"experiment": "lecture_cnn", "model": "cnn", "dataset": "mnist"},
        "machine": machine
        | {"git_commit": "0" * 40, "command_line": ["run.py", "--mode=benchmark"], "xla_flags": None},
        "compiler_options": {"a_long_option_of_the_compiler": "with_its_value"},
        "parameters": 104_202,
        "settings": {"repeats": 7, "seconds": 20.0, "train_examples": 60_000, "test_examples": 10_000},
        "measurements": [case | speed],
        "rooflines": [part],
    }


def test_page_is_sound_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "benchmark.html"
    page.write_text(benchmark.page(record()))
    require_sound(browser, page)
