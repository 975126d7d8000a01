"""Downloads of archives from a server that misbehaves on request."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from local.desed.download import RemoteFile, _offered, download, find_file, part_of
from local.desed.http import _asked_wait, number
from recipe_mtlvae.conf import data_file, load_conf
from recipe_mtlvae.conf_sections import ArchiveConf, FetchConf
from recipe_mtlvae.errors import RecipeError
from tests.misbehaving_server import Site, serve

CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = len(CONTENT) // 2
RECORD, NAME = 7, "audio.zip"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site()) as site:
        site.add(RECORD, NAME, CONTENT)
        yield site


@pytest.fixture
def fetch(site: Site) -> FetchConf:
    fetch = load_conf(data_file("desed")).fetch
    return replace(fetch, records=f"{site.address}/api/records", stall_seconds=0.2, longest_wait=0.01, attempts=3)


@pytest.fixture
def path() -> str:
    return f"/files/{RECORD}/{NAME}"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / NAME


def get(fetch: FetchConf, target: Path) -> None:
    download(find_file(ArchiveConf(record=RECORD, file=NAME), fetch), target, fetch)


def ranges(site: Site, path: str) -> list[str | None]:
    return [asked for place, asked in site.requests if place == path]


def test_a_record_gives_size_checksum_and_address(fetch: FetchConf, site: Site, path: str) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    expected = RemoteFile(NAME, f"{site.address}{path}", len(CONTENT), md5)
    assert find_file(ArchiveConf(record=RECORD, file=NAME), fetch) == expected


# name: (temporary faults, one per request; the header Range of each request)
PASSING = {
    "cut": (["cut"], [None, f"bytes={HALF}-"]),
    "cut twice": (["cut", "cut"], [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]),
    "stall": (["stall"], [None, f"bytes={HALF}-"]),
    "too many requests": (["429:0"], [None, None]),
    "server errors": (["500", "503"], [None, None, None]),
    "a page in the file's place": (["page"], [None, None]),
    "another length": (["short", "long"], [None, None, None]),
    "Range ignored": (["cut", "no_range"], [None, f"bytes={HALF}-"]),
    "wrong bytes once": (["wrong"], [None, None]),
    "cut and the rest wrong": (["cut", "wrong"], [None, f"bytes={HALF}-", None]),
}


@pytest.mark.parametrize(("faults", "asked"), PASSING.values(), ids=PASSING)
def test_after_temporary_faults_the_download_is_resumed_and_completed(
    faults: list[str], asked: list[str | None], fetch: FetchConf, site: Site, path: str, target: Path
) -> None:
    site.faults[path] = faults.copy()
    get(fetch, target)
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert ranges(site, path) == asked


# permanent fault: words of the error
STAYING = {
    "404": r"HTTP 404 \(Not Found\); it may have moved: correct its record and file under fetch.archives",
    "403": "HTTP 403",
    "500": r"HTTP 500 \(Internal Server Error\), in 3 attempts; run the same command again later: what",
    "429": r"HTTP 429 \(Too Many Requests\), in 3 attempts",
    "page": "a web page instead of the file, in 3 attempts",
    "short": "299999 bytes from 0 on instead of 300000 from 0 on, in 3 attempts",
    "wrong": "wrong checksum: expected md5 [0-9a-f]{32}, got [0-9a-f]{32}",
}


@pytest.mark.parametrize(("fault", "words"), STAYING.items(), ids=STAYING)
def test_a_permanent_fault_is_one_error_and_leaves_no_file(
    fault: str, words: str, fetch: FetchConf, site: Site, path: str, target: Path
) -> None:
    site.always[path] = fault
    with pytest.raises(RecipeError, match=words) as raised:
        get(fetch, target)
    assert len(raised.value.faults) == 1
    assert not target.exists()


def test_attempts_are_counted_from_zero_after_any_progress(
    fetch: FetchConf, site: Site, path: str, target: Path
) -> None:
    site.faults[path] = ["cut"] * 12  # four times the attempts
    get(fetch, target)
    assert target.read_bytes() == CONTENT


def test_another_run_resumes_where_this_one_gave_up(fetch: FetchConf, site: Site, path: str, target: Path) -> None:
    site.faults[path] = ["cut", "500", "500"]
    with pytest.raises(RecipeError, match="in 3 attempts"):
        get(fetch, target)
    site.requests.clear()
    get(fetch, target)
    assert ranges(site, path) == [f"bytes={HALF}-"]
    assert target.read_bytes() == CONTENT


def test_a_partial_download_of_another_version_is_discarded(
    fetch: FetchConf, site: Site, path: str, target: Path
) -> None:
    part_of(target).write_bytes(b"of last year" * 1000)
    get(fetch, target)
    assert target.read_bytes() == CONTENT


def test_a_partial_download_longer_than_the_file_is_discarded(fetch: FetchConf, target: Path) -> None:
    part_of(target).write_bytes(CONTENT * 2)
    get(fetch, target)
    assert target.read_bytes() == CONTENT


def test_the_wait_that_a_server_requests_is_kept(
    fetch: FetchConf, site: Site, path: str, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.faults[path] = ["429:1"]
    get(replace(fetch, longest_wait=5.0), target)
    assert "HTTP 429 (Too Many Requests); again in 1 s" in capsys.readouterr().err


def test_an_unreachable_server_is_named(site: Site, fetch: FetchConf) -> None:
    with pytest.raises(RecipeError, match=r"127.0.0.1:9/records/7: no connection \(.*refused"):
        find_file(ArchiveConf(record=RECORD, file=NAME), replace(fetch, records="http://127.0.0.1:9/records"))


def test_a_file_that_is_not_in_its_record_is_named(fetch: FetchConf) -> None:
    with pytest.raises(RecipeError, match=r"record 7 has no file other\.zip; the files there are audio\.zip"):
        find_file(ArchiveConf(record=RECORD, file="other.zip"), fetch)


@pytest.mark.parametrize("answer", [b"[]", b'{"files": [{"key": "audio.zip", "size": 1}]}', b'{"files": 3}'])
def test_a_record_of_another_form_is_refused(answer: bytes, fetch: FetchConf, site: Site) -> None:
    site.records.clear()
    site.files[f"/api/records/{RECORD}"] = answer
    with pytest.raises(RecipeError, match="not a record as zenodo describes it"):
        find_file(ArchiveConf(record=RECORD, file=NAME), fetch)


def test_extremely_nested_json_is_a_damaged_answer(fetch: FetchConf, site: Site) -> None:
    site.records.clear()
    site.files[f"/api/records/{RECORD}"] = b"[" * 1_000_000
    with pytest.raises(RecipeError, match="a web page or a damaged answer instead of JSON, in 3 attempts"):
        find_file(ArchiveConf(record=RECORD, file=NAME), fetch)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "[::1", "a:\u00b2", "a b"])
def test_an_invalid_host_is_refused_at_once(host: str, fetch: FetchConf) -> None:
    with pytest.raises(RecipeError, match=r"no address: 'http://.*; check fetch\.records"):
        find_file(ArchiveConf(record=RECORD, file=NAME), replace(fetch, records=f"http://{host}/records"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("120", 120), (" 7 ", 7), ("\u00b2", None), ("\u0661\u0662", None), ("-1", None), ("1" * 5000, None), ("", None)],
)
def test_a_number_in_a_header_consists_of_ascii_digits(text: str, value: int | None) -> None:
    assert number(text) == value
    assert _offered(200, {"Content-Length": text}) == (0, value)
    assert _offered(206, {"Content-Range": f"bytes 0-1/{text}"})[1] == (None if text == " 7 " else value)


@pytest.mark.parametrize(
    ("date", "wait"),
    [
        ("\u00b2", None),
        ("x", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),  # long ago
        ("Fri, 31 Dec 9999 23:59:59 -2359", math.inf),  # later than any limit
    ],
)
def test_extreme_dates_are_waits_and_other_texts_are_no_request_to_wait(date: str, wait: float | None) -> None:
    found = _asked_wait(date)
    assert found == wait or (wait == math.inf and found > 1e9)


def test_a_web_page_instead_of_a_record_is_reported(fetch: FetchConf, site: Site) -> None:
    site.always[f"/api/records/{RECORD}"] = "page"
    with pytest.raises(RecipeError, match="a web page or a damaged answer instead of JSON"):
        find_file(ArchiveConf(record=RECORD, file=NAME), fetch)


def test_only_http_is_fetched(fetch: FetchConf, target: Path) -> None:
    with pytest.raises(RecipeError, match="expected an http address, got 'file:///etc/passwd'"):
        download(RemoteFile(NAME, "file:///etc/passwd", 10, "0" * 32), target, fetch)
