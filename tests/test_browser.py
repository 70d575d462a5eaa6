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
