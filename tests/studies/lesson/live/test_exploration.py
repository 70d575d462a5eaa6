"""The reader changes networks and pictures, and the page shows the numbers that JAX has for the same parameters."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.experiment import build
from cnn_jax.models import summary
from cnn_jax.report.page import Page, render
from cnn_jax.studies.lesson.live import exploration, gallery, moments, payload, robustness
from cnn_jax.studies.lesson.live.chain import rounded
from cnn_jax.studies.lesson.live.scripts import scripts
from cnn_jax.studies.lesson.live.section import sections
from tests.browser import Browser, Tab
from tests.studies.lesson.live.conftest import COMPUTED, SMALL, random_variables

Data = dict[str, Any]
PARAMS = [rounded(network.variables)["params"] for network in SMALL]
MOMENTS = [moments.Moment(step, dict(random_variables(SMALL[0].experiment, step)["params"])) for step in (0, 3, 10)]


def logits(network: int, params: Mapping[str, Any], pixels: Any) -> np.ndarray:
    """JAX's logits for pictures, float [N, 28, 28], whose levels go from 0 to 255."""
    learner = build(SMALL[network].experiment, fused=False)
    return np.asarray(learner.apply({"params": params}, jnp.asarray(pixels, jnp.float32).reshape(-1, 28, 28, 1)))


def shares(network: int, params: Mapping[str, Any], pixels: Any) -> np.ndarray:
    return np.asarray(jax.nn.softmax(logits(network, params, pixels)))


def right(params: Mapping[str, Any], sample: Split) -> int:
    return int(np.sum(logits(0, params, sample.images).argmax(1) == sample.labels))


def changed(picture: np.ndarray, name: str, amount: float) -> np.ndarray:
    change, _ = robustness.CHANGES[name]
    return 255 * np.asarray(change(jnp.asarray(picture.reshape(1, 28, 28, 1) / 255, jnp.float32), jnp.float32(amount)))


@pytest.fixture(scope="session")
def sample(drawn_digits: Dataset) -> Split:
    chosen = gallery.sample(drawn_digits.test.labels, 10)
    return Split(drawn_digits.test.images[chosen], drawn_digits.test.labels[chosen])


@pytest.fixture(scope="session")
def data(drawn_digits: Dataset, sample: Split) -> Data:
    """The page's data, as a lesson has them, but for a training and means that would take long."""
    found = payload.compute(SMALL, drawn_digits.spec, drawn_digits.test, drawn_digits.test.images[0])
    of_all = [logits(index, PARAMS[index], drawn_digits.test.images) for index in range(3)]
    layers = found["networks"][0]["layers"]
    amounts = {name: list(values) for name, (_, values) in robustness.CHANGES.items()}
    return found | {
        "tried": 0,
        "not_tried": [],
        "gallery": gallery.compute(drawn_digits.test, of_all, 10),
        "robustness": {
            "amounts": amounts,
            "examples": len(sample),
            "means": [{name: [0.5] * len(values) for name, values in amounts.items()}] * 3,
        },
        "moments": {
            "examples": 640,
            "batch_size": 64,
            "moments": [moments.described(each, layers, 0.25) for each in MOMENTS],
        },
    }


@pytest.fixture(scope="session")
def write_exploration() -> Callable[[Path, Data], Path]:
    def write(folder: Path, data: Data) -> Path:
        path = folder / "exploration.html"
        parts = [*sections(data), *exploration.sections(data)]
        path.write_text(render(Page("Explore", "What is tried.", parts, "A test.", scripts(data))))
        return path

    return write


