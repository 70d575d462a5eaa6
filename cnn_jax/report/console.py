"""What a command says on the terminal: results on standard output, progress and notes on standard error."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.table import Table
from tqdm import tqdm


class Console:
    """A terminal, or a file that stands in for one.

    progress: show a bar; None: where a person can see it move. rows: say what each epoch came to.
    """

    def __init__(self, *, progress: bool | None = None, rows: bool = True):
        self.shows_rows = rows
        self.shows_progress = sys.stderr.isatty() if progress is None else progress
        self._write: Callable[..., None] = print

    def line(self, text: str) -> None:
        """A line of the result."""
        self._write(text, file=sys.stdout)
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line that the user should know of, beside the result."""
        self._write(text, file=sys.stderr)

    @contextmanager
    def bar(self, epochs: int, epoch_steps: int) -> Iterator[Callable[[int, float, float, float], None]]:
        """A progress bar; gives a function of (step, loss, accuracy, images a second) that moves it."""
        layout = "{desc} |{bar}| {percentage:3.0f} % · {remaining} left"
        with tqdm(
            total=epochs * epoch_steps,
            bar_format=layout,
            leave=False,
            disable=not self.shows_progress,
            dynamic_ncols=True,
            mininterval=0.0,
            file=sys.stderr,
        ) as bar:

            def show(step: int, loss: float, accuracy: float, images_per_second: float) -> None:
                bar.set_description_str(
                    f"epoch {-(-step // epoch_steps)}/{epochs} · loss {loss:.4f} · accuracy {accuracy:.2%} · "
                    f"{images_per_second:,.0f} images/s",
                    refresh=False,
                )
                bar.update(step - bar.n)

            self._write = bar.write  # which moves the bar out of the way
            try:
                yield show
            finally:
                self._write = print

    def row(self, row: Mapping[str, Any], epochs: int) -> None:
        """A finished epoch."""
        if not self.shows_rows:
            return
        held_out = ""
        if "validation_loss" in row:
            held_out = f"   validation {row['validation_loss']:.4f}  {row['validation_accuracy']:.2%}"
        self.line(
            f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}   train loss {row['train_loss']:.4f}  accuracy "
            f"{row['train_accuracy']:.2%}{held_out}   {row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s"
        )

    def score(
        self, dataset: str, loss: float, accuracy: float, examples: int, outputs: Mapping[str, tuple[float, float]] = {}
    ) -> None:
        """What a dataset's test images say of a model. outputs: loss and accuracy of each, where it has several."""
        hits = f"mean of {len(outputs)} outputs" if outputs else f"{round(accuracy * examples):,} of {examples:,}"
        self.line(f"{dataset} test loss {loss:.4f}  accuracy {accuracy:.2%} ({hits})")
        for name, score in outputs.items():
            self.score(f"  {name}", *score, examples)

    def result(self, result: Mapping[str, Any]) -> None:
        """A finished run's numbers."""
        outputs = {name: (by["test_loss"], by["test_accuracy"]) for name, by in (result["outputs"] or {}).items()}
        loss, accuracy, examples = (result[f"test_{name}"] for name in ("loss", "accuracy", "examples"))
        self.score(result["dataset"], loss, accuracy, examples, outputs)
        host, saving = (result[f"{name}_seconds"] / (result["train_seconds"] or 1) for name in ("host", "saving"))
        stopped = f" until its time was over, {result['steps']:,} steps" if result["status"] == "stopped" else ""
        self.line(
            f"trained {result['train_seconds']:.1f} s{stopped} ({result['images_per_second']:,.0f} images/s, "
            f"{host:.2%} of it waiting for the host, {saving:.2%} for checkpoints), "
            f"compiled {result['compile_seconds']:.1f} s, evaluated {result['evaluate_seconds']:.1f} s"
        )

    def seeds(self, result: Mapping[str, Any]) -> None:
        """The numbers of many seeds, each and all."""
        names, shown = ("test_loss", "test_accuracy", "train_seconds"), ("{:.4f}", "{:.2%}", "{:.1f}")
        rows = [
            [str(seed["seed"]), seed["status"]]
            + [
                text.format(seed[name]) if seed["test_loss"] is not None else "-"
                for name, text in zip(names, shown, strict=True)
            ]
            for seed in result["seeds"]
        ]
        self.table(f"{len(rows)} seeds", ["seed", "status", "test loss", "test accuracy", "trained, s"], rows)
        if result["n"] == 0:
            self.line("no seed is done: nothing can be said of the model")
            return
        for title, name, scale, form, unit in (
            ("test loss", "test_loss", 1, ".4f", ""),
            ("test accuracy", "test_accuracy", 100, ".2f", " %"),
            ("training time", "train_seconds", 1, ".1f", " s a seed"),
        ):
            mean, interval = result["mean"][name], result["ci95"][name]
            spread = f" ± {scale * (interval[1] - mean):{form}}" if interval else ""
            self.line(
                f"{result['dataset']} {title} {scale * mean:{form}}{spread}{unit} "
                f"({'95 % CI, ' if interval else 'no interval, '}n = {result['n']})"
            )
        if result["n"] == 1:
            self.line("one seed says nothing of the spread: train more for an interval")

    def table(self, title: str, headings: list[str], rows: list[list[str]], footer: str = "") -> None:
        """A table; columns whose first entry begins with a digit are set to the right."""
        table = Table(title=title, title_justify="left", caption=footer, caption_justify="left")
        for index, heading in enumerate(headings):
            numeric = bool(rows) and rows[0][index][:1].isdigit()
            table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        # A file or a pipe has no width: lines stay whole there.
        width = None if sys.stdout.isatty() else 200
        RichConsole(highlight=False, markup=False, width=width).print(table)
