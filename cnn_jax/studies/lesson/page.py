"""The lesson's page: one file a part of the lecture, each with `section(record)`, which says and draws a record."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from cnn_jax.report.page import Page, Section, Table, render
from cnn_jax.studies.lesson import features_page as features
from cnn_jax.studies.lesson import functional_page as functional
from cnn_jax.studies.lesson import images_page as images
from cnn_jax.studies.lesson import learned_page as learned
from cnn_jax.studies.lesson import permutation_page as permutation
from cnn_jax.studies.lesson import pooling_page as pooling
from cnn_jax.studies.lesson import results_page as results
from cnn_jax.studies.lesson import templates_page as templates

# In the lecture's order.
PARTS: Mapping[str, ModuleType] = {
    "images": images,
    "templates": templates,
    "learned": learned,
    "permutation": permutation,
    "functional": functional,
    "features": features,
    "pooling": pooling,
    "results": results,
}

_LEAD = (
    "What a convolution is, why it suits images, what pooling is for, and how it is measured whether a network is any "
    "good. Everything on this page was computed when the page was made; the arrays behind the pictures are in "
    "lesson.npz beside it."
)


def page(records: Mapping[str, Any], arrays: Mapping[str, str], command_line: str) -> str:
    """The whole lesson as HTML. records: of each part, by its name. arrays: what each array in `lesson.npz` is."""
    sections = [part.section(records[name]) for name, part in PARTS.items()]
    names = Table("What is in lesson.npz", ["name", "content"], list(arrays.items()))
    words = "Load them with numpy.load; words in capitals stand for a layer's name, or a run's number from 0."
    sections.append(Section("The arrays behind the pictures", [words, names]))
    return render(Page("Convolutional neural networks", _LEAD, sections, f"Made by {command_line}."))
