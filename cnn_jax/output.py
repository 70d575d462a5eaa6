"""Standard output and standard error that end no command: a terminal goes away, a disk is full, a pipe is closed."""

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

# What stands for a character that the terminal cannot show. Others are written out, as in `\xe9`.
_PLAIN = {
    "±": "+-",
    "µ": "u",
    "·": "|",
    "\u00d7": "x",
    "\u2212": "-",
    "\u2013": "-",
    "\u2026": "...",
    "\u2076": "^6",
    "\u2079": "^9",
}


class Output:
    """A text stream that hands everything to another one. error: the first failure of that; it is not raised."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text as far as possible. Characters that the stream's encoding lacks are replaced.

        On a terminal, lines that are too long for it are broken between words.
        """
        with self._noting_errors():
            self._stream.write(self._encodable(self._wrapped(text)))
        return len(text)

    def flush(self) -> None:
        """Writes what is waiting, as far as possible."""
        with self._noting_errors():
            self._stream.flush()

    def drop_rest(self) -> None:
        """After an error, sends what is still waiting nowhere: Python would try once more at its end, and complain."""
        self.flush()
        if self.error:
            with suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error

    def _wrapped(self, text: str) -> str:
        if "\x1b" in text or "\r" in text or not self._stream.isatty():
            return text
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or sys.maxsize
        except OSError:  # a window of an editor
            return text
        return "\n".join(line if len(line) <= columns else wrapped(line, columns) for line in text.split("\n"))

    def _encodable(self, text: str) -> str:
        encoding = self._stream.encoding or "utf-8"
        try:
            text.encode(encoding, self._stream.errors or "strict")
        except UnicodeEncodeError:
            return "".join(_replaced(character, encoding) for character in text)
        return text


def wrapped(line: str, columns: int) -> str:
    """The line, broken between words. Its rest begins below the second column of `name  description`, or indented."""
    first = re.match(r" *\S.*? {2,}", line)
    indent = len(first[0]) if first else len(line) - len(line.lstrip()) + 2
    indent = indent if indent <= columns // 2 else 2
    wrap = textwrap.TextWrapper(columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrap.wrap(line))


def _replaced(character: str, encoding: str) -> str:
    try:
        return character.encode(encoding).decode(encoding)
    except UnicodeEncodeError:
        return _PLAIN.get(character) or character.encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def lasting_output() -> Iterator[Output]:
    """Makes standard output and standard error an `Output` within the block. Gives the first of them."""
    _occupy_standard_files()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        outputs = [Output(stream or nowhere) for stream in before]  # None: it was closed before this program started
        sys.stdout, sys.stderr = (cast(TextIO, output) for output in outputs)
        try:
            yield outputs[0]
        finally:
            for output in outputs:
                output.drop_rest()
            sys.stdout, sys.stderr = before


def _occupy_standard_files() -> None:
    """Opens those of the files 0 to 2 that are closed. Libraries would write their messages into a checkpoint there."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
