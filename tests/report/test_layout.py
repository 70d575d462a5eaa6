"""Pages in a browser: nothing is cut off between 375 and 1920 pixels, light or dark, or on paper."""

from pathlib import Path

import numpy as np
import pytest

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Block, Figure, Page, Row, Section, Table, render
from tests.browser import Browser

WIDTHS = (375, 560, 768, 1280, 1920)
PAPER = {"A4": (680, 1009), "Letter": (703, 943)}  # CSS pixels between margins of 15 mm

# Says on the console which table hides columns without a hint. On paper nothing may be hidden or higher than a page.
COMPLAIN = """<script>
for (const region of document.querySelectorAll(".wide")) {
  const hint = region.previousElementSibling;
  const isSaid = hint && hint.matches(".hint") && getComputedStyle(hint).display !== "none";
  if (region.scrollWidth > region.clientWidth + 1 && !isSaid) console.error("hidden: " + region.textContent.trim());
}
for (const figure of document.querySelectorAll("figure"))
  if (figure.offsetHeight > HEIGHT) console.error("higher than a page: " + figure.textContent.trim());
</script>"""


@pytest.fixture(scope="module")
def html() -> str:
    tall = figures.compose("a tall drawing", lambda drawing: drawing.add_subplot(), size=(3.0, 12.0))
    maps = pictures.mosaic("32 maps of 26 x 26", np.random.default_rng(0).normal(size=(26, 26, 32)))
    drawn = [Figure(drawing, "A drawing, with a caption of more than a few words.") for drawing in (tall, maps)]
    blocks: list[Block] = [
        "Run python run.py --mode=lesson --workdir=runs/lesson --runs=runs/lecture_cnn-mnist-seed0 and look at it.",
        *drawn,
        Row(drawn[1:] * 3),
        *(_table(columns) for columns in (2, 4, 6, 8)),
    ]
    return render(Page("A page", "What it is about.", [Section("Everything", blocks)] * 2, "Made by hand."))


def _table(columns: int) -> Table:
    rows = [["layer_0", *["1,234,567"] * (columns - 1)]] * 3
    return Table(f"{columns} columns", ["layer", *["parameters"] * (columns - 1)], rows)


def complaints(browser: Browser, page: Path, html: str, width: int, height: float, *, dark: bool = False) -> list[str]:
    page.write_text(html + COMPLAIN.replace("HEIGHT", str(height)))
    visit = browser.visit(page, width=width, dark=dark)
    return [*visit.complaints, *([f"a reader must scroll sideways: {visit.width}"] if visit.width > width else [])]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_without_a_hint(browser: Browser, html: str, tmp_path: Path, width: int) -> None:
    assert complaints(browser, tmp_path / "page.html", html, width, 1e9, dark=width == 768) == []


@pytest.mark.parametrize("paper", PAPER)
def test_nothing_is_cut_off_on_paper(browser: Browser, html: str, tmp_path: Path, paper: str) -> None:
    printed = html.replace("@media print", "@media all")
    assert printed != html
    assert complaints(browser, tmp_path / "page.html", printed, *PAPER[paper]) == []
