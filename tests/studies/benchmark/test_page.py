"""A benchmark's page shows the record, and every browser and reader can use it."""

from pathlib import Path

from cnn_jax.studies.benchmark import page
from tests.browser import Browser, require_sound
from tests.studies.benchmark.made import whole_content


def test_page_is_sound_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "benchmark.html"
    path.write_text(page.page(whole_content()))
    require_sound(browser, path)


def test_page_shows_every_table_of_the_record() -> None:
    content = whole_content()
    shown, tables = page.page(content), list(page.tables(content))
    assert len(tables) == 4
    for table in tables:
        assert f"<caption>{table.title}</caption>" in shown
        assert all(len(row) == len(table.headings) for row in table.rows)
    assert [row[-1] for row in page.baseline_table(content).rows] == ["not slower"]
