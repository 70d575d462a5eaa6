"""The IDX files of the MNIST family: a header with type and shape, then the bytes; gzip-compressed.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from cnn_jax.errors import InputError

_UINT8 = 8  # IDX's code for the element type


def header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of an IDX file of uint8."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, _UINT8, len(shape), *shape)


def size(shape: tuple[int, ...]) -> int:
    """The bytes of an unpacked IDX file of uint8."""
    return len(header(shape)) + math.prod(shape)


def read(file: Path | IO[bytes], shape: tuple[int, ...], name: str = "") -> np.ndarray:
    """The array in a gzip-compressed IDX file: uint8 of the given shape, read-only.

    The caller knows the shape, so that a damaged header cannot ask for more memory. name: of the file in messages; by
    default its path. Raises InputError.
    """
    name = name or str(file)
    try:
        with gzip.open(file) as unpacked:
            content = unpacked.read(size(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: not a readable gzip file ({error}).") from error
    return parse(content, shape, name)


def parse(content: bytes, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The array in the content of an IDX file, as `read` gives it. Raises InputError."""
    start = header(shape)
    if not content.startswith(start):
        raise InputError(f"{name}: not an IDX file of {' x '.join(map(str, shape))} bytes.")
    if len(content) != size(shape):
        more_or_fewer = "more" if len(content) > size(shape) else "fewer"
        raise InputError(f"{name}: the file holds {more_or_fewer} bytes than its header says.")
    return np.frombuffer(content, np.uint8, offset=len(start)).reshape(shape)
