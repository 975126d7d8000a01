"""Tags at the end of an MP3 file, which are no damage."""

from __future__ import annotations

import struct

import pytest

from tests.test_damaged_audio import said, written


def ape_tag(version: int, header: bool) -> bytes:
    """Return a tag with one item of 3,000 bytes. Version 1 has no header, and in version 2 it may be left out."""
    item = struct.pack("<II", 3000, 0) + b"Comment\0" + 3000 * b"x"
    ends = [struct.pack("<8s4I8x", b"APETAGEX", version, len(item) + 32, 1, flags) for flags in (5 << 29, header << 31)]
    return (ends[0] if header else b"") + item + ends[1]


ID3V1 = b"TAG" + bytes(125)
TAGS = {
    "APEv1": ape_tag(1000, False),
    "APEv1 before ID3v1": ape_tag(1000, False) + ID3V1,
    "APEv2": ape_tag(2000, True) + ID3V1,
    "APEv2 without its header": ape_tag(2000, False) + ID3V1,
}
ID3V2 = b"ID3\x04\0\x10\0\0\0\x0a" + bytes(10) + b"3DI\x04\0\x10\0\0\0\x0a"  # with a footer


@pytest.mark.parametrize("tag", [*TAGS.values(), ID3V2], ids=[*TAGS, "ID3v2 with a footer"])
def test_a_tag_after_the_last_frame_is_not_taken_for_damage(tmp_path, tag):
    path = written(tmp_path, "mp3")
    path.write_bytes(path.read_bytes() + tag)
    assert said(path) == ""


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
def test_bytes_missing_before_a_tag_are_counted_without_it(tmp_path, tag):
    path = written(tmp_path, "mp3")
    data = path.read_bytes()[:-100]
    path.write_bytes(data)
    expected = said(path)
    assert "bytes of its last frame are missing" in expected
    path.write_bytes(data + tag)
    assert said(path) == expected
