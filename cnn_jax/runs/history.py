"""The history of a run: a row for each epoch, as a table and as curves."""

from collections.abc import Callable
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnn_jax.display import Svg, html_table, text_table
from cnn_jax.report import figures
from cnn_jax.report.format import MISSING, loss, percent
from cnn_jax.training.loop import Row

_SPLITS = {"train": "training", "validation": "held-out"}


class History(list[Row]):
    """The rows of `metrics.jsonl` in the order of the epochs, which show themselves as a table.

    `history[-1]` is the last row; `history["train_loss"]` is the list of this number, of every row that has it.
    """

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self if key in row] if isinstance(key, str) else super().__getitem__(key)

    def plot(self) -> Svg:
        """Loss and accuracy by epoch, of training images and, where there are any, of held-out images."""
        axes = {"loss": "loss", "accuracy": "accuracy in %"}
        paints = [partial(self._curves, number=number, label=label) for number, label in axes.items()]
        alt = f"loss and accuracy of {len(self)} epochs"
        return Svg(alt, figures.as_svg_file(figures.panels(alt, paints, columns=2, cell=(4.2, 3.2))))

    def _curves(self, axes: Axes, number: str, label: str) -> None:
        for index, (split, name) in enumerate(_SPLITS.items()):
            points = [(row["epoch"], row[f"{split}_{number}"]) for row in self if f"{split}_{number}" in row]
            if points:
                epochs, values = zip(*points, strict=True)
                scale = 100 if number == "accuracy" else 1
                scaled = [scale * value for value in values]
                axes.plot(epochs, scaled, label=f"{name} images", **figures.line_style(index))
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(fontsize=9)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows."""
        splits = [split for split in _SPLITS if self[f"{split}_loss"]]
        headings = [f"{_SPLITS[split]} {number}" for split in splits for number in ("loss", "accuracy")]
        forms: dict[str, Callable[[float], str]] = {"loss": loss, "accuracy": percent}

        def cells(row: Row) -> list[str]:
            return [_cell(row, f"{split}_{number}", form) for split in splits for number, form in forms.items()]

        return ["epoch", *headings, "seconds"], [
            [_cell(row, "epoch", str), *cells(row), _cell(row, "seconds", "{:.1f}".format)] for row in self
        ]

    def __repr__(self) -> str:
        return text_table(*self._table()) if self else "History()"

    def _repr_html_(self) -> str:
        return html_table(*self._table())


def _cell(row: Row, name: str, form: Callable[[float], str]) -> str:
    return form(row[name]) if name in row else MISSING
