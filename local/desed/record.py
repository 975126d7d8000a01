"""The files of a zenodo record: where they are, their sizes and checksums, asked at run time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from local.desed.http import read_json
from recipe_mtlvae.conf_sections import ArchiveConf, FetchConf
from recipe_mtlvae.errors import fail

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

    Raises RecipeError where there is no such record or no such file in it.
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
