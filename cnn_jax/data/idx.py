"""The IDX files of the MNIST family: a header with type and shape, then the bytes; gzip-compressed.

Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from cnn_jax.errors import InputError

_UINT8 = 8  # IDX's code for the element type


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a gzip-compressed IDX file: uint8 of the given shape, read-only.

    The caller knows the shape, so that a damaged header cannot ask for more memory. Raises InputError.
    """
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, _UINT8, len(shape), *shape)
    wanted = len(header) + math.prod(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(wanted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable gzip file ({error}).") from error
    if content[: len(header)] != header:
        raise InputError(f"{path}: not an IDX file of {' x '.join(map(str, shape))} bytes.")
    if len(content) != wanted:
        raise InputError(
            f"{path}: the file holds {'more' if len(content) > wanted else 'fewer'} bytes than its header says."
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
