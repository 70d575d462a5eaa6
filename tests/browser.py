"""A browser for tests of pages: headless Chromium, spoken to by its DevTools protocol over two pipes."""

import base64
import functools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 60  # seconds; an answer takes milliseconds
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Visit:
    """What a page did while it was loaded.

    complaints: errors and warnings on the console, and exceptions. requests: addresses that are neither of a file nor
    inside the page. width: of all there is, in CSS pixels: over the window's, a reader must scroll sideways.
    screenshot: the whole page as PNG.
    """

    complaints: list[str]
    requests: list[str]
    width: int
    screenshot: bytes


class Browser:
    """A running Chromium. commands, answers: descriptors of pipes for JSON messages, each ended by a zero byte."""

    def __init__(self, commands: int, answers: int):
        self._commands, self._answers, self._received, self._calls = commands, answers, b"", 0
        self._events: list[dict[str, Any]] = []

    def visit(self, page: Path, *, width: int = 1280, dark: bool = False) -> Visit:
        """Loads a page in a window of this width, in CSS pixels; dark: for a reader who prefers a dark screen."""
        with self.opened(page, width=width, dark=dark) as tab:
            return Visit(
                complaints=tab.complaints,
                requests=tab.requests,
                width=tab.evaluate("document.documentElement.scrollWidth"),
                screenshot=tab.screenshot(),
            )

    @contextmanager
    def opened(
        self, page: Path, *, width: int = 1280, dark: bool = False, link: str = "", before: str = ""
    ) -> Iterator["Tab"]:
        """A page for a reader who does things in it.

        link: the end of the address, from `#`. before: a script that runs before those of the page.
        """
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable", session)
        self._call(
            "Emulation.setDeviceMetricsOverride", session, width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", session, features=[scheme])
        self._call("Page.addScriptToEvaluateOnNewDocument", session, source=before)
        went = self._call("Page.navigate", session, url=page.absolute().as_uri() + link)
        assert "errorText" not in went, f"{page}: {went['errorText']}"
        tab = Tab(functools.partial(self._call, tab=session), self._events, session)
        while not tab.is_loaded:
            self._events.append(self._receive())
        try:
            yield tab
        finally:
            self._call("Target.closeTarget", targetId=target)

    def _call(self, method: str, tab: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters} | ({"sessionId": tab} if tab else {})
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._calls:
            self._events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        """The next message, an answer or an event."""
        while b"\0" not in self._received:
            assert select.select([self._answers], [], [], PATIENCE)[0], "Chromium does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium has ended"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


class Tab:
    """An open page. call: sends a command to it. events: what has happened in all pages, which grows. session: its."""

    def __init__(self, call: Callable[..., dict[str, Any]], events: list[dict[str, Any]], session: str):
        self._call, self._all_events, self._session = call, events, session

    @property
    def _events(self) -> list[dict[str, Any]]:
        return [event for event in self._all_events if event.get("sessionId") == self._session]

    @property
    def is_loaded(self) -> bool:
        """Whether the page is there, with its scripts run."""
        return any(event["method"] == "Page.loadEventFired" for event in self._events)

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings on the console, and exceptions."""
        return [said for event in self._events if (said := _complaint(event))]

    @property
    def requests(self) -> list[str]:
        """Addresses that are neither of a file nor inside the page."""
        return [address for event in self._events if (address := _request(event))]

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page, as JSON has it; a promise is waited for."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def work(self, expression: str) -> float:
        """The seconds that JavaScript keeps the page's thread busy, which other programs do not lengthen."""
        self._call("Performance.enable", timeDomain="threadTicks")
        before = self._metric("TaskDuration")
        self.evaluate(expression)
        return self._metric("TaskDuration") - before

    def _metric(self, name: str) -> float:
        metrics = self._call("Performance.getMetrics")["metrics"]
        return next(float(metric["value"]) for metric in metrics if metric["name"] == name)

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def put_on_paper(self, width: int) -> None:
        """Shows the page as on paper, of this width between its margins in CSS pixels."""
        self._call("Emulation.setEmulatedMedia", media="print")
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def pdf(self, width: float, height: float) -> bytes:
        """The page printed on paper of this size in inches."""
        paper = {"paperWidth": width, "paperHeight": height, "preferCSSPageSize": False}
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True, **paper)["data"])

    def place(self, selector: str, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """A point of the first such element, by default its middle, after it was scrolled into the window."""
        edges = self.evaluate(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            "element.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const edges = element.getBoundingClientRect();"
            "return [edges.left, edges.top, edges.width, edges.height] })()"
        )
        return edges[0] + across * edges[2], edges[1] + down * edges[3]

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Clicks a point of an element, as in `place`."""
        self.drag([self.place(selector, across, down)])

    def hover(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Moves the mouse to a point of an element, as in `place`."""
        x, y = self.place(selector, across, down)
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Presses the mouse at the first point of the window, and lets go at the last."""
        for kind, (x, y) in zip(_kinds(len(points)), [points[0], *points, points[-1]], strict=True):
            pressed = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {"buttons": 1}
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def touch(self, points: Sequence[tuple[float, float]]) -> None:
        """Moves a finger along points of the window."""
        self._call("Emulation.setTouchEmulationEnabled", enabled=True)
        self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[_point(points[0])])
        for point in points[1:]:
            self._call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[_point(point)])
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str) -> None:
        """Presses a key, such as `ArrowRight`, where the focus is."""
        code = _KEY_CODES.get(key, 0)
        text = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def focus(self, selector: str) -> None:
        """Puts the focus on the first such element, as the tabulator key would."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")


