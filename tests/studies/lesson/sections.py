"""For tests: the parts of a section, and what every section and record of the lesson promises."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cnn_jax.report.page import Figure, Page, Row, Section, Table, render


def html(section: Section) -> str:
    return render(Page("lesson", "about it", [section], "made by hand"))


def words(section: Section) -> str:
    return " ".join(block for block in section.blocks if isinstance(block, str))


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def figures(section: Section) -> list[Figure]:
    """All figures, those of rows too."""
    figures: list[Figure] = []
    for block in section.blocks:
        figures += [block] if isinstance(block, Figure) else block.figures if isinstance(block, Row) else []
    return figures


def require_described_figures(section: Section) -> None:
    """Every figure is a whole drawing with a description and a caption."""
    assert figures(section)
    for figure in figures(section):
        assert len(ElementTree.fromstring(figure.svg).get("aria-label", "")) >= 20
        assert figure.caption


def require_documented_arrays(record: Mapping[str, Any], documented: Mapping[str, str], **sizes: int) -> None:
    """Every array of a record is documented with its dtype and shape, and nothing else is documented.

    In names, LAYER and RUN stand for any name. In shapes, a letter or a name is an axis of any size, or of `sizes`.
    """
    found = dict(_arrays(record))
    patterns = {re.sub(r"LAYER|RUN", "[^/]+", name): text for name, text in documented.items()}
    for pattern, text in patterns.items():
        matching = [array for name, array in found.items() if re.fullmatch(pattern, name)]
        assert matching, f"{pattern} is documented and not there"
        described = re.match(r"(\w+) \[(.*?)\](?: or \[.*?\])?: ", text)
        assert described, text
        axes = described[2].split(", ")
        for array in matching:
            assert str(array.dtype) == described[1], text
            if " or " not in described[0]:
                assert len(axes) == array.ndim, text
                sized = {axis: int(axis) if axis.isdigit() else sizes.get(axis) for axis in axes}
                assert all(sized[axis] in (None, size) for axis, size in zip(axes, array.shape, strict=True)), text
    assert [name for name in found if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []


def _arrays(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for name, value in record.items():
        if isinstance(value, np.ndarray):
            yield f"{path}{name}", value
        elif isinstance(value, Mapping):
            yield from _arrays(value, f"{path}{name}/")
        elif isinstance(value, list):
            yield from _arrays({str(index): item for index, item in enumerate(value)}, f"{path}{name}/")
