"""Pages are whole by themselves, escape what they show, and say in words what they draw."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cnn_jax.report import figures
from cnn_jax.report.page import Block, Figure, Page, Panel, Row, Scripts, Section, Table, render
from tests.browser import Browser

NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'


def page() -> str:
    drawing = figures.draw("a line that rises", lambda axes: axes.plot([0, 1], [0, 1], label=NASTY))
    table = Table(NASTY, [NASTY, "number"], [[NASTY, "1.5"], ["-", "22"]])
    blocks = [NASTY, table, Figure(drawing, NASTY), Row([Figure(drawing, NASTY)])]
    return render(Page(NASTY, NASTY, [Section(NASTY, blocks), Section("second", ["words"])], NASTY))


def html_of(block: Block) -> str:
    return render(Page("", "", [Section("", [block])], ""))


def test_everything_shown_is_escaped() -> None:
    html = page()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 11
    assert "{{ 7 * 7 }}" in html


def test_commands_are_code_and_the_words_around_them_are_not() -> None:
    words = "For <b>: python run.py --mode=summary --graph=FILE.svg. Or with --model=dense, -- and no more."
    html = render(Page("", "", [Section("", [words])], ""))
    assert (
        "<p>For &lt;b&gt;: <code>python run.py</code> <code>--mode=summary</code> <code>--graph=FILE.svg</code>. Or "
        "with <code>--model=dense</code>, -- and no more.</p>" in html
    )


def test_command_of_the_footer_is_code_too() -> None:
    html = render(Page("", "", [], "Made by python run.py --mode=lesson --runs=a/b,/c/d, and so on."))
    command = "<code>python run.py</code> <code>--mode=lesson</code> <code>--runs=a/b,/c/d</code>"
    assert f"<footer>Made by {command}, and so on.</footer>" in html


@pytest.mark.parametrize(("columns", "hint"), [(4, ""), (6, "hint"), (9, "hint many")])
def test_table_of_many_columns_says_on_a_narrow_screen_that_there_are_more(columns: int, hint: str) -> None:
    table = Table("", [str(column) for column in range(columns)], [["1"] * columns])
    found = re.findall(r'<p class="(hint.*?)">This table has (\d) columns: on a narrow', html_of(table))
    assert [(name.strip(), number) for name, number in found] == ([(hint, str(columns))] if hint else [])


def test_page_needs_no_other_file() -> None:
    html = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page())
    assert not re.search(r"<(link|script|iframe|object)\b|\b(src|srcset)=|@import|url\((?!#)", html)
    assert set(re.findall(r'href="([^"]*)"', html)) <= {
        "#section-1",
        "#section-2",
        *re.findall(r'href="(#[^"]*)"', html),
    }


def test_contents_link_to_the_sections() -> None:
    html = page()
    assert set(re.findall(r'href="#(section-\d)"', html)) == set(re.findall(r'id="(section-\d)"', html))


def test_figure_takes_the_page_s_colour_and_has_words() -> None:
    drawing = figures.draw("a line that rises", lambda axes: axes.plot([0, 1], [0, 1]))
    root = ElementTree.fromstring(drawing)
    assert (root.get("role"), root.get("aria-label")) == ("img", "a line that rises")
    assert "currentColor" in drawing
    assert "#000000" not in drawing


def test_same_drawing_gives_the_same_bytes() -> None:
    assert page() == page()


def test_numbers_are_aligned_to_the_right() -> None:
    table = Table("", ["a", "b"], [["x", "1.5"], ["y", "-"]])
    assert [table.is_numeric(0), table.is_numeric(1)] == [False, True]


def test_scripts_find_their_data_and_panels_and_cannot_be_closed_by_the_data(browser: Browser, tmp_path: Path) -> None:
    data = {"z": "</script><b>", "a": 1}
    source = """const data = JSON.parse(document.getElementById("data").textContent);
    for (const panel of document.querySelectorAll("[data-panel]")) panel.textContent = Object.keys(data) + data.z;"""
    blocks = [Panel("alone"), Row([Panel("one"), Panel("other")])]
    page = Page(
        "Live", "", [Section("Try it", blocks)], "", Scripts(".panel { color: green }", data, {"all.js": source})
    )
    path = tmp_path / "page.html"
    path.write_text(render(page))
    with browser.opened(path) as tab:
        found = tab.evaluate("[...document.querySelectorAll('[data-panel]')].map(panel => panel.textContent)")
        assert found == ["z,a</script><b>"] * 3
        assert tab.evaluate("getComputedStyle(document.querySelector('.panel')).color") == "rgb(0, 128, 0)"
        assert tab.complaints == []