@pytest.fixture(scope="session")
def page(write_exploration: Callable[..., Path], data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exploration(tmp_path_factory.mktemp("exploration"), data)


def said(tab: Tab, selector: str, pattern: str) -> re.Match[str]:
    """What an element says, as soon as that fits a pattern."""
    element = f"document.querySelector({json.dumps(selector)})"
    tab.evaluate(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    text = tab.evaluate(
        f"""new Promise(done => {{ const started = Date.now(), pattern = new RegExp({json.dumps(pattern)});
        const ask = () => {{ const text = {element}.textContent;
        if (pattern.test(text) || Date.now() - started > 30000) done(text); else setTimeout(ask, 20); }}; ask(); }})"""
    )
    found = re.search(pattern, text)
    assert found, text
    return found


def field(tab: Tab, name: str) -> Any:
    return tab.evaluate(f"(value => ArrayBuffer.isView(value) ? Array.from(value) : value)(Lesson.state.fields.{name})")


def percent(text: str) -> float:
    """A share that a page shows, of which those that are almost 0 or 1 have a sign in front."""
    return float(text.strip("<> %")) / 100


@pytest.mark.slow
def test_reader_explores_and_every_number_is_that_of_jax(tab: Tab, data: Data, sample: Split) -> None:
    """The one whole session of the default run: a slider, a filter, a channel, a cell, a question."""
    picture = np.array(field(tab, "seen"), np.float32)
    tab.place("[data-panel=changes] [name=right]")
    tab.focus("[data-panel=changes] [name=right]")
    for _ in range(3):
        tab.press("ArrowRight")
    shown = said(
        tab, "[data-panel=changes] [data-now]", r"With pooling\s+([<>\d.]+ %)\s*Without pooling\s+([<>\d.]+ %)"
    )
    moved, best = changed(picture, "right", 3), int(shares(0, PARAMS[0], picture).argmax())
    for network in (0, 1):
        assert percent(shown[network + 1]) == pytest.approx(shares(network, PARAMS[network], moved)[0, best], abs=6e-4)

    cell = "[data-panel=filters] [data-cell='4']"
    tab.place(cell)
    tab.focus(cell)
    for _ in range(8):
        tab.press("ArrowUp")
    tab.evaluate("document.activeElement.blur()")
    kernels = {int(filter_): numbers for filter_, numbers in field(tab, "kernels").items()}
    params = with_kernels(PARAMS[0], kernels)
    assert kernels[0][4] > PARAMS[0]["Conv_0"]["kernel"][1, 1, 0, 0] + 0.3
    score = said(tab, "[data-panel=filters] [data-say=score]", r"answers (\d+) correctly as trained, and (\d+) now")
    assert [int(number) for number in score.groups()] == [right(PARAMS[0], sample), right(params, sample)]

    said(tab, "[data-panel=channels] [data-say=answer]", "0 of 4 channels off")
    tab.click("[data-panel=channels] [name=channel][value='2']")
    params["Conv_1"]["kernel"][:, :, 2] = 0  # what reads a map of zeros
    answer = said(tab, "[data-panel=channels] [data-say=answer]", r"trained, (\d) with ([<>\d.]+ %) now, with 1 of 4")
    expected = shares(0, params, picture)[0]
    assert int(answer[1]) == expected.argmax()
    assert percent(answer[2]) == pytest.approx(expected.max(), abs=6e-4)
    score = said(tab, "[data-panel=channels] [data-say=score]", r"and (\d+) now")
    assert int(score[1]) == right(params, sample)

    tab.click("[data-panel=confusion] tbody button")
    label, chosen = (int(index) for index in field(tab, "cell").split(","))
    count = int(said(tab, "[data-panel=confusion] [role=status]", r"^(\d+) images")[1])
    assert count == data["gallery"]["confusion"][0][label][chosen] > 0
    tab.click("[data-panel=confusion] .thumbs button")
    at = data["gallery"]["indices"].index(field(tab, "drawing.index"))
    assert (data["gallery"]["labels"][at], data["gallery"]["answers"][0][at]) == (label, chosen)

    ask(tab, "half of their brightness")
    halved = np.rint(np.array(field(tab, "seen")) / 2 + 1e-9)  # halves go up, as in JavaScript
    words = said(tab, "[data-panel=predictions] .verdict", r"After: (\d) with ([<>\d.]+ %)")
    assert int(words[1]) == logits(0, PARAMS[0], halved).argmax()  # the network as trained, whatever was changed
    assert percent(words[2]) == pytest.approx(shares(0, PARAMS[0], halved).max(), abs=6e-4)


def with_kernels(params: Mapping[str, Any], kernels: Mapping[int, list[float]]) -> dict[str, Any]:
    """The parameters with other filters of the first layer. kernels: nine numbers and a bias, by filter."""
    copy = jax.tree.map(np.array, dict(params))
    for filter_, numbers in kernels.items():
        copy["Conv_0"]["kernel"][:, :, 0, filter_] = np.reshape(numbers[:-1], (3, 3))
        copy["Conv_0"]["bias"][filter_] = numbers[-1]
    return copy


def ask(tab: Tab, part: str) -> None:
    """Goes to the question with these words, takes its first choice, and asks the network."""
    panel = "[data-panel=predictions]"
    while part not in tab.evaluate(f"document.querySelector('{panel} legend').textContent"):
        tab.click(f"{panel} [data-step='1']")
    tab.click(f"{panel} [name=choice]")
    tab.click(f"{panel} [type=submit]")


@pytest.mark.slow
def test_changed_pictures_are_those_of_python(tab: Tab) -> None:
    picture = np.array(field(tab, "seen"), np.float32)
    for name, (_, amounts) in robustness.CHANGES.items():
        found = tab.evaluate(
            f"""{json.dumps(list(amounts))}.map(amount => Array.from(Lesson.change.apply(
            {{height: 28, width: 28, pixels: Lesson.state.fields.seen}}, {{{name}: amount}}).pixels))"""
        )
        for pixels, amount in zip(found, amounts, strict=True):
            np.testing.assert_allclose(pixels, changed(picture, name, amount).ravel(), atol=0.01)


@pytest.mark.slow
def test_switching_off_each_channel_is_what_jax_has_without_its_map(tab: Tab, sample: Split) -> None:
    layers = {1: ("Conv_0", "Conv_1", 4), 3: ("Conv_1", "Conv_2", 8), 5: ("Conv_2", "Dense_0", 16)}
    for layer, (_, reader, channels) in layers.items():
        found = tab.evaluate(f"Lesson.trials.withoutEach(Lesson.tried.trained(), {layer}, Lesson.gallery.sample())")
        assert len(found) == channels
        for channel in (0, channels - 1):
            params = jax.tree.map(np.array, dict(PARAMS[0]))
            kernel = params[reader]["kernel"]
            if kernel.ndim == 4:
                kernel[:, :, channel] = 0
            else:
                kernel[channel::channels] = 0
            probabilities = shares(0, params, sample.images)
            of_label = probabilities[np.arange(len(sample)), sample.labels]
            assert found[channel]["right"] == right(params, sample)
            assert found[channel]["loss"] == pytest.approx(-np.log(of_label).mean(), abs=1e-4)


@pytest.mark.slow
def test_moments_answer_as_jax_does_with_their_rounded_parameters(tab: Tab, sample: Split) -> None:
    picture = field(tab, "seen")
    found = tab.evaluate(
        """Lesson.training.networks().map(network =>
        Array.from(Lesson.network.run(network, Lesson.state.fields.seen).pop().values))"""
    )
    for values, moment in zip(found, MOMENTS, strict=True):
        np.testing.assert_allclose(values, logits(0, moments.rounded(moment.params), picture)[0], atol=1e-4)
    said(tab, "[data-panel=moments] [role=status]", "After 10 steps")
    tab.click("[data-panel=moments] [name=moment][value='1']")
    words = said(
        tab, "[data-panel=moments] [role=status]", r"After 3 steps it has seen 192 images. It answers (\d) with"
    )
    assert int(words[1]) == np.argmax(found[1])
    assert (
        said(tab, "[data-panel=moments] [role=status]", r"test images, (\d+) are right")[1]
        == f"{len(sample) / 4 + 0.01:.0f}"
    )


QUESTION = """(async (index) => {
  const question = Lesson.questions.all[index], network = Lesson.tried.trained();
  const { seen, networks } = Lesson.state.fields;
  const context = { network, networks, untrained: Lesson.training.networks()[0], sample: Lesson.gallery.sample(),
    picture: { height: 28, width: 28, pixels: seen }, ask: async (name, values) => Lesson.trials[name](...values) };
  const found = await question.measure(context), { choices } = question;
  const list = typeof choices === "function" ? choices(context) : choices;
  return { question: question.question, found, true: list.map(([, isTrue]) => isTrue(found)) };
})"""


@pytest.mark.slow
def test_a_dozen_questions_have_one_true_choice_and_the_numbers_of_jax(tab: Tab, sample: Split) -> None:
    count = tab.evaluate("Lesson.questions.all.length")
    found = [tab.evaluate(f"{QUESTION}({index})") for index in range(count)]
    assert count == 12
    assert all(sum(each["true"]) == 1 for each in found)
    measured = {each["question"]: each["found"] for each in found}

    def of(part: str) -> Any:
        [match] = [values for question, values in measured.items() if part in question]
        return match

    picture = np.array(field(tab, "seen"), np.float32)
    learner = build(SMALL[0].experiment, fused=False)
    maps = summary.feature_maps(learner.module, {"params": PARAMS[0]}, picture.reshape(1, 28, 28, 1) / 255)
    assert of("is zero")["share"] == pytest.approx(np.mean(np.asarray(maps["Conv_1"]) <= 0), abs=2e-3)
    inverted = Split(255 - sample.images, sample.labels)
    assert of("exchanged in all test images")["right"] == right(PARAMS[0], inverted)
    np.testing.assert_allclose(of("paper is empty")["shares"], shares(0, PARAMS[0], 0 * picture)[0], atol=1e-4)
    params = jax.tree.map(np.array, dict(PARAMS[0]))
    kernel = params["Conv_0"]["kernel"]
    kernel[:] = np.sqrt(np.mean(kernel**2, axis=(0, 1, 2)))
    assert of("become a blur")["right"] == right(params, sample)
    assert of("before the first step")["right"] == right(moments.rounded(MOMENTS[0].params), sample)
    moved = np.rint(changed(picture, "right", 4))
    for network, lost in enumerate(of("four pixels")["lost"]):
        before, after = (shares(network, PARAMS[network], each)[0] for each in (picture, moved))
        assert lost == pytest.approx(before.max() - after[before.argmax()], abs=1e-4)
    assert of("What happens to the maps of the first convolution?")["moved"] < 1e-4
    assert of("of the first convolution change?")["hit"] == 9


@pytest.mark.slow
def test_link_holds_everything_that_the_reader_has_changed(browser: Browser, page: Path, tab: Tab) -> None:
    tab.evaluate(
        """(() => { const { state, tried, gallery } = Lesson;
        tried.setNumbers(2, [1, 0, -1, 1, 0, -1, 1, 0.125, -1, 0.5]); tried.setOff(3, [1, 6]);
        state.set({ drawing: gallery.drawing(7), moment: 1, filter: 2, channels: 3, question: 4,
        cell: "3,5", confusionOf: 2, over: "turn", curvesOf: "mean",
        changes: { right: 1, down: -2, turn: 15, thickness: 0.25 } }); })()"""
    )
    names = ("kernels", "off", "moment", "filter", "channels", "question", "cell", "confusionOf", "over", "curvesOf")
    names += ("changes", "drawing.index", "drawing.label", "seen")
    tab.evaluate("new Promise(done => setTimeout(done, 500))")
    link = tab.evaluate("location.hash")
    assert "image=" in link and "pixels" not in link
    logits_now = "Array.from(Lesson.network.run(Lesson.tried.now(), Lesson.state.fields.seen).pop().values)"
    with browser.opened(page, link=link) as opened:
        opened.evaluate(COMPUTED)
        for name in names:
            assert field(opened, name) == field(tab, name), name
        assert opened.evaluate(logits_now) == tab.evaluate(logits_now)
        said(opened, "[data-panel=filters] [data-say=answer]", "as trained")
        opened.click("[data-panel=filters] [data-act=all]")
        trained_now = opened.evaluate("Lesson.tried.now() === Lesson.tried.trained()")
        assert trained_now and field(opened, "off") == {}
        assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "link", ["#off=9:x", "#kernel=1", "#cell=10,3", "#change=1,2", "#moment=7", "#image=-1", "#question=99", "#maps=2"]
)
def test_link_that_does_not_fit_changes_nothing(browser: Browser, page: Path, link: str) -> None:
    with browser.opened(page, link=link) as opened:
        opened.evaluate(COMPUTED)
        assert opened.evaluate("Lesson.tried.now() === Lesson.tried.trained()")
        assert (field(opened, "cell"), field(opened, "moment"), field(opened, "drawing.index")) == (None, 2, None)
        assert opened.complaints == []


@pytest.mark.slow
def test_without_workers_the_page_computes_by_itself(browser: Browser, page: Path, sample: Split) -> None:
    with browser.opened(page, before="delete window.Worker") as opened:
        opened.evaluate(COMPUTED)
        said(opened, "[data-panel=channels] [data-say=answer]", "0 of 4 channels off")
        opened.click("[data-panel=channels] [name=channel][value='0']")
        score = said(opened, "[data-panel=channels] [data-say=score]", r"and (\d+) now")
        params = jax.tree.map(np.array, dict(PARAMS[0]))
        params["Conv_1"]["kernel"][:, :, 0] = 0
        assert int(score[1]) == right(params, sample)
        assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 768, 1280, 1920])
