"""A benchmark's page shows the record, and every browser and reader can use it."""

import re
from pathlib import Path

import pytest

from cnn_jax.studies.benchmark import page
from tests.browser import Browser, require_sound
from tests.studies.benchmark.made import whole_content


@pytest.mark.slow
def test_page_is_sound_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "benchmark.html"
    path.write_text(page.page(whole_content()))
    require_sound(browser, path)


def test_page_shows_every_table_of_the_record() -> None:
    content = whole_content()
    shown, tables = page.page(content), list(page.tables(content))
    assert len(tables) == 10
    for table in tables:
        assert f"<caption>{table.title}</caption>" in shown or table.title == "What else differs"
        assert all(len(row) == len(table.headings) for row in table.rows)
    verdicts = [row[-1] for table in tables if "verdict" in table.headings for row in table.rows]
    assert verdicts == ["faster", "faster"]
    assert "<p>conditions.used_by_others: 0.3 in the baseline, 0.0 now.</p>" in shown
    assert content["sha256"] in shown


@pytest.mark.slow
def test_page_says_what_is_not_known_and_what_to_do() -> None:
    shown = page.page(whole_content())
    for words in (
        "2 of 3 seeds reached 99 % within 5 epochs: there is no mean. Train longer with",
        "Other programs used 30 % of the cores while before/benchmark.json was measured. Measure it again",
        "<td>temperature</td><td>unknown</td><td>unknown</td>",
    ):
        assert words in shown


def test_no_table_has_more_columns_than_a_phone_shows() -> None:
    for table in [*page.tables(whole_content()), page.state_table(whole_content())]:
        columns = zip(table.headings, *table.rows, strict=True)
        # Headings are broken between words, cells are not.
        if table.title == "What else differs":  # text on a page
            continue
        widths = [
            max(map(len, [*re.split(r"[ -]", heading), *cells])) for heading, *cells in columns if heading or cells
        ]
        assert sum(widths) <= 50, (table.title, widths)
