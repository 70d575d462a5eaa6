"""The browser of the page tests sees what is wrong with a page."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.browser import Browser, require_sound

PAGE = "<!doctype html><title>page</title><body style='margin: 0'>{}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<script>console.error('ouch')</script>", "ouch"),
        ("<script>not_there()</script>", "not_there is not defined"),
        ("<img src='not_there.png'>", "ERR_FILE_NOT_FOUND"),
        ("<img src='http://127.0.0.1:9/picture.png'>", "http://127.0.0.1:9/picture.png"),
        ("<script>fetch('http://127.0.0.1:9/data').catch(() => 0)</script>", "http://127.0.0.1:9/data"),
        ("<div style='width: 500px'>wide</div>", "sideways"),
    ],
)
def test_unsound_page_is_told_from_a_sound_one(browser: Browser, tmp_path: Path, content: str, said: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE.format("<p>words</p>"))
    require_sound(browser, page)
    page.write_text(PAGE.format(content))
    with pytest.raises(AssertionError, match=said):
        require_sound(browser, page)


def test_screenshot_shows_the_whole_page_at_the_width_and_in_the_colours_asked_for(
    browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    style = (
        "<style>body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }</style>"
    )
    page.write_text(PAGE.format(f"{style}<div style='height: 2000px'></div>"))
    for width, dark in ((400, False), (1280, True)):
        picture = Image.open(BytesIO(browser.visit(page, width=width, dark=dark).screenshot)).convert("L")
        assert picture.size == (width, 2000)
        assert picture.getpixel((5, 1990)) == (0 if dark else 255)


LISTENING = """<canvas width='100' height='100' tabindex='0' style='touch-action: none'></canvas><script>
const seen = [], note = event => seen.push(`${event.type} ${event.pointerType || event.key || ""}`.trim());
for (const kind of ["pointerdown", "pointermove", "pointerup", "click", "keydown"]) addEventListener(kind, note);
</script>"""


def test_reader_s_actions_reach_the_page(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(LISTENING))
    with browser.opened(page, link="#there", before="window.first = true") as tab:
        assert tab.evaluate("[location.hash, window.first]") == ["#there", True]
        assert tab.place("canvas", 0.1, 0.2) == (10, 20)
        tab.drag([(10, 10), (20, 20)])
        tab.touch([(10, 10), (60, 60)])
        tab.focus("canvas")
        tab.press("ArrowRight")
        seen = tab.evaluate("[...new Set(seen)]")
    assert seen[:4] == ["pointerdown mouse", "pointermove mouse", "pointerup mouse", "click mouse"]
    assert {"pointerdown touch", "pointermove touch", "pointerup touch", "keydown ArrowRight"} <= set(seen)


def test_work_counts_the_page_s_own_time(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE.format("words"))
    with browser.opened(page) as tab:
        assert tab.work("new Promise(done => setTimeout(done, 300))") < 0.2
        assert tab.work("(() => { let sum = 0; for (let at = 0; at < 3e8; at++) sum += at; return sum; })()") > 0.05
