"""Pages for people: one self-contained HTML file each, of sections with text, tables and figures.

Everything that a page shows is escaped; only figures drawn by `figures.py` enter as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Headings and rows of text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_numeric(self, column: int) -> bool:
        """Whether the column's entries are numbers, to be set to the right."""
        return bool(self.rows) and all(
            row[column].lstrip("-\u2212")[:1].isdigit() or row[column] in ("", "-") for row in self.rows
        )


@dataclass(frozen=True)
class Figure:
    """A drawing with the words that stand for it. svg: from `figures.py`."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of a page that the table of contents names. blocks: paragraphs (text), tables and figures."""

    title: str
    blocks: Sequence[str | Table | Figure]


@dataclass(frozen=True)
class Page:
    """A page. lead: what it is about, in a sentence or two. footer: what made it."""

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str


def render(page: Page) -> str:
    """The page as HTML that needs no other file and no network."""
    environment = Environment(
        loader=PackageLoader("cnn_jax.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    macros = environment.get_template("blocks.html").module
    kinds = {str: "text", Table: "table", Figure: "figure"}

    def show(block: str | Table | Figure) -> Markup:
        return Markup(getattr(macros, kinds[type(block)])(block))

    return environment.get_template("page.html").render(page=page, show=show)
