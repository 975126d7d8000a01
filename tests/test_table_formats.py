"""Metadata tables as other programs save them: commas, quotes, no header, other line endings and encodings."""

from __future__ import annotations

import re

import pytest

from recipe_mtlvae.conf_sections import TableConf
from recipe_mtlvae.corpus.metadata import read_events, read_metadata
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from tests.tables import CLASSES, STRONG, tsv


def test_a_byte_order_mark_and_windows_line_endings_are_accepted(tmp_path):
    path = tsv(tmp_path, b"\xef\xbb\xbf" + STRONG.replace("\n", "\r\n").encode() + b"a.wav\t0\t1\tDog\r\n\r\n")
    assert read_events(path, CLASSES) == {"a.wav": (Event(0.0, 1.0, "Dog"),)}


def test_columns_are_found_by_name_in_any_order(tmp_path):
    path = tsv(tmp_path, "event_label\toffset\tonset\tindex\tfilename\nDog\t2\t1\t7\ta.wav\n")
    assert read_events(path, CLASSES) == {"a.wav": (Event(1.0, 2.0, "Dog"),)}


@pytest.mark.parametrize(("separator", "mark"), [("tab", "\t"), ("comma", ",")])
def test_tables_are_read_as_spreadsheets_save_them(tmp_path, separator, mark):
    """Quotes, a byte order mark, CRLF, empty columns at the end, empty lines, and lines of separators alone."""
    rows = ['"filename",event_labels', '"a ""b"".wav","Cat,Dog"', "", ",", "c.wav,Speech"]
    text = "".join(row.replace('"Cat,Dog"', '"Cat;Dog"').replace(",", mark) + 2 * mark + "\r\n" for row in rows)
    path = tsv(tmp_path, b"\xef\xbb\xbf" + text.replace("Cat;Dog", "Cat,Dog").encode())
    metadata = read_metadata(path, "weak", CLASSES, TableConf(separator=separator, header=True))
    assert metadata.faults == ()
    assert metadata.labels == {'a "b".wav': {"Cat", "Dog"}, "c.wav": {"Speech"}}


@pytest.mark.parametrize("text", [STRONG.encode() + b"a.wav\t0\t1\tD\xf6g\n", STRONG.encode() + b"\xff.wav\t1\t2\tDog"])
def test_another_encoding_is_named(tmp_path, text):
    with pytest.raises(RecipeError, match=r"split.tsv:2: is not UTF-8: .*; save it as UTF-8"):
        read_metadata(tsv(tmp_path, text), "strong", None)


def test_for_labels_that_look_split_the_message_says_how_to_keep_commas(tmp_path):
    path = tsv(tmp_path, "filename,event_labels\na.wav,Cat,Dog\n")
    (fault,) = read_metadata(path, "weak", CLASSES, TableConf(separator="comma", header=True)).faults
    assert str(fault).endswith(
        ':2: expected 2 fields, as in the header; got 3; labels that hold commas stand in quotes: "Beep,Hiss"'
    )


def test_quotes_in_a_table_separated_by_tabs_are_part_of_a_name(tmp_path):
    assert list(read_events(tsv(tmp_path, STRONG + "a\"b'.wav\t0\t1\tDog\n"), CLASSES)) == ["a\"b'.wav"]


COMMA, BARE = TableConf(separator="comma", header=True), TableConf(separator="tab", header=False)
BARE_COMMA = TableConf(separator="comma", header=False)


def test_a_table_may_be_separated_by_commas_with_labels_in_quotes(tmp_path):
    path = tsv(tmp_path, 'filename,event_labels\na.wav,"Dog,Speech"\n"b, c.wav",Cat\n')
    assert read_metadata(path, "weak", CLASSES, COMMA).labels == {"a.wav": {"Dog", "Speech"}, "b, c.wav": {"Cat"}}


def test_a_table_without_a_header_has_the_columns_of_desed(tmp_path):
    path = tsv(tmp_path, "a.wav\t1\t2\tDog\nb.wav\t\t\t\n")
    assert read_metadata(path, "strong", CLASSES, BARE).events == {"a.wav": (Event(1.0, 2.0, "Dog"),), "b.wav": ()}


@pytest.mark.parametrize(
    ("table", "text", "words"),
    [
        (BARE, STRONG + "a.wav\t1\t2\tDog\n", r":1: data.table.header is false, but here is a header; set it to true"),
        (
            COMMA,
            STRONG,
            r":1: expected the columns filename .* separated by commas; got .* set data.table.separator to tab",
        ),
    ],
)
def test_a_table_that_does_not_match_data_table_is_refused(tmp_path, table, text, words):
    with pytest.raises(RecipeError, match=words):
        read_metadata(tsv(tmp_path, text), "strong", CLASSES, table)


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        (
            BARE,
            "a.wav,1,2,Dog",
            ":1: expected 4 fields, filename onset offset event_label; got 1; .* data.table.separator",
        ),
        (BARE_COMMA, '"a.wav,1,2,Dog', ":1: quotes that do not close; double a quote that is part of a field"),
        (BARE_COMMA, "a.wav,1,2,Whale", ":1: label 'Whale' is not in the class list"),
    ],
)
def test_a_faulty_row_of_another_format_is_named_with_its_line(tmp_path, table, row, words):
    path = tsv(tmp_path, row + "\n")
    (fault,) = read_metadata(path, "strong", CLASSES, table).faults
    assert re.search(words, str(fault))
