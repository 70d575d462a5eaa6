"""The terminal: results go to standard output, progress and notes to standard error. A notebook gets its own bar."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any, Literal, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.table import Table as RichTable

from cnn_jax.display import in_notebook, notebook_place
from cnn_jax.errors import printable
from cnn_jax.report import estimates
from cnn_jax.report.format import duration_estimate, loss_estimate, percent, percent_estimate
from cnn_jax.report.tables import Table, seeds_table

_REFRESH_SECONDS = 0.25
_BAR_AND_TIME_WIDTH = 17  # columns for a short bar and the remaining time
_WIDTH_OF_A_FILE = 200  # a file or a pipe has no width: lines stay whole there
_PADDING = 3  # columns between two cells of a table, with the line between them
_LONGEST_WORD = 24  # longer ones, as paths, may be broken

ShowProgress = Callable[[int, Any, float], None]  # step, a score, images a second
_Update = Callable[[int, list[str], bool], None]  # step, parts of the text beside the bar, whether to draw it now


class Console:
    """A terminal, or a file that stands in for one.

    progress: whether to show a progress bar; None means on a terminal and in a notebook. rows: whether to print a line
    for each epoch. is_silent: of one of several processes that is not the first; it prints nothing.
    """

    def __init__(self, *, progress: bool | None = None, rows: bool = True, is_silent: bool = False):
        self.shows_rows, self.is_silent = rows, is_silent
        self.shows_progress = not is_silent and (in_notebook() or _moves_its_cursor() if progress is None else progress)
        self._progress: Progress | None = None

    def line(self, text: str) -> None:
        """Prints a line of the result."""
        self._print(text, sys.stdout)

    def note(self, text: str) -> None:
        """Prints a line that the user should know, but that is no result."""
        self._print(text, sys.stderr)

    def _print(self, text: str, file: TextIO) -> None:
        if self.is_silent:
            return
        if self._progress:
            self._progress.stop()  # takes the bar away, so that the text does not end up in the same line
        print(printable(text), file=file, flush=True)  # a path in it may hold any character
        if self._progress:
            _start(self._progress)

    @contextmanager
    def bar(self, epochs: int, epoch_steps: int) -> Iterator[ShowProgress]:
        """A progress bar for `epochs * epoch_steps` steps. On a terminal it is one line that disappears at the end.

        Gives a function of (step, score, images a second) that updates the bar a few times a second at most.
        """
        if not self.shows_progress:
            yield lambda *_: None
            return
        bar = self._notebook_bar if in_notebook() else self._terminal_bar
        with bar(epochs * epoch_steps, f"epoch 1/{epochs}") as update:
            last_refresh = 0.0

            def show(step: int, score: Any, images_per_second: float) -> None:
                nonlocal last_refresh
                parts = [
                    f"epoch {-(-step // epoch_steps)}/{epochs}",
                    f"loss {score.loss:.4f}",
                    f"accuracy {percent(score.accuracy)}",
                    *(f"{name} {value:.4g}" for name, value in score.metrics.items()),
                    f"{images_per_second:,.0f} images/s",
                ]
                is_due = time.monotonic() - last_refresh >= _REFRESH_SECONDS
                update(step, parts, is_due)
                if is_due:
                    last_refresh = time.monotonic()

            yield show

    @contextmanager
    def _terminal_bar(self, steps: int, text: str) -> Iterator[_Update]:
        """text: what stands beside the bar before the first update."""
        progress = self._progress = _one_line_progress()
        task = progress.add_task(text, total=steps)

        def update(step: int, parts: list[str], is_due: bool) -> None:
            text = _fitting(parts, progress.console.width - _BAR_AND_TIME_WIDTH)
            progress.update(task, completed=step, description=text, refresh=is_due)

        _start(progress)
        try:
            yield update
        finally:
            progress.stop()
            self._progress = None

    @contextmanager
    def _notebook_bar(self, steps: int, text: str) -> Iterator[_Update]:
        """It stays below its cell and shows the end of the training. text: as of `_terminal_bar`."""
        place, shown = notebook_place(), ("", "")

        def update(step: int, parts: list[str], is_due: bool) -> None:
            nonlocal shown
            text = " · ".join(parts)
            shown = f'<progress value="{step}" max="{steps}"></progress> {escape(text)}', text
            if is_due:
                place(*shown)

        update(0, [text], True)
        try:
            yield update
        finally:
            place(*shown)

    def row(self, row: Mapping[str, Any], epochs: int) -> None:
        """Prints a finished epoch. row: as in `metrics.jsonl`."""
        if not self.shows_rows:
            return
        validation = ""
        if "validation_loss" in row:
            validation = f"   validation {row['validation_loss']:.4f}  {percent(row['validation_accuracy'])}"
            validation += _metrics(row, "validation")
        self.line(
            f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}   train loss {row['train_loss']:.4f}  accuracy "
            f"{percent(row['train_accuracy'])}{_metrics(row, 'train')}{validation}   {row['seconds']:.1f} s  "
            f"{row['images_per_second']:,.0f} images/s"
        )

    def score(
        self, images: str, loss: float, accuracy: float, examples: int, outputs: Mapping[str, tuple[float, float]] = {}
    ) -> None:
        """Prints a model's score on images, which are named as in `mnist test`.

        outputs: loss and accuracy of each output, where a model has several.
        """
        hits = f"mean of {len(outputs)} outputs" if outputs else f"{round(accuracy * examples):,} of {examples:,}"
        self.line(f"{images} loss {loss:.4f}  accuracy {percent(accuracy)} ({hits})")
        for name, score in outputs.items():
            self.score(f"  {name} test", *score, examples)

    def metrics(self, dataset: str, metrics: Mapping[str, float]) -> None:
        """Prints the metrics of an experiment on a dataset's test images."""
        if metrics:
            self.line(f"{dataset} test " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    def result(self, result: Mapping[str, Any]) -> None:
        """Prints a finished run's numbers. result: as in `result.json`."""
        outputs = {name: (by["test_loss"], by["test_accuracy"]) for name, by in (result["outputs"] or {}).items()}
        loss, accuracy, examples = (result[f"test_{name}"] for name in ("loss", "accuracy", "examples"))
        if result["best_epoch"]:
            self.line(
                f"scored epoch {result['best_epoch']} of {result['epochs']}, the best on held-out images: validation "
                f"loss {result['best_validation_loss']:.4f}  accuracy {percent(result['best_validation_accuracy'])}"
            )
        self.score(f"{result['dataset']} test", loss, accuracy, examples, outputs)
        metrics = result["test_metrics"] or {}
        is_the_loss = metrics.get("cross_entropy") == loss
        self.metrics(result["dataset"], {n: v for n, v in metrics.items() if n != "cross_entropy" or not is_the_loss})
        host, saving = (result[f"{name}_seconds"] / (result["train_seconds"] or 1) for name in ("host", "saving"))
        stopped = f" until the time limit, {result['steps']:,} steps" if result["status"] == "stopped" else ""
        self.line(
            f"trained {result['train_seconds']:.1f} s{stopped} ({result['images_per_second']:,.0f} images/s, "
            f"{percent(host)} host overhead, {percent(saving)} checkpoints), "
            f"compiled {result['compile_seconds']:.1f} s, evaluated {result['evaluate_seconds']:.1f} s"
        )

    def seeds(self, result: Mapping[str, Any]) -> None:
        """Prints the numbers of several seeds, of each and of all. result: as in their common `result.json`."""
        self.table(seeds_table(f"{len(result['seeds'])} seeds", result["seeds"]))
        if result["n"] == 0:
            self.line("no seed is done: there is no score of the model")
            return
        found = {name: estimates.of_seeds(result, name) for name in result["mean"]}
        for title, name, form, unit in (
            ("test loss", "test_loss", loss_estimate, ""),
            ("test accuracy", "test_accuracy", percent_estimate, ""),
            ("training time", "train_seconds", duration_estimate, " a seed"),
        ):
            kind = "95 % CI, " if found[name]["interval"] else "no interval, "
            self.line(f"{result['dataset']} {title} {form(found[name])}{unit} ({kind}n = {result['n']})")
        for name in [name for name in found if name not in ("test_loss", "test_accuracy", "train_seconds")]:
            self.line(f"{result['dataset']} test {name} {loss_estimate(found[name])} (n = {result['n']})")
        if result["n"] == 1:
            self.line("one seed does not show how much seeds differ: train more seeds for an interval")
        for remark in estimates.remarks(found.values()):
            self.line(remark)

    def report(self, tables: Iterable[Table], sentences: Iterable[str]) -> None:
        """Prints the tables of a study, and below them its results in words."""
        for table in tables:
            self.table(table)
        for sentence in sentences:
            self.line(sentence)

    def table(self, table: Table) -> None:
        """Prints a table. Where its columns would have to break words to fit the terminal, each row becomes a list."""
        if self.is_silent:
            return
        width = RichConsole(file=sys.stdout).width if sys.stdout.isatty() else _WIDTH_OF_A_FILE
        widths = _column_widths(table, width)
        if widths is None:
            self._print_as_lists(table)
            return
        shown = RichTable()
        for column, heading in enumerate(table.headings):
            justify: Any = "right" if table.is_numeric(column) else "left"
            shown.add_column(heading, justify=justify, overflow="fold", width=widths[column])
        for row in table.rows:
            shown.add_row(*row)
        terminal = RichConsole(
            file=sys.stdout, highlight=False, markup=False, width=width, color_system=_color_system()
        )
        terminal.print(table.title, style="table.title")  # as a title of the table it would wrap at the table's width
        terminal.print(shown)

    def _print_as_lists(self, table: Table) -> None:
        """Prints each row as a list of its headings and cells."""
        widest = max(map(cell_len, table.headings))
        self.line(table.title)
        for row in table.rows:
            self.line("")
            for heading, cell in zip(table.headings, row, strict=True):
                self.line(f"  {set_cell_size(heading, widest)}  {cell}".rstrip())
        self.line("")


def fits(table: Table, width: int) -> bool:
    """Whether a table is printed within `width` columns without a line break in any cell."""
    columns = zip(table.headings, *table.rows, strict=True)
    return sum(max(map(cell_len, column)) + _PADDING for column in columns) + 1 <= width


def _metrics(row: Mapping[str, Any], split: str) -> str:
    """The metrics of an epoch beside loss and accuracy, as in `  margin 0.8123`."""
    known = {f"{split}_loss", f"{split}_accuracy"}
    names = [name for name in row if name.startswith(f"{split}_") and name not in known and "/" not in name]
    return "".join(f"  {name.removeprefix(f'{split}_')} {row[name]:.4g}" for name in names)


def _moves_its_cursor() -> bool:
    """Whether standard error is a terminal that can draw a bar over the one before."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _color_system() -> Literal["auto"] | None:
    """How Rich finds the colours of a terminal; None for no colours and no bold letters (https://no-color.org)."""
    return None if os.environ.get("NO_COLOR") else "auto"


def _one_line_progress() -> Progress:
    """A progress bar that only `update` and `start` draw: no thread of its own runs beside the training."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        console=RichConsole(file=sys.stderr, force_terminal=True, color_system=_color_system()),
        transient=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        expand=True,
    )


def _start(progress: Progress) -> None:
    """Shows the bar and the cursor: a process that is killed could not show the cursor again."""
    progress.start()
    progress.console.show_cursor(True)


def _fitting(parts: list[str], width: int) -> str:
    """The first of the parts, as many as fit into the width; at least one."""
    while len(parts) > 1 and len(" · ".join(parts)) > width:
        parts = parts[:-1]
    return " · ".join(parts)


def _column_widths(table: Table, width: int) -> list[int] | None:
    """The columns' widths in a table that fits into `width`; None where that would break words."""
    columns = [[heading, *cells] for heading, *cells in zip(table.headings, *table.rows, strict=True)]
    least = [max(_longest_word(cell) for cell in column) for column in columns]
    widths = [max(map(cell_len, column)) for column in columns]
    available = width - _PADDING * len(columns) - 1
    if sum(least) > available:
        return None
    while sum(widths) > available:  # narrows the column that has the most to spare
        spare = [now - fewest for now, fewest in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _longest_word(cell: str) -> int:
    return max((min(cell_len(word), _LONGEST_WORD) for word in cell.split()), default=0)
