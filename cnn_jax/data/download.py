"""Fetching a file over a network that may be slow, silent or absent."""

import logging
import queue
import threading

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

SILENCE = 8.0  # seconds without a byte after which a download is given up
_BLOCK = 1024  # bytes; small, so that a slow download is seen to move


class DownloadError(Exception):
    """The file did not come; the text says why."""


def fetch(url: str, size: int, *, silence: float = SILENCE) -> bytes:
    """The first `size + 1` bytes at a URL, or all if there are fewer: enough to tell whether it is the file expected.

    Proxies and certificates are those of the environment, as `requests` reads it. However slow, a download that moves
    goes on. Raises DownloadError, at the latest after `silence` seconds without a byte.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries; what comes of them is told once, by us
    events: queue.SimpleQueue[bytes | Exception | None] = queue.SimpleQueue()
    # A thread, because looking up a name or trying the addresses of a host one by one takes as long as it likes:
    # requests' timeouts bound neither. A daemon, so that one that hangs does not keep the program from ending.
    threading.Thread(target=_work, args=(url, size, silence, events), daemon=True).start()
    try:
        while (event := events.get(timeout=silence)) is None:
            pass
    except queue.Empty:
        raise DownloadError(f"no answer from the network for {silence:g} s while fetching {url}") from None
    if isinstance(event, Exception):
        raise DownloadError(f"{url} cannot be fetched: {_root(event)}") from event
    return event


def _work(url: str, size: int, silence: float, events: "queue.SimpleQueue[bytes | Exception | None]") -> None:
    """Puts None for each block that arrives, then the bytes or the exception."""
    content = bytearray()
    try:
        with requests.Session() as session:
            retry = Retry(total=2, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.mount("https://", HTTPAdapter(max_retries=retry))
            # Longer than the other side waits, so that silence is always told by it, in its words.
            with session.get(url, stream=True, timeout=2 * silence) as response:
                response.raise_for_status()
                for block in response.iter_content(_BLOCK):
                    events.put(None)
                    content += block
                    if len(content) > size:
                        break
        events.put(bytes(content[: size + 1]))
    except Exception as error:  # whatever it is, the thread that waits tells it
        events.put(error)


def _root(error: BaseException) -> str:
    """What first went wrong: the text of the innermost exception."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
