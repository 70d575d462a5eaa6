"""What this program is called where it runs: in its errors, on its pages and in the commands that it suggests."""

import shutil
import sys
from pathlib import Path


def command() -> str:
    """What a user types to start it: `cnn-jax` where it is installed, `python run.py` in a checkout."""
    is_installed = (Path(__file__).parents[1] / "cnn_jax_command").is_dir()
    return "cnn-jax" if is_installed else "python run.py"


def name() -> str:
    """Its name, as in front of an error."""
    return command().removeprefix("python ")


def words() -> list[str]:
    """The words that start it in any folder of this machine, with the Python that runs now."""
    if command() == "cnn-jax":
        return [shutil.which("cnn-jax", path=Path(sys.executable).parent) or "cnn-jax"]
    return [sys.executable, str(Path(__file__).parents[1] / "run.py")]
