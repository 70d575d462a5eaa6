"""The lesson's page: the sections of all parts, and the list of the arrays behind them."""

from collections.abc import Mapping
from typing import Any

from cnn_jax.report.page import Page, Section, Table, render
from cnn_jax.studies.lesson.parts import PARTS, documented_arrays

_LEAD = (
    "What is a convolution, why does it suit images, what is pooling for, and how do we measure whether a network is "
    "good? Everything on this page was computed when the page was made. The arrays behind the pictures are in the file "
    "lesson.npz, in the same folder."
)
_ARRAYS = (
    "Load the file with numpy.load. In the names below, LAYER stands for the name of a layer, and RUN for the number "
    "of a run, counted from 0."
)


def lesson_page(records: Mapping[str, Any], command_line: str) -> str:
    """The whole lesson as HTML. records: the record of each part, by the part's name."""
    sections = [part.section(records[name]) for name, part in PARTS.items()]
    arrays = Table("Arrays in lesson.npz", ["name", "content"], list(documented_arrays().items()))
    sections.append(Section("The arrays behind the pictures", [_ARRAYS, arrays]))
    return render(Page("Convolutional neural networks", _LEAD, sections, f"Made by {command_line}."))
