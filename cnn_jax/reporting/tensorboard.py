"""TensorBoard events, written without TensorFlow."""

from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

_NOT_CURVES = ("seed", "epoch", "step")


class EventWriter:
    """Writes the rows of a run as curves over the step."""

    def __init__(self, folder: Path):
        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(self, row: Mapping[str, float]) -> None:
        """Adds every number of a `metrics.jsonl` row under its name, and shows it to TensorBoard at once."""
        for name in row.keys() - set(_NOT_CURVES):
            self._writer.add_scalar(name, row[name], int(row["step"]))
        self._writer.flush()
