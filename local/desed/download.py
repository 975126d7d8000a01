"""One file by HTTP: resumed where it was cut, checked for size and md5, and under its name only when it is whole."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from local.desed.http import NETWORK_ERRORS, PassingError, Patience, network_error, number, open_url
from local.desed.progress import Progress
from local.desed.record import RemoteFile
from recipe_mtlvae.conf_sections import FetchConf
from recipe_mtlvae.errors import fail

CHUNK = 2**18  # bytes


def part_of(target: Path) -> Path:
    """Where a file grows until it is whole."""
    return target.with_name(f"{target.name}.part")


def download(file: RemoteFile, target: Path, fetch: FetchConf) -> None:
    """Fetch `file` to `target`, going on with what an earlier call left.

    Raises RecipeError where it cannot be had whole; what has come is kept for the next call, unless it is wrong.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    for _ in range(2):  # a part may be the rest of another version of the file: once more from the start
        _complete(file, part, fetch)
        with part.open("rb") as content:
            found = hashlib.file_digest(content, "md5").hexdigest()
        if found == file.md5:
            part.replace(target)
            return
        part.unlink()
    what = f"wrong checksum: expected md5 {file.md5}, got {found}"
    raise fail(what, "run the same again later; if it stays, the file and its record disagree", file.url)


def _complete(file: RemoteFile, part: Path, fetch: FetchConf) -> None:
    """Receive until the part has the file's size."""
    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    patience = Patience(file.url, fetch)
    with Progress(file.name, file.size, "B", part.stat().st_size) as progress:
        while (before := part.stat().st_size) < file.size:
            try:
                _receive(file, part, before, fetch, progress)
            except PassingError as error:
                if part.stat().st_size > before:
                    patience.renew()
                patience.wait(error)


def _receive(file: RemoteFile, part: Path, have: int, fetch: FetchConf, progress: Progress) -> None:
    """Append what one request gives. Raises PassingError where that is not all, or not the file."""
    with open_url(file.url, fetch.stall_seconds, have) as response:
        start, total = _offered(response.status, response.headers)
        if "html" in response.headers.get_content_type():
            raise PassingError("a web page instead of the file")
        if total not in (None, file.size) or start not in (0, have):
            raise PassingError(f"{total} bytes from {start} on instead of {file.size} from {have} on")
        skip = have - start  # a server that ignores Range begins anew
        with part.open("ab") as output:
            while have < file.size:
                try:
                    chunk = response.read1(CHUNK)
                except NETWORK_ERRORS as error:
                    raise network_error(error) from None
                if not chunk:
                    raise PassingError(f"the connection was cut after {have:,} of {file.size:,} bytes")
                fresh = chunk[skip:][: file.size - have]
                skip = max(0, skip - len(chunk))
                output.write(fresh)
                have += len(fresh)
                progress.advance(len(fresh))


def _offered(status: int, headers: dict[str, str]) -> tuple[int, int | None]:
    """First byte and full size of the file that an answer offers."""
    if status == 206:
        match = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)", headers.get("Content-Range", ""))
        if match:
            return int(match[1]), None if match[2] == "*" else int(match[2])
    return 0, number(headers.get("Content-Length", ""))
