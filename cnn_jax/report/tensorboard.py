"""TensorBoard event files, written without TensorFlow."""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from cnn_jax.files import machine_errors

_NO_CURVES = ("seed", "epoch", "step")


class EventWriter:
    """Writes the rows of a run as curves over the step. Raises MachineError when the disk cannot take them.

    tensorboardX's own SummaryWriter writes in a thread: when that thread dies because the disk is full, the run waits
    for it forever.
    """

    def __init__(self, folder: Path):
        self._file = folder / "events.out.tfevents"
        with machine_errors(self._file):
            self._writer = EventsWriter(str(folder / "events"))

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *error: object) -> None:
        with machine_errors(self._file):
            self._writer.close()

    def write(self, row: Mapping[str, float]) -> None:
        """Adds every number of a `metrics.jsonl` row under its name and flushes the file, so that it is shown soon."""
        with machine_errors(self._file):
            for name in sorted(row.keys() - set(_NO_CURVES)):
                summary = scalar(name, row[name])
                self._writer.write_event(Event(step=int(row["step"]), wall_time=time.time(), summary=summary))
            self._writer.flush()
