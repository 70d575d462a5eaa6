"""TensorBoard event files, written without TensorFlow."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import image, scalar

from cnn_jax.files import machine_errors

_NO_CURVES = ("seed", "epoch", "step")


class EventWriter:
    """Writes rows of numbers as curves over the step, and pictures. Raises MachineError when the disk cannot take them.

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
                self._add(scalar(name, row[name]), int(row["step"]))
            self._writer.flush()

    def write_image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Adds a picture under a name and flushes the file. pixels: uint8 [H, W, 3]."""
        with machine_errors(self._file):
            self._add(image(name, pixels, dataformats="HWC"), step)
            self._writer.flush()

    def _add(self, summary: Summary, step: int) -> None:
        self._writer.write_event(Event(step=step, wall_time=time.time(), summary=summary))
