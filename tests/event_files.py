"""Reads TensorBoard's event files without TensorBoard: records of a length, its checksum, an event and its checksum."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

TIMES = ("seconds", "images_per_second")  # differ from run to run


def events(folder: Path) -> Iterator[Event]:
    """The events of a run's folder, which holds one file of them."""
    [file] = folder.glob("events.out.tfevents.*")
    content = file.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        (checksum,) = struct.unpack("<I", content[12 + length : 16 + length])
        assert checksum == masked_crc32c(content[12 : 12 + length])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def curves(folder: Path) -> dict[tuple[str, int], float]:
    """The numbers of a run's folder by name and step, without its times. No name has two numbers at a step."""
    found = [(value.tag, event.step, value.simple_value) for event, value in _values(folder, "simple_value")]
    numbers = {(name, step): number for name, step, number in found if name not in TIMES}
    assert len(numbers) == len([name for name, _, _ in found if name not in TIMES])
    return numbers


def images(folder: Path) -> dict[tuple[str, int], np.ndarray]:
    """The pictures of a run's folder by name and step, uint8 [H, W, 3]. No name has two pictures at a step."""
    found = [(value.tag, event.step, value.image) for event, value in _values(folder, "image")]
    pictures = {(name, step): np.asarray(Image.open(io.BytesIO(one.encoded_image_string))) for name, step, one in found}
    assert len(pictures) == len(found)
    return pictures


def _values(folder: Path, kind: str) -> Iterator[tuple]:
    for event in events(folder):
        yield from ((event, value) for value in event.summary.value if value.WhichOneof("value") == kind)
