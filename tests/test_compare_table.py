"""The README's comparison of models is made from the stored result and cannot differ from it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax.experiment import Experiment
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies.compare import run as compare
from tests import fabricated
from tests.conftest import PROJECT

TABLE = PROJECT / "experiments" / "results" / "compare_table.py"
STORED = PROJECT / "experiments" / "results" / "compare.json"
README = "before\n<!-- compare:begin -->\n<!-- compare:end -->\nafter\n"


def table(*arguments: str) -> object:
    """The exit code of the script with these arguments, within this process: starting takes longer."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", [str(TABLE), *arguments])
        patch.setattr(sys, "path", [*sys.path])
        runpy.run_path(str(TABLE), run_name="__main__")
    return ended.value.code


@pytest.mark.slow
def test_readme_shows_the_stored_comparison_or_none() -> None:
    if STORED.exists():
        finished = subprocess.run([sys.executable, str(TABLE), "--check"], capture_output=True, text=True, timeout=60)
        assert finished.returncode == 0, finished.stderr
    else:
        assert "<!-- compare:" not in (PROJECT / "README.md").read_text()


def test_table_is_written_and_a_changed_number_is_noticed_and_mended(tmp_path: Path, drawn_data_dir: Path) -> None:
    runs = {"plain": [range(60), range(63)], "deep": [range(10), range(12)]}
    for name, wrong in runs.items():
        fabricated.seeds(tmp_path / name, Experiment().vary(experiment=name, model="logistic"), wrong)
    folders = [tmp_path / name for name in runs]
    compare.run([], RunOptions(workdir=tmp_path, data_dir=drawn_data_dir), runs=folders)
    readme, flags = tmp_path / "README.md", (f"--results={tmp_path / 'compare.json'}", f"--readme={tmp_path}/README.md")
    readme.write_text(README)
    assert table("--check", *flags) == 1
    assert table(*flags) == 0
    written = readme.read_text()
    assert "| `plain` | 7,850 | 93.85 ± 1.91 % (n = 2) |" in written
    assert "| `deep` | 7,850 | 98.90 (97.63 to 100.00) % (n = 2) |" in written  # 98.90 + 1.27 is over 100 %
    assert written.count("Some intervals are not even around the mean.") == 1
    assert written.count("An interval of two values says little") == 1
    assert written.startswith("before\n") and written.endswith("after\n")
    assert table("--check", *flags) == 0
    readme.write_text(written.replace("98.90", "99.90"))
    assert table("--check", *flags) == 1
    assert table(*flags) == 0
    assert readme.read_text() == written


def test_readme_without_its_markers_is_an_error_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("nothing")
    (tmp_path / "compare.json").write_text('{"models": [{"name": "one"}]}')
    code = table(f"--results={tmp_path / 'not_there.json'}", f"--readme={tmp_path / 'README.md'}")
    assert (code, capsys.readouterr().err.count("\n")) == (2, 1)