def test_exploration_fits_every_width(browser: Browser, page: Path, width: int) -> None:
    for dark in (False, True):
        with browser.opened(page, width=width, dark=dark, link="#cell=3,5") as opened:
            for panel in ("filters", "channels", "changes", "moments", "confusion", "predictions", "exercises"):
                opened.place(f"[data-panel={panel}]")
                opened.evaluate("new Promise(done => setTimeout(done, 250))")
            assert opened.evaluate("document.documentElement.scrollWidth") <= width
            assert opened.complaints == []


@pytest.mark.slow
def test_page_of_a_lesson_shows_curves_and_moments_that_were_computed(
    browser: Browser, write_exploration: Callable[..., Path], drawn_digits: Dataset, tmp_path: Path
) -> None:
    found = payload.compute(SMALL, drawn_digits.spec, drawn_digits.test, drawn_digits.test.images[0])
    of_all = [logits(index, PARAMS[index], drawn_digits.test.images) for index in range(3)]
    found |= exploration.compute(SMALL, of_all, found, drawn_digits)
    assert [moment["step"] for moment in found["moments"]["moments"]] == moments.steps(5)
    with browser.opened(write_exploration(tmp_path, found), link="#curves=mean&over=turn") as opened:
        opened.evaluate(COMPUTED)
        words = said(opened, "[data-panel=changes] [data-curves]", r"\+15: ([<>\d.]+ %)")
        assert percent(words[1]) == pytest.approx(found["robustness"]["means"][0]["turn"][5], abs=6e-4)
        opened.click("[name=curvesOf][value=picture]")
        picture = np.array(field(opened, "seen"), np.float32)
        best = shares(0, PARAMS[0], picture)[0].argmax()
        expected = shares(0, PARAMS[0], changed(picture, "turn", 15))[0, best]
        said(opened, "[data-panel=changes] [data-curves]", r"of this picture.*\+15: ")
        words = said(opened, "[data-panel=changes] [data-curves]", r"\+15: ([<>\d.]+ %)")
        assert percent(words[1]) == pytest.approx(expected, abs=6e-4)
        assert opened.complaints == []


@pytest.mark.slow
def test_page_without_a_network_to_change_says_what_is_left_out(
    browser: Browser, write_exploration: Callable[..., Path], drawn_digits: Dataset, tmp_path: Path
) -> None:
    dense = SMALL[2:]
    found = payload.compute(dense, drawn_digits.spec, drawn_digits.test, drawn_digits.test.images[0])
    of_all = [logits(2, PARAMS[2], drawn_digits.test.images)]
    found |= exploration.compute(dense, of_all, found, drawn_digits)
    assert found["tried"] is None
    page = write_exploration(tmp_path, found)
    assert "no network of this page has convolutions and answers at once" in page.read_text().lower()
    assert "Left out here: a network with pooling and one with convolutions and without pooling." in page.read_text()
    with browser.opened(page) as opened:
        opened.evaluate(COMPUTED)
        panels = opened.evaluate("[...document.querySelectorAll('[data-panel]')].map(place => place.dataset.panel)")
        assert {"changes", "confusion"} <= set(panels) and not {"filters", "channels", "moments"} & set(panels)
        said(opened, "[data-panel=changes] [data-now]", r"Dense\s+[<>\d.]+ %")
        assert opened.complaints == []
