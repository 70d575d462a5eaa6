"""Fetching a file over a network that may be slow, silent or absent, and that may break off."""

import logging
import queue
import threading
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

SILENCE = 8.0  # seconds without a byte after which a download is given up
_BLOCK = 1024  # bytes; small, so that also a slow download shows progress
_BLOCKS_WAITING = 4096  # so many may arrive before they are written

# Where the content begins in the file; its blocks; None at the end. An error ends it too.
_Events = queue.Queue[int | bytes | Exception | None]


class DownloadError(Exception):
    """The file could not be downloaded; the text is the reason."""


def fetch(url: str, partial: Path, size: int, *, silence: float) -> None:
    """Downloads a file to the path `partial`. If its beginning is there, the server is asked for the rest.

    Stops after `size + 1` bytes, which are enough to see that it is another file. `requests` takes proxies and
    certificates from the environment. A slow download may take any time as long as bytes arrive. Raises DownloadError,
    at the latest after `silence` seconds without a byte; what has arrived by then is kept. Raises OSError.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it logs each retry; only the outcome is reported
    start = partial.stat().st_size if partial.exists() else 0
    events = _Events(_BLOCKS_WAITING)
    # A thread, because requests' timeouts limit neither the look-up of a name nor the attempts to reach the addresses
    # of a host one by one. A daemon, because a thread that hangs must not keep the program from ending. It does not
    # write, so that nothing is written after this function has given up.
    threading.Thread(target=_download, args=(url, start, size, silence, events), daemon=True).start()
    begins_at = _next(events, url, silence)
    with partial.open("ab" if begins_at else "wb") as file:
        while isinstance(block := _next(events, url, silence), bytes):
            file.write(block)


def _next(events: _Events, url: str, silence: float) -> int | bytes | None:
    """Waits for the next event. Raises DownloadError."""
    try:
        event = events.get(timeout=silence)
    except queue.Empty:
        raise DownloadError(f"no answer from the network for {silence:g} s while fetching {url}") from None
    if isinstance(event, Exception):
        raise DownloadError(f"{url} cannot be fetched: {_root_cause(event)}") from event
    return event


def _download(url: str, start: int, size: int, silence: float, events: _Events) -> None:
    """Puts the events of a download."""
    try:
        with requests.Session() as session:
            retry = Retry(total=2, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.mount("https://", HTTPAdapter(max_retries=retry))
            with _response(session, url, start, silence) as response:
                response.raise_for_status()
                begins_at = start if response.status_code == requests.codes.partial_content else 0
                events.put(begins_at)
                _put_blocks(response, size + 1 - begins_at, events)
        events.put(None)
    except Exception as error:  # of any type: the waiting thread reports it
        events.put(error)


def _response(session: requests.Session, url: str, start: int, silence: float) -> requests.Response:
    """The server's answer: the file from byte `start` on if the server can do that, else the whole file."""
    # The file as it is stored: a compression on the way would give other bytes. The timeout is longer than `fetch`
    # waits, so that `fetch` always reports silence, in its words.
    plain = {"Accept-Encoding": "identity"}
    if start:
        headers = plain | {"Range": f"bytes={start}-"}
        response = session.get(url, stream=True, timeout=2 * silence, headers=headers)
        wanted = f"bytes {start}-"
        if response.status_code == requests.codes.partial_content:
            is_usable = response.headers.get("Content-Range", "").startswith(wanted)
        else:
            is_usable = response.status_code != requests.codes.requested_range_not_satisfiable
        if is_usable:
            return response
        response.close()
    return session.get(url, stream=True, timeout=2 * silence, headers=plain)


def _put_blocks(response: requests.Response, most: int, events: _Events) -> None:
    """Puts the content of an answer, at most so many bytes."""
    response.raw.enforce_content_length = True  # an end before the announced one is an error
    for block in response.raw.stream(_BLOCK, decode_content=False):
        events.put(block[:most])
        most -= len(block)
        if most <= 0:
            return


def _root_cause(error: BaseException) -> str:
    """The text of the innermost exception."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
