"""The live parts as a reader uses them: strokes, clicks, keys, touch, files and links, in headless Chromium."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser import Browser, Tab, require_sound
from tests.studies.lesson.live.conftest import COMPUTED, SMALL, trained

PAPER = "canvas.paper"
SEVEN = [(0.3, 0.2), (0.5, 0.2), (0.7, 0.2), (0.6, 0.5), (0.5, 0.8)]
QUIET = "new Promise(done => setTimeout(done, 400))"


PAPERS = {"A4": (680, 8.27, 11.69), "Letter": (703, 8.5, 11.0)}  # CSS pixels between margins of 15 mm; inches


def maps(layer: int, network: int = 0) -> str:
    """The selector of a layer's picture."""
    return f'[data-panel=maps] canvas[data-network="{network}"][data-layer="{layer}"]'


def field(tab: Tab, name: str) -> object:
    """A field of the page's state."""
    return tab.evaluate(f"(value => ArrayBuffer.isView(value) ? Array.from(value) : value)(Lesson.state.fields.{name})")


def words(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def answers(tab: Tab) -> list[str]:
    tab.evaluate(COMPUTED)
    return [words(tab, f"[data-panel=probabilities] section:nth-child({number})") for number in (1, 2, 3)]


def points(tab: Tab, shares: list[tuple[float, float]] = SEVEN) -> list[tuple[float, float]]:
    return [tab.place(PAPER, *share) for share in shares]


def test_reader_draws_chooses_a_unit_and_sends_a_link(browser: Browser, page: Path, tab: Tab) -> None:
    """The one whole session of the default run."""
    before = answers(tab)
    tab.drag(points(tab))
    tab.evaluate(QUIET)
    drawn = answers(tab)
    assert all(one != other for one, other in zip(before, drawn, strict=True))
    tab.click(maps(3), 0.3, 0.3)
    unit = field(tab, "unit")
    name = words(tab, "[data-panel=unit] .name")
    assert name == f"With pooling, layer 3: Conv_1, map {unit[2]}, row {unit[0]}, column {unit[1]}"
    tab.evaluate(QUIET)
    link = str(tab.evaluate("location.hash"))
    assert f"unit={','.join(map(str, unit))}" in link and "strokes=" in link
    with browser.opened(page, link=link) as opened:
        assert answers(opened) == drawn
        assert words(opened, "[data-panel=unit] .name") == name
        assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_on_paper_nothing_is_cut_and_there_are_no_buttons_to_press(tab: Tab, paper: str) -> None:
    width, *inches = PAPERS[paper]
    tab.put_on_paper(width)
    cut = """[...document.querySelectorAll(".panel canvas, .panel table, .panel figure, .panel svg")]
      .filter(each => each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 1)
      .map(each => each.closest(".panel").dataset.panel)"""
    assert tab.evaluate(cut) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.querySelectorAll('.buttons')].filter(each => each.checkVisibility()).length") == 0
    printed = tab.pdf(*inches)
    assert printed.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", printed)) >= 4


@pytest.mark.slow
def test_finger_draws_as_a_mouse_does_and_undo_takes_the_stroke_back(tab: Tab) -> None:
    tab.drag(points(tab))
    of_mouse = field(tab, "seen")
    tab.click("[data-act=undo]")
    assert not any(field(tab, "seen"))
    tab.touch(points(tab))
    of_finger = field(tab, "seen")
    assert np.abs(np.subtract(of_mouse, of_finger)).max() <= 64  # a touch's coordinates may be whole pixels
    tab.click("[data-act=clear]")
    assert field(tab, "drawing.strokes") == []


@pytest.mark.slow
def test_without_mnist_s_form_the_place_of_the_drawing_matters(tab: Tab) -> None:
    small = [(0.1 + x / 4, 0.1 + y / 4) for x, y in SEVEN]
    tab.drag(points(tab, small))
    in_form = np.reshape(field(tab, "seen"), (28, 28))
    assert in_form.any(axis=1).sum() == 20
    for axis in (0, 1):
        centre = np.average(np.arange(28), weights=in_form.sum(axis=1 - axis))
        assert abs(centre - 14) <= 0.5
    tab.click("[name=form]")
    as_drawn = np.reshape(field(tab, "seen"), (28, 28))
    assert as_drawn[:11, :11].any() and not as_drawn[12:].any()
    assert "2. The whole paper in 28 x 28 pixels" in words(tab, "[data-step=seen]")


