"""Metadata TSVs: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from recipe_mtlvae.conf_sections import TableConf
from recipe_mtlvae.corpus.metadata import Clip, list_audio, read_events, read_metadata, split_clips
from recipe_mtlvae.corpus.names import stem_of
from recipe_mtlvae.corpus.splits import leads_out
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event

CLASSES = ("Cat", "Dog", "Speech")
STRONG = "filename\tonset\toffset\tevent_label\n"


def tsv(folder: Path, text: str | bytes) -> Path:
    path = folder / "split.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(path: Path, kind: str = "strong", classes: tuple[str, ...] | None = CLASSES) -> list[str]:
    return [str(fault) for fault in read_metadata(path, kind, classes).faults]


def test_events_are_read_as_written(tmp_path):
    path = tsv(tmp_path, STRONG + "Ya_30.000_40.000.wav\t0.000\t10.027\tDog\nYa_30.000_40.000.wav\t9.1\t9.5\tDog\n")
    assert read_events(path, CLASSES) == {"Ya_30.000_40.000.wav": (Event(0.0, 10.027, "Dog"), Event(9.1, 9.5, "Dog"))}


def test_a_clip_with_an_empty_row_stays_without_events(tmp_path):
    path = tsv(tmp_path, STRONG + "a.wav\t\t\t\nb.wav\t1\t2\tCat\n")
    assert read_events(path, CLASSES) == {"a.wav": (), "b.wav": (Event(1.0, 2.0, "Cat"),)}


@pytest.mark.parametrize("label", ["nan", "None", "NA", "null", "1"])
def test_labels_that_look_like_missing_values_are_labels(tmp_path, label):
    path = tsv(tmp_path, STRONG + f"a.wav\t0\t1\t{label}\n")
    assert read_events(path, [label]) == {"a.wav": (Event(0.0, 1.0, label),)}


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    path = tsv(tmp_path, b"\xef\xbb\xbf" + STRONG.replace("\n", "\r\n").encode() + b"a.wav\t0\t1\tDog\r\n\r\n")
    assert read_events(path, CLASSES) == {"a.wav": (Event(0.0, 1.0, "Dog"),)}


def test_columns_are_found_by_name_in_any_order(tmp_path):
    path = tsv(tmp_path, "event_label\toffset\tonset\tindex\tfilename\nDog\t2\t1\t7\ta.wav\n")
    assert read_events(path, CLASSES) == {"a.wav": (Event(1.0, 2.0, "Dog"),)}


def test_weak_labels_are_separated_by_commas(tmp_path):
    path = tsv(tmp_path, "filename\tevent_labels\na.wav\tDog,Speech\nb.wav\tCat\nc.wav\t\n")
    labels = read_metadata(path, "weak", CLASSES).labels
    assert labels == {"a.wav": {"Dog", "Speech"}, "b.wav": {"Cat"}, "c.wav": frozenset()}


def test_other_columns_of_an_unlabeled_set_are_ignored(tmp_path):
    path = tsv(tmp_path, "filename\tevent_labels\na.wav\tanything at all\n")
    assert read_metadata(path, "none", CLASSES).labels == {"a.wav": frozenset()}


@pytest.mark.parametrize(("separator", "mark"), [("tab", "\t"), ("comma", ",")])
def test_tables_as_spreadsheets_save_them(tmp_path, separator, mark):
    """Quotes, a byte order mark, CRLF, empty columns at the end, empty lines and lines of nothing but marks."""
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


def test_a_row_whose_labels_look_split_is_told_how_to_hold_commas(tmp_path):
    path = tsv(tmp_path, "filename,event_labels\na.wav,Cat,Dog\n")
    (fault,) = read_metadata(path, "weak", CLASSES, TableConf(separator="comma", header=True)).faults
    assert str(fault).endswith(
        ':2: expected 2 fields, as in the header; got 3; labels that hold commas stand in quotes: "Beep,Hiss"'
    )


@pytest.mark.parametrize("label", ["dog", "Dog\u00a0", "DOG"])
def test_a_label_that_differs_in_case_or_spaces_alone_is_told_which_it_may_be(tmp_path, label):
    (fault,) = faults(tsv(tmp_path, STRONG + f"a.wav\t0\t1\t{label}\n"))
    assert "is not in the class list; 'Dog' is, which differs in case or spaces alone" in fault


@pytest.mark.parametrize("name", ["a\u3000b.wav", "a\u00a0b.wav", "\U0001f469\u200d\U0001f466.wav", "\u05d0\u200f.wav"])
def test_names_with_other_spaces_joiners_and_marks_of_direction_are_names(tmp_path, name):
    assert list(read_events(tsv(tmp_path, STRONG + f"{name}\t0\t1\tDog\n"), CLASSES)) == [name]


def test_a_link_to_nothing_in_a_folder_of_audio_is_named(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("gone.wav")
    with pytest.raises(RecipeError, match=r"b\.wav: is a link to nothing; put the file there"):
        list_audio(tmp_path)


def test_names_without_a_suffix_keep_their_dots():
    names = ["Yabc_30.000_40.000", "a.b.wav", "a.FLAC", ".wav"]
    assert [stem_of(name) for name in names] == ["Yabc_30.000_40.000", "a.b", "a", ".wav"]


def test_quotes_are_part_of_a_name(tmp_path):
    assert list(read_events(tsv(tmp_path, STRONG + "a\"b'.wav\t0\t1\tDog\n"), CLASSES)) == ["a\"b'.wav"]


def test_without_a_class_list_any_label_is_accepted(tmp_path):
    assert faults(tsv(tmp_path, STRONG + "a.wav\t0\t1\tWhale\n"), classes=None) == []


def test_clips_are_sorted_and_know_their_events_and_labels(tmp_path):
    metadata = read_metadata(tsv(tmp_path, STRONG + "b.wav\t1\t2\tCat\na.wav\t\t\t\n"), "strong", CLASSES)
    assert split_clips(metadata, Path("x"), "strong") == [
        Clip("a.wav", Path("x/a.wav"), (), frozenset()),
        Clip("b.wav", Path("x/b.wav"), (Event(1.0, 2.0, "Cat"),), frozenset({"Cat"})),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.wav\t1\t2\tWhale", "label 'Whale' is not in the class list"),
        ("a.wav\t2\t1\tDog", "onset 2 is not before offset 1"),
        ("a.wav\t2\t2\tDog", "onset 2 is not before offset 2"),
        ("a.wav\t-0.5\t2\tDog", "onset '-0.5': expected seconds"),
        ("a.wav\t1\ttwo\tDog", "offset 'two': expected seconds"),
        ("a.wav\t1,5\t2\tDog", "onset '1,5': expected seconds"),
        ("a.wav\t1_0\t20\tDog", "onset '1_0': expected seconds"),
        ("a.wav\tnan\t2\tDog", "onset 'nan': expected seconds"),
        ("a.wav\t1\tinf\tDog", "offset 'inf': expected seconds"),
        ("a.wav\t\t2\tDog", "onset empty"),
        ("a.wav\t1\t\tDog", "offset empty"),
        ("a.wav\t1\t2\t", "event_label empty"),
        ("a.wav\t\t\tDog", "onset and offset empty"),
        ("\t1\t2\tDog", "file name '': is empty"),
        ("../a.wav\t1\t2\tDog", r"'../a.wav': expected a plain file name that stays in the audio folder"),
        ("/etc/passwd\t1\t2\tDog", "'/etc/passwd': expected a plain file name"),
        ("sub/a.wav\t1\t2\tDog", "'sub/a.wav': expected a plain file name"),
        ("..\\a.wav\t1\t2\tDog", "expected a plain file name"),
        ("..\t1\t2\tDog", "'..': expected a plain file name"),
        ("a\0.wav\t1\t2\tDog", r"'a\x00.wav': holds a control character"),
        ("a\rb.wav\t1\t2\tDog", r"'a\rb.wav': holds a control character"),
        ("a.wav\t1\t2", "expected 4 fields, as in the header; got 3"),
        ("a.wav\t1\t2\tDog\tCat", "expected 4 fields, as in the header; got 5"),
        ("a.wav", "expected 4 fields, as in the header; got 1"),
    ],
)
def test_a_faulty_strong_row_is_named_with_its_line(tmp_path, row, words):
    row = row if isinstance(row, bytes) else row.encode()
    path = tsv(tmp_path, STRONG.encode() + b"good.wav\t0\t1\tDog\n" + row + b"\n")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}:3: ")
    assert words in fault
    assert "\n" not in fault


@pytest.mark.parametrize("row", ["0\t1\t\tDog\ta.wav", "0\t1\ta.wav"])
def test_a_row_of_another_length_is_of_the_clip_that_it_names(tmp_path, row):
    path = tsv(tmp_path, f"onset\toffset\tevent_label\tfilename\n2\t3\tDog\ta.wav\n{row}\n")
    metadata = read_metadata(path, "strong", CLASSES)
    assert (metadata.faulty, metadata.events, metadata.expected) == ({"a.wav"}, {}, 1)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.wav\tDog,Whale", "label 'Whale' is not in the class list"),
        ("a.wav\tDog,,Cat", "an empty label between commas"),
        ("good.wav\tDog", "'good.wav' stands already in line 2"),
        ("good.wav\tCat", "'good.wav' stands already in line 2"),
    ],
)
def test_a_faulty_weak_row_is_named_with_its_line(tmp_path, row, words):
    path = tsv(tmp_path, f"filename\tevent_labels\ngood.wav\tDog\n{row}\n")
    (fault,) = faults(path, "weak")
    assert fault.startswith(f"{path}:3: ")
    assert words in fault


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a.wav\t0\t1\tDog\na.wav\t0\t1\tDog\n", "stands already in line 2"),
        ("a.wav\t\t\t\na.wav\t\t\t\n", "stands already in line 2"),
        ("a.wav\t0\t1\tDog\na.wav\t\t\t\n", "has events above, and here an empty row"),
        ("a.wav\t\t\t\na.wav\t0\t1\tDog\n", "is event-free by line 2, and has an event here"),
    ],
)
def test_a_clip_that_contradicts_itself_is_refused(tmp_path, rows, words):
    (fault,) = faults(tsv(tmp_path, STRONG + rows))
    assert words in fault


def test_an_unlabeled_clip_stands_once(tmp_path):
    assert "'a.wav' stands already in line 2" in faults(tsv(tmp_path, "filename\na.wav\na.wav\n"), "none")[0]


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("strong", "filename\tonset\toffset\tlabel"),
        ("strong", "filename,onset,offset,event_label"),
        ("strong", "filename\tevent_labels"),
        ("strong", "a.wav\t0\t1\tDog"),
        ("strong", "filename\tonset\toffset\tevent_label\tonset"),
        ("weak", "filename\tevent_label"),
        ("none", "name"),
        ("none", ""),
    ],
)
def test_other_columns_are_refused_by_name(tmp_path, kind, header):
    with pytest.raises(RecipeError, match=r"split\.tsv:1: expected the columns filename.* got "):
        read_metadata(tsv(tmp_path, header + "\n"), kind, CLASSES)


def test_all_faults_are_raised_together(tmp_path):
    path = tsv(tmp_path, STRONG + "a.wav\t2\t1\tDog\nb.wav\t0\t1\tWhale\n../c.wav\t0\t1\tDog\n")
    with pytest.raises(RecipeError) as error:
        read_events(path, CLASSES)
    assert [fault.line for fault in error.value.faults] == [2, 3, 4]


def test_a_clip_with_a_faulty_row_is_left_out_but_expected(tmp_path):
    metadata = read_metadata(
        tsv(tmp_path, STRONG + "a.wav\t0\t1\tDog\na.wav\t2\t1\tDog\nb.wav\t0\t1\tDog\n"), "strong", CLASSES
    )
    assert list(metadata.events) == ["b.wav"]
    assert metadata.expected == 2


def test_a_row_cut_short_takes_its_clip_out(tmp_path):
    metadata = read_metadata(tsv(tmp_path, STRONG + "a.wav\t0\t1\tDog\na.wav\t5\n"), "strong", CLASSES)
    assert (list(metadata.events), metadata.expected) == ([], 1)


def test_a_line_of_megabytes_gives_a_short_fault(tmp_path):
    (fault,) = faults(tsv(tmp_path, STRONG + "x" * 2_000_000 + "/\t0\t1\tDog\n"))
    assert len(fault) < len(str(tmp_path)) + 300


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
def test_a_table_that_is_not_as_said_is_refused(tmp_path, table, text, words):
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
def test_a_faulty_row_of_another_table_is_named_with_its_line(tmp_path, table, row, words):
    path = tsv(tmp_path, row + "\n")
    (fault,) = read_metadata(path, "strong", CLASSES, table).faults
    assert re.search(words, str(fault))


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "split.tsv")
    with pytest.raises(RecipeError, match="is a pipe, not a file"):
        read_metadata(tmp_path / "split.tsv", "strong", CLASSES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.tsv: no such metadata file"):
        read_events(tmp_path / "none.tsv", CLASSES)


def test_an_unknown_kind_of_labels_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="labels 'soft': expected strong, weak, none"):
        read_metadata(tsv(tmp_path, STRONG), "soft", CLASSES)


def test_an_evaluation_folder_is_listed_by_suffix(tmp_path):
    for name in ("b c.WAV", "ä.flac", "notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert [clip.name for clip in list_audio(tmp_path)] == ["b c.WAV", "ä.flac"]
    assert list_audio(tmp_path)[0] == Clip("b c.WAV", tmp_path / "b c.WAV", None, None)


def test_recordings_that_would_share_a_result_are_refused(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        (tmp_path / name).touch()
    with pytest.raises(RecipeError, match=r"'a\.flac' and 'a\.wav' differ in their suffix alone"):
        list_audio(tmp_path)


def test_a_newline_in_a_file_name_is_refused(tmp_path):
    (tmp_path / "a\nb.wav").touch()
    with pytest.raises(RecipeError, match=r"'a\\nb\.wav': holds a control character"):
        list_audio(tmp_path)


@pytest.mark.parametrize(("make", "words"), [(True, "no audio in this folder"), (False, "no such folder of audio")])
def test_an_evaluation_folder_without_audio_is_refused(tmp_path, make, words):
    folder = tmp_path / "evaluation"
    if make:
        folder.mkdir()
    with pytest.raises(RecipeError, match=words):
        list_audio(folder)


def test_only_links_out_of_the_corpus_lead_out(tmp_path):
    homes = [tmp_path / "audio", tmp_path / "weak"]
    for path in (*(home / "a.wav" for home in homes), tmp_path / "secret.wav"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    targets = {"inside.wav": "a.wav", "other.wav": "../weak/a.wav", "outside.wav": "../secret.wav"}
    for name, target in targets.items():
        (homes[0] / name).symlink_to(target)
    clips = [Clip(name, homes[0] / name, None, None) for name in ("a.wav", *targets)]
    assert [leads_out(clip, homes) for clip in clips] == [False, False, False, True]
