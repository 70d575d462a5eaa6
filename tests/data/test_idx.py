"""An IDX file is read exactly, or refused with the project's own error."""

import contextlib
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_jax.data import idx
from cnn_jax.errors import InputError

SHAPE = (5, 4, 3)
ARRAY = np.arange(60, dtype=np.uint8).reshape(SHAPE)
HEADER = struct.pack(">BBBB3I", 0, 0, 8, 3, *SHAPE)
FILE = gzip.compress(HEADER + bytes(ARRAY), mtime=0)

fuzz = settings(suppress_health_check=list(HealthCheck))


def test_reads_what_the_format_says(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(FILE)
    array = idx.read(tmp_path / "a.gz", SHAPE)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEADER + bytes(ARRAY)[:-1], "fewer bytes"),
        (HEADER + bytes(ARRAY) + b"x", "more bytes"),
        (HEADER, "fewer bytes"),
        (b"", "not an IDX file"),
        (HEADER[:7], "not an IDX file"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 5, 3, 4) + bytes(ARRAY), "not an IDX file of 5 x 4 x 3"),
        (struct.pack(">BBBB3I", 0, 0, 13, 3, *SHAPE) + bytes(ARRAY), "not an IDX file"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(ARRAY), "not an IDX file"),
    ],
)
def test_refuses_a_file_of_another_length_shape_or_type_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=says) as refusal:
        idx.read(tmp_path / "a.gz", SHAPE)
    assert str(tmp_path / "a.gz") in str(refusal.value)


def test_refuses_a_missing_file_and_one_that_is_not_compressed(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(HEADER + bytes(ARRAY))
    for name in ("plain", "missing"):
        with pytest.raises(InputError, match=name):
            idx.read(tmp_path / name, SHAPE)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The file cut short, with bytes changed or inserted; before compression or after it."""
    inside = draw(st.booleans())
    content = bytearray(HEADER + bytes(ARRAY) if inside else FILE)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(("cut", "change", "insert")))
        if kind == "cut":
            del content[at:]
        elif kind == "change":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        else:
            content[at:at] = draw(st.binary(max_size=20))
    return gzip.compress(bytes(content)) if inside else bytes(content)


@pytest.mark.fuzz
@fuzz
@given(content=damaged() | st.binary(max_size=100))
def test_any_damage_is_refused_with_the_projects_own_error_or_changes_nothing_but_values(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    try:
        array = idx.read(tmp_path / "a.gz", SHAPE)
    except InputError:
        return
    assert array.shape == SHAPE
    assert array.dtype == np.uint8


@pytest.mark.fuzz
@fuzz
@given(at=st.integers(0, len(FILE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_compressed_file_never_gives_other_values(tmp_path: Path, at: int, bit: int) -> None:
    content = bytearray(FILE)
    content[at] ^= 1 << bit
    (tmp_path / "a.gz").write_bytes(content)
    with contextlib.suppress(InputError):
        np.testing.assert_array_equal(idx.read(tmp_path / "a.gz", SHAPE), ARRAY)