@pytest.mark.slow
def test_stroke_is_answered_within_50_ms(browser: Browser, write_page: Callable[..., Path], tmp_path: Path) -> None:
    page = write_page(tmp_path, [trained("With pooling"), trained("Without pooling", pooling=False)])
    with browser.opened(page) as opened:
        opened.evaluate(COMPUTED)
        seconds = opened.work(
            """(async () => { const stroke = [0.2, 0.2]; for (let at = 0; at < 20; at++) {
            stroke.push(0.2 + at / 50, 0.2 + (at % 3) / 5);
            Lesson.state.set({drawing: {kind: "strokes", strokes: [[...stroke]]}});
            await new Promise(requestAnimationFrame); } })()"""
        )
        assert seconds / 20 < 0.05
        assert opened.complaints == []


@pytest.mark.slow
def test_numbers_of_a_unit_add_up_to_its_output(tab: Tab) -> None:
    tab.click(maps(5), 0.4, 0.4)
    layer, unit = field(tab, "layer"), field(tab, "unit")
    tab.evaluate("document.querySelector('[data-panel=unit] details').open = true")
    tab.evaluate(QUIET)
    rows = tab.evaluate(
        "[...document.querySelectorAll('[data-panel=unit] details tbody tr')].map(row => [...row.cells].map(cell => "
        "cell.textContent.replaceAll('\\u2212', '-')))"
    )
    assert len(rows) == 8
    total = 0.0
    for _, window, kernel, channel_sum in rows:
        products = np.array(window.split(), float) * np.array(kernel.split(), float)
        assert products.sum() == pytest.approx(float(channel_sum), abs=0.02)
        total += float(channel_sum)
    row, column, filter_ = unit
    bias = SMALL[0].variables["params"]["Conv_2"]["bias"][filter_]
    sums = tab.evaluate(f"Array.from(Lesson.state.fields.maps[0][{layer}].sums)")
    assert total + bias == pytest.approx(np.reshape(sums, (3, 3, 16))[row, column, filter_], abs=0.02)


@pytest.mark.slow
def test_pooling_shows_which_number_won(tab: Tab) -> None:
    tab.click(maps(2), 0.3, 0.5)
    row, column, channel = field(tab, "unit")
    before = np.reshape(tab.evaluate("Array.from(Lesson.state.fields.maps[0][1].values)"), (26, 26, 4))
    window = before[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
    marked = words(tab, "[data-panel=unit] .arithmetic td.marked")
    assert float(marked.replace("\u2212", "-")) == pytest.approx(window.max(), abs=0.001)


@pytest.mark.slow
def test_pointing_says_the_receptive_field_and_what_is_fed(tab: Tab) -> None:
    tab.evaluate("Lesson.state.set({pointed: {network: 0, layer: 3, unit: [5, 7, 2]}})")
    assert "It sees rows 10 to 17, columns 14 to 21 of the picture." in words(tab, ".readout")
    assert "It feeds row 2, column 3 of map 2 of MaxPool_1." in words(tab, ".readout")
    tab.evaluate("Lesson.state.set({pointed: {network: 0, layer: 3, unit: [10, 7, 2]}})")
    assert "pooling leaves out an odd last row or column" in words(tab, ".readout")
    tab.evaluate("Lesson.state.set({pointed: {network: 0, layer: 2, unit: [0, 4, 2]}})")
    assert "It feeds row 0, columns 2 to 4 of all 8 maps of Conv_1." in words(tab, ".readout")
    tab.hover(maps(1), 0.2, 0.2)
    assert field(tab, "pointed.layer") == 1
    tab.hover("h1")
    assert field(tab, "pointed") is None


@pytest.mark.slow
def test_keys_reach_a_unit_and_move_its_window(tab: Tab) -> None:
    tab.focus(maps(3))
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "PageDown", "Enter"):
        tab.press(key)
    assert (field(tab, "layer"), field(tab, "unit")) == (3, [1, 2, 1])
    tab.focus("[data-panel=unit] .sliding input")
    tab.press("ArrowRight")
    assert field(tab, "unit") == [1, 3, 1]
    tab.click("[data-panel=unit] [data-move=last]")
    assert field(tab, "unit") == [10, 10, 1]


