"""HTML pages: one self-contained file each, with sections of text, tables and figures.

Everything that a page shows is escaped; only drawings made by `figures.py` and scripts are inserted as they are.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cnn_jax.report.format import percent
from cnn_jax.report.tables import Table

_COMMAND = re.compile(r"(?:python )?\brun\.py\b|\bcnn-jax\b|--[\w=.,:/-]*\w")


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption. svg: from `figures.py`."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Picture:
    """An image of pixels. alt: what it shows, in words. media_type: `image/png` or `image/jpeg`."""

    content: bytes
    media_type: str
    alt: str
    caption: str

    @property
    def address(self) -> str:
        """The image as a data address, so that the page needs no other file."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Card:
    """Pictures of one thing side by side, a sentence about it, and shares of 1 as bars."""

    title: str
    words: str
    pictures: Sequence[Picture]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """Figures or panels side by side where there is room for them, otherwise below each other."""

    figures: Sequence["Figure | Panel"]


@dataclass(frozen=True)
class Matrix:
    """A square table, whose first column names the rows, with shaded cells. shares: of 1, a row for each of its rows.

    The square root of a share is the shade: a few images outside the diagonal show beside a thousand on it.
    """

    table: Table
    shares: Sequence[Sequence[float]]

    @property
    def has_long_headings(self) -> bool:
        """Whether the headings are turned, so that columns stay narrow."""
        return max(map(len, self.table.headings[1:])) > 3


@dataclass(frozen=True)
class Gallery:
    """Pictures that are hidden until a link of a table opens them. name: what the link says, without spaces."""

    name: str
    title: str
    words: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Panel:
    """A place that a script of the page fills. name: by which the script finds it."""

    name: str


Block = str | Table | Figure | Row | Card | Matrix | Gallery | Panel  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """A part of a page, listed in the table of contents."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Scripts:
    """What makes a page answer its reader. style: CSS. data: JSON for the scripts. sources: of the scripts, by name."""

    style: str
    data: Any
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """A page. lead: what it is about, in a sentence or two. footer: what made it. scripts: of its panels."""

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str
    scripts: Scripts | None = None


def render(page: Page) -> str:
    """The page as HTML that needs no other file and no network."""
    environment = Environment(
        loader=PackageLoader("cnn_jax.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"mark_commands": mark_commands, "percent": percent}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # scripts show names in the order of their data
    macros = environment.get_template("blocks.html").module
    kinds = {
        str: "text",
        Table: "table",
        Figure: "figure",
        Row: "row",
        Card: "card",
        Matrix: "matrix",
        Gallery: "gallery",
        Panel: "panel",
    }

    def show(block: Block) -> Markup:
        return Markup(getattr(macros, kinds[type(block)])(block))

    return environment.get_template("page.html").render(page=page, show=show)


def mark_commands(text: str) -> Markup:
    """Text as HTML with its commands and flags as code, each flag by itself so that a line can break between two."""
    return Markup(_COMMAND.sub(r"<code>\g<0></code>", str(escape(text))))
