"""HTTP for long downloads: requests are repeated after temporary errors, and fail at once on others."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import re
import time
import urllib.error
import urllib.request
from typing import Any

from recipe_mtlvae.conf_sections import FetchConf
from recipe_mtlvae.corpus.names import show
from recipe_mtlvae.errors import fail, warn

TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
AGENT = "recipe_mtlvae (DESED fetcher; Python urllib)"
LARGEST_ANSWER = 2**24  # bytes of a JSON answer


class TemporaryError(Exception):
    """A temporary error; `wait`: the seconds that the server asks for."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Patience:
    """Attempts at one address, with growing waits between them. Any progress resets the count."""

    def __init__(self, url: str, fetch: FetchConf) -> None:
        self.url, self.fetch, self.failed = url, fetch, 0

    def renew(self) -> None:
        self.failed = 0

    def wait(self, error: TemporaryError) -> None:
        """Wait before the next attempt. Raises RecipeError after fetch.attempts attempts without progress."""
        self.failed += 1
        if self.failed >= self.fetch.attempts:
            what = f"{error}, in {self.failed} attempts"
            raise fail(what, "run the same command again later: what has been received is kept", self.url) from None
        seconds = error.wait if error.wait is not None else random.uniform(0.75, 1.25) * 2 ** (self.failed - 1)
        seconds = min(seconds, self.fetch.longest_wait)
        warn(f"{self.url}: {error}; again in {seconds:.0f} s")
        time.sleep(seconds)


def open_url(url: str, stall_seconds: float, offset: int = 0) -> http.client.HTTPResponse:
    """Open `url`, from byte `offset` on if the server supports that.

    Raises TemporaryError for temporary errors, and RecipeError if trying again is of no use.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise fail(f"expected an http address, got {show(url)}", "check fetch.records")
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=stall_seconds)
    except urllib.error.HTTPError as error:
        what = f"HTTP {error.code} ({error.reason})"
        if error.code in TEMPORARY:
            raise TemporaryError(what, _asked_wait(error.headers.get("Retry-After"))) from None
        if error.code == 416:
            raise TemporaryError(f"{what}: it has no byte {offset:,}") from None
        hint = "it may have moved: correct its record and file under fetch.archives in conf/data/desed.yaml"
        raise fail(what, hint, url) from None
    except (http.client.InvalidURL, ValueError):  # ValueError: of a host such as `a..b`
        raise fail(f"no address: {show(url)}", "check fetch.records, and the addresses in its records") from None
    except NETWORK_ERRORS as error:
        raise network_error(error) from None


def network_error(error: Exception) -> TemporaryError:
    """Return a TemporaryError that says what happened to the connection."""
    reason = getattr(error, "reason", error)
    return TemporaryError("the connection stalled" if isinstance(reason, TimeoutError) else f"no connection ({reason})")


def read_json(url: str, fetch: FetchConf) -> Any:
    """Fetch and return the JSON at `url`. Raises RecipeError if that fails."""
    patience = Patience(url, fetch)
    while True:
        try:
            try:
                with open_url(url, fetch.stall_seconds) as response:
                    return json.loads(response.read(LARGEST_ANSWER))
            except NETWORK_ERRORS as error:
                raise network_error(error) from None
            except (ValueError, RecursionError):
                raise TemporaryError("a web page or a damaged answer instead of JSON") from None
        except TemporaryError as error:
            patience.wait(error)


def _asked_wait(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date; None if it holds neither."""
    if value is None:
        return None
    if (seconds := number(value)) is not None:
        return float(seconds)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def number(value: str) -> int | None:
    """Return a header's number of up to 15 digits; None for anything else. str.isdigit alone also accepts `²`."""
    return int(value) if re.fullmatch(r"\s*[0-9]{1,15}\s*", value) else None