@pytest.mark.slow
def test_template_slides_over_the_letter_and_both_can_be_edited(tab: Tab) -> None:
    panel = "[data-panel=stepper]"
    assert "mean is 7/9 = 0.78" in words(tab, f"{panel} .sum")
    tab.click(f"{panel} [data-act=letter][data-index='0']")  # the pixel that was wrong
    assert "mean is 9/9 = 1.00" in words(tab, f"{panel} .sum")
    assert tab.evaluate(f"document.querySelector('{panel} [name=letter]').value") == ""
    tab.click(f"{panel} [data-move=last]")
    filled = tab.evaluate(f"[...document.querySelectorAll('{panel} .map td')].map(cell => cell.textContent)")
    assert len(filled) == 49 and all(filled)
    tab.focus(f"{panel} [data-act=template]")
    tab.press("ArrowRight")
    tab.press(" ")
    assert field(tab, "template[1]") == 1
    tab.evaluate(QUIET)
    assert "letter=1" in str(tab.evaluate("location.hash"))


def give(tab: Tab, name: str, content: bytes) -> str:
    """Drops a file onto the paper; returns what the page says about it."""
    tab.evaluate(
        f"""(async () => {{ const file = new File([Uint8Array.from(atob("{base64.b64encode(content).decode()}"),
        sign => sign.charCodeAt(0))], "{name}"); const given = new DataTransfer(); given.items.add(file);
        document.querySelector("{PAPER}").dispatchEvent(new DragEvent("drop", {{bubbles: true, cancelable: true,
        dataTransfer: given}})); await new Promise(done => setTimeout(done, 1500)); }})()"""
    )
    return words(tab, ".said")


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
def test_picture_is_read_and_a_bad_file_gets_a_sentence(tab: Tab) -> None:
    page = np.full((300, 200), 240, np.uint8)
    page[60:240, 90:110] = 30
    assert give(tab, "one.png", png(page)) == ""
    bar = np.reshape(field(tab, "seen"), (28, 28))
    assert bar[4:24, 14:16].min() > 200 and not bar[:, :10].any()
    before = field(tab, "seen")
    assert give(tab, "nothing.png", b"") == "nothing.png is empty: it has 0 bytes. Choose another file."
    assert "notes.txt is no picture that this browser can read" in give(tab, "notes.txt", b"words")
    huge = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(huge, "PNG")
    assert "huge.png has 10,000 x 10,000 pixels, which are over 50 million" in give(tab, "huge.png", huge.getvalue())
    assert "The picture is blank" in give(tab, "blank.png", png(np.full((50, 50), 200, np.uint8)))
    assert field(tab, "seen") == before


@pytest.mark.slow
def test_browser_without_workers_leaves_out_the_slow_network_and_says_so(
    browser: Browser, write_page: Callable[..., Path], tmp_path: Path
) -> None:
    page = write_page(tmp_path, [trained("With pooling"), trained("Without pooling", pooling=False)])
    with browser.opened(page, before="delete window.Worker") as opened:
        assert "This browser has no workers" in words(opened, "[data-panel=probabilities] section:nth-child(2)")
        opened.drag(points(opened))
        assert "%" in words(opened, "[data-panel=probabilities] section:nth-child(1)")
        assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "link",
    ["#layer=99&unit=1,2,3", "#unit=1,x,3", "#layer=6&unit=3", "#network=7", "#strokes=%%%", "#pixels=28.A", "#=&&"],
)
def test_link_that_does_not_fit_shows_the_page_as_it_is(browser: Browser, page: Path, link: str) -> None:
    with browser.opened(page, link=link) as opened:
        opened.evaluate(COMPUTED)
        assert words(opened, "[data-panel=unit] .name") == "With pooling, layer 1: Conv_0, map 0, row 13, column 13"
        assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 768, 1280, 1920])
def test_page_fits_every_width(browser: Browser, page: Path, width: int) -> None:
    for dark in (False, True):
        visit = browser.visit(page, width=width, dark=dark)
        assert visit.width <= width
        assert visit.complaints == []


@pytest.mark.slow
def test_page_of_no_network_says_why_and_is_sound(
    browser: Browser, write_page: Callable[..., Path], tmp_path: Path
) -> None:
    page = write_page(tmp_path, [trained("Colours", dataset="rgb200", widths=(4,), epochs=1)])
    require_sound(browser, page)
    assert "Colours: its images have colours, and the page draws in grey." in page.read_text()
