"""Files and folders have names in any script, and the console need not be able to show them."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cnn_jax.report import figures

Run = Callable[..., subprocess.CompletedProcess[str]]

MINE = """
from cnn_jax import Experiment
from experiments import x_and_o

def experiment() -> Experiment:
    return x_and_o.experiment().vary(train_examples=640, epochs=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, "utf-8") for name in ("实验", "प्रयोग", "🦊", "n\u0303")),
        *((name, "ascii") for name in ("эксперимент", "تجربة", "données é")),
    ],
    ids=ascii,
)
def test_own_file_in_a_folder_of_such_a_name_trains_and_repeats(
    run_py: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.py").write_text(MINE, encoding="utf-8")
    finished = run_py(f"--experiment={name}/{name}.py")
    assert (finished.returncode, finished.stderr) == (0, "")
    [run] = (tmp_path / "runs").iterdir()
    config = run / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())  # as some editors save it
    assert run_py("--mode=summary", f"--experiment={name}/{name}.py", f"--config={config}").returncode == 0
    sys.stdout.flush()
    assert "test loss" in written.getvalue().decode(encoding)
    assert json.loads((run / "result.json").read_text())["status"] == "done"


@pytest.mark.parametrize("name", ["实验", "ทดลอง", "a$b$_", "$\\frac{"], ids=ascii)
def test_figure_shows_any_name_as_text(name: str) -> None:
    assert name in figures.draw("a name", lambda axes: axes.set_title(name))
