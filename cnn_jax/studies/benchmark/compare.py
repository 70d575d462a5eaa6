"""Compare two stored benchmarks, of two machines or two commits, without measuring anything."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.files import numbered, require_free, write_files
from cnn_jax.report.console import Console
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.studies.benchmark import comparison, comparison_page, record

FORMAT = 1


def run(options: RunOptions, *, runs: Sequence[Path], tolerance: float = 0.1) -> dict[str, Any]:
    """Prints the comparison, writes `comparison.json` and `comparison.html`, and returns it.

    runs: two files, or the folders of two benchmarks; the first is the baseline. Raises InputError before anything is
    written, and ProjectError at the end if a case is slower.
    """
    comparison.require_tolerance(tolerance)
    if len(runs) != 2:
        raise InputError(f"--runs: name two benchmarks with a comma between them; here {len(runs)} are named.")
    baseline, now = (record.read(path, "runs") for path in runs)
    comparison.require_comparable(baseline, now.config, now.cases, Experiment(), "runs")
    folder = options.workdir or numbered(RUNS, "benchmark-comparison")
    require_free(folder, "comparison.json", overwrite=options.overwrite)

    content = {"format": FORMAT, **comparison.compare(baseline, now, tolerance)}
    page = comparison_page.page(content, list(options.command_line))
    text = json.dumps(content, indent=1, allow_nan=False)
    write_files(folder, {"comparison.html": f"{page}\n", "comparison.json": f"{text}\n"})
    console = Console()
    console.report(comparison_page.tables(content), comparison_page.sentences(content))
    console.line(f"{folder / 'comparison.json'} and {folder / 'comparison.html'} written")
    comparison.require_not_slower(content)
    return content
