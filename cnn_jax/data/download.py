"""Fetching a file over a network that may be slow, silent or absent."""

import logging
import queue
import threading

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

SILENCE = 8.0  # seconds without a byte after which a download is given up
_BLOCK = 1024  # bytes; small, so that also a slow download shows progress


class DownloadError(Exception):
    """The file could not be downloaded; the text is the reason."""


def fetch(url: str, size: int, *, silence: float) -> bytes:
    """The first `size + 1` bytes of the file at a URL, or all if it is shorter: enough to check it.

    `requests` takes proxies and certificates from the environment. A slow download may take any time as long as bytes
    arrive. Raises DownloadError, at the latest after `silence` seconds without a byte.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs each retry; only the outcome is reported
    events: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
    # A thread, because requests' timeouts limit neither the look-up of a name nor the attempts to reach the addresses
    # of a host one by one. A daemon, because a thread that hangs must not keep the program from ending.
    threading.Thread(target=_download, args=(url, size, silence, events), daemon=True).start()
    try:
        while (event := events.get(timeout=silence)) is None:
            pass
    except queue.Empty:
        raise DownloadError(f"no answer from the network for {silence:g} s while fetching {url}") from None
    if isinstance(event, Exception):
        raise DownloadError(f"{url} cannot be fetched: {_root_cause(event)}") from event
    return event


def _download(url: str, size: int, silence: float, events: "queue.SimpleQueue[bytes | Exception | None]") -> None:
    """Puts None for each block that arrives, then the bytes or the exception."""
    content = bytearray()
    try:
        with requests.Session() as session:
            retry = Retry(total=2, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.mount("https://", HTTPAdapter(max_retries=retry))
            # Longer than `fetch` waits, so that `fetch` always reports silence, in its words.
            with session.get(url, stream=True, timeout=2 * silence) as response:
                response.raise_for_status()
                for block in response.iter_content(_BLOCK):
                    events.put(None)
                    content += block
                    if len(content) > size:
                        break
        events.put(bytes(content[: size + 1]))
    except Exception as error:  # of any type: the waiting thread reports it
        events.put(error)


def _root_cause(error: BaseException) -> str:
    """The text of the innermost exception."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
