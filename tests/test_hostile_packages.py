"""Malicious and damaged packages: each is a fault, nothing outside the package is touched, and memory stays small."""

from __future__ import annotations

import re
import stat
import struct
import time
import zipfile
from pathlib import Path

import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission import package_files
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.profile import read_profile
from tests.package_2022 import (
    HEADER,
    LABEL,
    META,
    OUTPUT,
    faults,
    good,
    point,
    unpack,
    write,
)


@pytest.mark.parametrize("name", ["../evil.tsv", "/etc/evil", f"{LABEL}/../../evil", "C:\\evil", "a\\..\\evil"])
def test_a_name_that_leads_out_of_the_package_is_a_fault(tmp_path: Path, name: str) -> None:
    found = faults(tmp_path, {**good(), name: ""})
    assert len(found) == 1 and "leads out of the package" in found[0]


def test_a_zip_bomb_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_files, "MAX_BYTES", 10_000)
    found = faults(tmp_path, {**good(), OUTPUT: HEADER + " " * 20_000})
    assert any("bytes, at most 10000 are read" in line for line in found)


def test_a_zip_with_a_wrong_size_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in good().items():
            archive.writestr(name, content)
        size = archive.getinfo(OUTPUT).file_size
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(OUTPUT.encode()) - 46  # its place in the central directory
    assert struct.unpack_from("<I", raw, entry + 24)[0] == size
    struct.pack_into("<I", raw, entry + 24, 10)
    path.write_bytes(raw)
    found = [str(fault) for fault in check_package(path, read_profile()).faults]
    assert len(found) == 1 and re.search(r"output.tsv: cannot be read: .*CRC", found[0])


def test_links_are_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo(f"{LABEL}/link.tsv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write(tmp_path / "package.zip", good())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert ["link.tsv: a link" in str(fault) for fault in check_package(path, read_profile()).faults] == [True]
    folder = unpack(tmp_path / "folder", good())
    (folder / "linked").symlink_to("/etc")
    assert ["linked: a link" in str(fault) for fault in check_package(folder, read_profile()).faults] == [True]


def test_a_file_twice_in_a_zip_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "package.zip", good())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(OUTPUT, HEADER)
    assert ["more than once" in str(fault) for fault in check_package(path, read_profile()).faults] == [True]


def test_text_that_is_not_utf8_or_has_an_endless_line_is_a_fault(tmp_path: Path) -> None:
    assert "output.tsv:1: expected UTF-8" in faults(tmp_path, {**good(), OUTPUT: b"\xff\xfe"})[0]
    assert "output.tsv:1: a line of over" in faults(tmp_path, {**good(), OUTPUT: "x" * 100_000})[0]


def test_an_alias_bomb_in_the_meta_file_stays_small(tmp_path: Path) -> None:
    bomb = "a: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    found = faults(tmp_path, {**good(), META: f"{bomb}submission: {{label: *a59, authors: *a59}}\n"})
    assert any("not valid YAML: expected at most 50,000 values" in line for line in found)
    assert max(map(len, found)) < 1000


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("9" * 400, []),
        ("-" + "9" * 400, ["system.complexity.MACS: expected a number of at least 0, got -999"]),
        ("-0x" + "f" * 5000, ["not valid YAML: a value that cannot be read (Exceeds the limit (4300 digits)"]),
    ],
)
def test_an_integer_that_no_float_or_message_can_hold_causes_no_traceback(
    tmp_path: Path, number: str, expected: list[str]
) -> None:
    text = good()[META].replace("MACS: 250000000.0", f"MACS: {number}")
    assert number in text
    found = faults(tmp_path, {**good(), META: text})
    assert len(found) == len(expected)
    assert all(words in fault for words, fault in zip(expected, found, strict=True))


def test_thirty_thousand_events_of_one_clip_are_compared_in_seconds(tmp_path: Path) -> None:
    rows = "".join(f"c.wav\t{i}\t{i}.5\tDog\n" for i in range(30_000))
    started = time.process_time()
    found = faults(tmp_path, {**good(), point("0.71"): HEADER + rows, point("0.73"): HEADER + rows})
    assert time.process_time() - started < 10  # comparing each event with each other one takes minutes
    assert len(found) == 21 and "not nested: and 29980 more rows" in found[-1]


def test_a_missing_or_invalid_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("not a zip")
    with pytest.raises(RecipeError, match=r"a\.zip: expected a zip file or a folder"):
        check_package(tmp_path / "a.zip", read_profile())
    with pytest.raises(RecipeError, match=r"b\.zip: no such package"):
        check_package(tmp_path / "b.zip", read_profile())
