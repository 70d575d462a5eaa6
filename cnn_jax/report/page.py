"""Pages for people: one self-contained HTML file each, of sections with text, tables and figures.

Everything that a page shows is escaped; only figures drawn by `figures.py` enter as they are.
"""

import base64
from collections.abc import Mapping, Sequence
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
            row[column].lstrip("+-\u2212")[:1].isdigit() or row[column] in ("", "-") for row in self.rows
        )


@dataclass(frozen=True)
class Figure:
    """A drawing with the words that stand for it. svg: from `figures.py`."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Picture:
    """An image of pixels. alt: what it shows, for who cannot see it. media_type: `image/png` or `image/jpeg`."""

    content: bytes
    media_type: str
    alt: str
    caption: str

    @property
    def address(self) -> str:
        """The image itself as an address, so that the page needs no other file."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Card:
    """Pictures of one thing side by side, a sentence on it, and shares of 1 as bars."""

    title: str
    words: str
    pictures: Sequence[Picture]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """Figures side by side where there is room for them, else below each other."""

    figures: Sequence[Figure]


Block = str | Table | Figure | Row | Card  # text: a paragraph


@dataclass(frozen=True)
class Section:
    """A part of a page that the table of contents names."""

    title: str
    blocks: Sequence[Block]


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
        loader=PackageLoader("cnn_jax.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    macros = environment.get_template("blocks.html").module
    kinds = {str: "text", Table: "table", Figure: "figure", Row: "row", Card: "card"}

    def show(block: Block) -> Markup:
        return Markup(getattr(macros, kinds[type(block)])(block))

    return environment.get_template("page.html").render(page=page, show=show)
