"""The lesson's page: the sections of all parts."""

from collections.abc import Mapping
from typing import Any

from cnn_jax import program
from cnn_jax.report.page import Page, render
from cnn_jax.studies.lesson.live.exploration import sections as exploration_sections
from cnn_jax.studies.lesson.live.scripts import scripts
from cnn_jax.studies.lesson.live.section import sections as live_sections
from cnn_jax.studies.lesson.parts import PARTS

_LEAD = (
    "What is a convolution, why does it suit images, what is pooling for, and how do we measure whether a network is "
    "good? The pictures and numbers on this page were computed when it was made, except where it says otherwise. The "
    "arrays behind them are in the file lesson.npz, and lesson_arrays.csv lists them by name; both are in the same "
    "folder. Load the arrays with numpy.load."
)


def lesson_page(records: Mapping[str, Any], live: dict[str, Any], command_line: str) -> str:
    """The whole lesson as HTML. records: the record of each part, by the part's name. live: of `live.payload`."""
    sections = [
        *live_sections(live),
        *exploration_sections(live),
        *(part.section(records[name]) for name, part in PARTS.items()),
    ]
    footer = f"Made by {program.command()} {command_line}."
    return render(Page("Convolutional neural networks", _LEAD, sections, footer, scripts(live)))
