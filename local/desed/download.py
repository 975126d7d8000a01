"""Download one file of a Zenodo record: resumed after a cut, checked for size and md5, renamed once it is whole."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from local.desed.http import NETWORK_ERRORS, Patience, TemporaryError, network_error, number, open_url, read_json
from recipe_mtlvae.conf_sections import ArchiveConf, FetchConf
from recipe_mtlvae.errors import fail
from recipe_mtlvae.progress_bar import progress_bar

CHUNK = 2**18  # bytes
SHOWN_FILES = 20


@dataclass(frozen=True)
class RemoteFile:
    """A file as its record describes it."""

    name: str
    url: str
    size: int  # bytes
    md5: str  # hexadecimal


def find_file(archive: ArchiveConf, fetch: FetchConf) -> RemoteFile:
    """Look a file up in its record (`GET <records>/<number>`: files[].key, size, checksum, links.self).

    Raises RecipeError if there is no such record or no such file in it.
    """
    url = f"{fetch.records}/{archive.record}"
    record = read_json(url, fetch)
    try:
        files = {entry["key"]: entry for entry in record["files"]}
        if archive.file not in files:
            there = ", ".join([*files][:SHOWN_FILES]) or "none"
            hint = f"the files there are {there}: correct fetch.archives in conf/data/desed.yaml"
            raise fail(f"record {archive.record} has no file {archive.file}", hint, url)
        entry = files[archive.file]
        kind, _, md5 = entry["checksum"].partition(":")
        address, size = entry["links"]["self"], entry["size"]
        if kind != "md5" or not re.fullmatch("[0-9a-f]{32}", md5) or not isinstance(size, int) or size < 1:
            raise ValueError
        return RemoteFile(archive.file, str(address), size, md5)
    except (KeyError, TypeError, ValueError, AttributeError):
        what = "not a record as zenodo describes it: expected files with key, size, checksum md5:... and links.self"
        raise fail(what, "check fetch.records", url) from None


def part_of(target: Path) -> Path:
    """Return the path that a file is downloaded to until it is complete."""
    return target.with_name(f"{target.name}.part")


def download(file: RemoteFile, target: Path, fetch: FetchConf) -> None:
    """Download `file` to `target`, continuing what an earlier call left.

    Raises RecipeError if it cannot be fetched; the part received is kept for the next call, unless its checksum is
    wrong.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    for _ in range(2):  # the part may be of another version of the file: then once more from the start
        _complete(file, part, fetch)
        with part.open("rb") as content:
            found = hashlib.file_digest(content, "md5").hexdigest()
        if found == file.md5:
            part.replace(target)
            return
        part.unlink()
    what = f"wrong checksum: expected md5 {file.md5}, got {found}"
    raise fail(what, "run the same command again later; if the error stays, the file and its record disagree", file.url)


def _complete(file: RemoteFile, part: Path, fetch: FetchConf) -> None:
    """Receive until the part has the size of the file."""
    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    patience = Patience(file.url, fetch)
    with progress_bar(file.name, file.size, "B", part.stat().st_size) as bar:
        while (before := part.stat().st_size) < file.size:
            try:
                _receive(file, part, before, fetch, bar)
            except TemporaryError as error:
                if part.stat().st_size > before:
                    patience.renew()
                patience.wait(error)


def _receive(file: RemoteFile, part: Path, have: int, fetch: FetchConf, bar: tqdm) -> None:
    """Append what one request returns. Raises TemporaryError if that is incomplete or not the file."""
    with open_url(file.url, fetch.stall_seconds, have) as response:
        start, total = _offered(response.status, response.headers)
        if "html" in response.headers.get_content_type():
            raise TemporaryError("a web page instead of the file")
        if total not in (None, file.size) or start not in (0, have):
            raise TemporaryError(f"{total} bytes from {start} on instead of {file.size} from {have} on")
        skip = have - start  # a server that ignores Range starts at byte 0
        with part.open("ab") as output:
            while have < file.size:
                try:
                    chunk = response.read1(CHUNK)
                except NETWORK_ERRORS as error:
                    raise network_error(error) from None
                if not chunk:
                    raise TemporaryError(f"the connection was cut after {have:,} of {file.size:,} bytes")
                fresh = chunk[skip:][: file.size - have]
                skip = max(0, skip - len(chunk))
                output.write(fresh)
                have += len(fresh)
                bar.update(len(fresh))


def _offered(status: int, headers: dict[str, str]) -> tuple[int, int | None]:
    """Return the first byte and the full size of the file in a response; None if the size is unknown."""
    if status == 206:
        match = re.fullmatch(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15}|\*)", headers.get("Content-Range", ""))
        if match:
            return int(match[1]), None if match[2] == "*" else int(match[2])
    return 0, number(headers.get("Content-Length", ""))
