"""The history of a run: rows, columns of numbers, a table and curves."""

from xml.etree import ElementTree

import pytest

from cnn_jax.runs.history import History
from cnn_jax.training.loop import Row


def rows(*, held_out: bool) -> list[Row]:
    found = []
    for epoch in (1, 2, 3):
        row = {"epoch": epoch, "train_loss": 0.5 / epoch, "train_accuracy": 0.9, "seconds": 1.25}
        found.append(row | ({"validation_loss": 0.6, "validation_accuracy": 0.8} if held_out else {}))
    return found


def test_history_is_a_list_of_rows_and_gives_columns_by_name() -> None:
    history = History(rows(held_out=False))
    assert history == rows(held_out=False)
    assert history[-1]["epoch"] == 3 and history[:1] == rows(held_out=False)[:1]
    assert history["train_loss"] == [0.5, 0.25, 0.5 / 3]
    assert history["validation_loss"] == []


def test_history_shows_itself_as_a_table_with_a_line_for_each_epoch() -> None:
    history = History(rows(held_out=True))
    assert repr(history).splitlines() == [
        "epoch   training loss   training accuracy   held-out loss   held-out accuracy   seconds",
        "    1          0.5000             90.00 %          0.6000             80.00 %       1.2",
        "    2          0.2500             90.00 %          0.6000             80.00 %       1.2",
        "    3          0.1667             90.00 %          0.6000             80.00 %       1.2",
    ]
    assert history._repr_html_().count("<tr>") == 4
    assert "held-out" not in repr(History(rows(held_out=False)))
    assert repr(History()) == "History()" and History()._repr_html_()
    assert repr(History([{"epoch": 1}])).split() == ["epoch", "seconds", "1", "-"]


@pytest.mark.parametrize(("held_out", "lines"), [(False, ["training"]), (True, ["training", "held-out"])])
def test_curves_are_drawn_of_every_split_that_has_numbers(*, held_out: bool, lines: list[str]) -> None:
    drawing = History(rows(held_out=held_out)).plot()
    root = ElementTree.fromstring(drawing._repr_svg_())
    said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("epoch", "loss", "accuracy in %"):
        assert text in said
    assert [text for text in said if text and text.endswith("images")] == 2 * [f"{name} images" for name in lines]
    assert repr(drawing) == "Svg(alt='loss and accuracy of 3 epochs')"


def test_empty_history_has_empty_curves() -> None:
    assert History().plot()._repr_svg_()
