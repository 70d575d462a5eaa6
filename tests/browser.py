"""A browser for tests of pages: headless Chromium, spoken to by its DevTools protocol over two pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
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
        self._events = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        tab = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable", tab)
        self._call(
            "Emulation.setDeviceMetricsOverride", tab, width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", tab, features=[scheme])
        went = self._call("Page.navigate", tab, url=page.absolute().as_uri())
        assert "errorText" not in went, f"{page}: {went['errorText']}"
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._receive())
        widest = self._call("Runtime.evaluate", tab, expression="document.documentElement.scrollWidth")
        shot = self._call("Page.captureScreenshot", tab, captureBeyondViewport=True)
        self._call("Target.closeTarget", targetId=target)
        return Visit(
            complaints=[said for event in self._events if (said := _complaint(event))],
            requests=[address for event in self._events if (address := _request(event))],
            width=widest["result"]["value"],
            screenshot=base64.b64decode(shot["data"]),
        )

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
    return "" if address.startswith(("file:", "data:")) else address


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
