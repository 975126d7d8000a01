"""Malicious and damaged archives: one clear line each, nothing is written outside, and nothing is left half-written."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from local.desed.unpack import unpack
from recipe_mtlvae.errors import RecipeError


def tar_with(*members: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        for info, content in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return output.getvalue()


def zip_with(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return output.getvalue()


def tar_link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def tar_of_kind(kind: bytes) -> bytes:
    info = tarfile.TarInfo("device")
    info.type = kind
    return tar_with((info, b""))


GOOD = ("a.wav", b"sound")
ZEROS = bytes(2**20) * 80  # compressed to less than a hundredth
HOSTILE = {
    "tar: parent folder": (tar_with(GOOD, ("../a.wav", b"x")), "member '../a.wav' leads out of the folder"),
    "tar: parent folder inside": (tar_with(GOOD, ("b/../../a.wav", b"x")), "'b/../../a.wav' leads out"),
    "tar: absolute name": (tar_with(GOOD, ("/tmp/a.wav", b"x")), "'/tmp/a.wav' leads out"),
    "tar: symbolic link out": (tar_with(GOOD, tar_link("l", "../../x")), "'l' is a link that leads out, to '../../x'"),
    "tar: absolute symbolic link": (tar_with(GOOD, tar_link("l", "/etc")), "'l' is a link that leads out, to '/etc'"),
    "tar: hard link out": (
        tar_with(GOOD, tar_link("l", "/etc/passwd", tarfile.LNKTYPE)),
        "leads out, to '/etc/passwd'",
    ),
    "tar: link in a file's place": (tar_with(tar_link("a.wav", "b.wav")), "'a.wav' is a link where a file is expected"),
    "tar: through a link": (tar_with(tar_link("d", "/tmp"), ("d/a.wav", b"x")), "'d' is a link that leads out"),
    "tar: device": (tar_of_kind(tarfile.CHRTYPE), "'device' is neither file nor folder"),
    "tar: pipe": (tar_of_kind(tarfile.FIFOTYPE), "'device' is neither file nor folder"),
    "tar: line break in a name": (tar_with(GOOD, ("a\nb.wav", b"x")), r"'a\\nb.wav' has a name that cannot be printed"),
    "tar: tab in a name": (tar_with(GOOD, ("a\tb.wav", b"x")), r"'a\\tb.wav' has a name that cannot be printed"),
    "tar: bytes that are no text": (tar_with(GOOD, ("a\udcff.wav", b"x")), "has a name that cannot be printed"),
    "tar: twice": (tar_with(GOOD, ("x/a.wav", b"other")), "'x/a.wav' occurs twice"),
    "tar: bomb": (tar_with(GOOD, ("zeros", ZEROS)), "unpacks to more than 67.1MB, 50 times its size"),
    "zip: parent folder": (zip_with(GOOD, ("../a.wav", b"x")), "member '../a.wav' leads out of the folder"),
    "zip: absolute name": (zip_with(GOOD, ("/tmp/a.wav", b"x")), "'/tmp/a.wav' leads out"),
    "zip: drive": (zip_with(GOOD, ("C:/a.wav", b"x")), "'C:/a.wav' leads out"),
    "zip: backslashes": (zip_with(GOOD, ("..\\a.wav", b"x")), "leads out"),
    "zip: symbolic link out": (zip_with(GOOD, zip_link("l", "/etc/passwd")), "'l' is a link that leads out"),
    "zip: line break in a name": (zip_with(GOOD, ("a\nb.wav", b"x")), r"'a\\nb.wav' has a name that cannot be printed"),
    "zip: bomb": (zip_with(GOOD, ("zeros", ZEROS)), "unpacks to more than 67.1MB, 50 times its size"),
    "no archive": (b"<html>not found</html>", "cannot be unpacked"),
    "tar: cut": (tar_with(GOOD, ("b.wav", bytes(range(256)) * 99))[:-200], "cannot be unpacked"),
    "zip: cut": (zip_with(GOOD, ("b.wav", bytes(range(256)) * 99))[:-30], "cannot be unpacked"),
    "empty": (b"", "cannot be unpacked"),
}


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path | None]:
    """Place all sounds in one folder by their names, as in a corpus."""
    return lambda member: tmp_path / "out" / Path(member).name if member.endswith(".wav") else None


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_and_nothing_is_unpacked(
    content: bytes, words: str, tmp_path: Path, place: Callable
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(RecipeError, match=words) as raised:
        unpack(archive, place)
    assert len(str(raised.value).splitlines()) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("make", [tar_with, zip_with])
def test_only_the_wanted_members_are_written(make: Callable, tmp_path: Path, place: Callable) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make(("top/a.wav", b"sound"), ("top/a.jams", b"{}"), ("top/b.wav", b"")))
    unpack(archive, place)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"a.wav": b"sound", "b.wav": b""}


def test_a_link_that_stays_inside_is_ignored(tmp_path: Path, place: Callable) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(tar_with(GOOD, tar_link("top/latest", "a.wav")))
    unpack(archive, place)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]


def test_a_member_whose_bytes_are_damaged_leaves_no_file(tmp_path: Path, place: Callable) -> None:
    archive = tmp_path / "archive"
    content = bytearray(zip_with(("a.wav", bytes(range(256)) * 40)))
    content[60] ^= 255
    archive.write_bytes(content)
    with pytest.raises(RecipeError, match="cannot be unpacked"):
        unpack(archive, place)
    assert not (tmp_path / "out" / "a.wav").exists()