_KEY_CODES = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def _kinds(points: int) -> list[str]:
    """The events of a drag over so many points, one more at each end."""
    return ["mousePressed", *["mouseMoved"] * points, "mouseReleased"]


def _point(point: tuple[float, float]) -> dict[str, float]:
    return {"x": point[0], "y": point[1]}


def _complaint(event: dict[str, Any]) -> str:
    """What an event says on the console as a warning or worse; empty where it is something else."""
    told = event.get("params", {})
    match event.get("method"):
        case "Runtime.exceptionThrown":
            return str(told["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
            return " ".join(str(argument.get("value", "")) for argument in told["args"])
        case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
            return str(told["entry"]["text"])
    return ""


def _request(event: dict[str, Any]) -> str:
    """The address of a request to a host; empty where the event is something else."""
    if event.get("method") != "Network.requestWillBeSent":
        return ""
    address = str(event["params"]["request"]["url"])
    return "" if address.startswith(("file:", "data:", "blob:")) else address


def program() -> str | None:
    """Where Chromium is on this machine; None where it is not."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """Chromium until the block ends. folder: for what it keeps of its own."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    # It reads commands on descriptor 3 and answers on 4; bash puts the pipes there.
    plumbing = ("bash", "-c", f'exec "$@" 3<&{commands_out} 4>&{answers_in}', "bash")
    process = subprocess.Popen(
        [*plumbing, str(program()), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder}"],
        pass_fds=(commands_out, answers_in),
        env=os.environ | {"HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Browser(commands_in, answers_out)
    finally:
        os.close(commands_in)  # when nobody can command it any more, it ends by itself
        os.close(answers_out)
        process.wait(PATIENCE)


def require_sound(browser: Browser, page: Path) -> None:
    """Asserts that a page is good for every reader: on a phone and a desktop, light and dark, without a network."""
    for width, dark in ((400, False), (1280, True)):
        visit = browser.visit(page, width=width, dark=dark)
        assert not visit.requests, f"asks hosts: {visit.requests}"
        assert not visit.complaints, f"on the console: {visit.complaints}"
        assert visit.width <= width, f"at {width} pixels a reader must scroll sideways"
