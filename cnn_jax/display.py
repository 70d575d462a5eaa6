"""How an object shows itself in Python: one short line, and in a notebook a small table.

IPython is used where it runs already, and nowhere else.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any


class Displayed:
    """An object that shows itself by a few facts: by one line in a console, by a table in a notebook."""

    def _facts(self) -> Mapping[str, str]:
        """What is worth knowing of the object, by name, in a few words each."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}: {fact}' for name, fact in self._facts().items())})"

    def _repr_html_(self) -> str:
        return html_table([type(self).__name__, ""], list(self._facts().items()))


@dataclass(frozen=True)
class Svg:
    """A drawing, which a notebook shows. alt: what it shows, in words. text: of an SVG file."""

    alt: str
    text: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.text


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as lines of text. Columns of numbers are aligned to the right."""
    lines = [headings, *rows]
    columns = [
        [cell.rjust(width) if _is_numeric(cells) else cell.ljust(width) for cell in (heading, *cells)]
        for heading, *cells in zip(*lines, strict=True)
        for width in [max(map(len, (heading, *cells)))]
    ]
    return "\n".join("   ".join(row).rstrip() for row in zip(*columns, strict=True))


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as HTML that looks alike in every notebook."""
    sides = ["right" if _is_numeric(cells) else "left" for cells in zip(*rows, strict=True)] or ["left"] * len(headings)

    def row(cells: Sequence[str], tag: str) -> str:
        shown = (
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(headings, 'th')}</thead><tbody>{body}</tbody></table>"


def _is_numeric(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers; empty cells and dashes count."""
    return all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)


def _shell() -> Any:
    """The IPython that runs this process; None where none does."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def in_notebook() -> bool:
    """Whether the output of this process goes to a notebook."""
    return hasattr(_shell(), "kernel")


def notebook_place() -> Callable[[str, str], None]:
    """A new place in the output of a notebook's cell: a function that shows (HTML, the same as text) there.

    Only to be called in a notebook. What it is given replaces what it was given before.
    """
    from IPython.display import display

    place = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda html, text: place.update({"text/html": html, "text/plain": text}, raw=True)


def cell_of(filename: str) -> str | None:
    """The notebook's cell that a name of a file stands for, as in `Cell In[3]`; None for other files."""
    named = getattr(getattr(_shell(), "compile", None), "format_code_name", lambda filename: None)(filename)
    return " ".join(named) if named else None
