"""Metadata TSVs: what is accepted, what is refused, and the error messages. Other formats: test_table_formats.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recipe_mtlvae.corpus.metadata import Clip, read_events, read_metadata, split_clips
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from tests.tables import CLASSES, STRONG, tsv


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


def test_weak_labels_are_separated_by_commas(tmp_path):
    path = tsv(tmp_path, "filename\tevent_labels\na.wav\tDog,Speech\nb.wav\tCat\nc.wav\t\n")
    labels = read_metadata(path, "weak", CLASSES).labels
    assert labels == {"a.wav": {"Dog", "Speech"}, "b.wav": {"Cat"}, "c.wav": frozenset()}


def test_other_columns_of_an_unlabeled_set_are_ignored(tmp_path):
    path = tsv(tmp_path, "filename\tevent_labels\na.wav\tanything at all\n")
    assert read_metadata(path, "none", CLASSES).labels == {"a.wav": None}


@pytest.mark.parametrize("label", ["dog", "Dog\u00a0", "DOG"])
def test_for_a_label_that_differs_only_in_case_or_spaces_the_right_one_is_suggested(tmp_path, label):
    (fault,) = faults(tsv(tmp_path, STRONG + f"a.wav\t0\t1\t{label}\n"))
    assert "is not in the class list; 'Dog' is, which differs in case or spaces alone" in fault


@pytest.mark.parametrize("name", ["a\u3000b.wav", "a\u00a0b.wav", "\U0001f469\u200d\U0001f466.wav", "\u05d0\u200f.wav"])
def test_names_may_hold_other_spaces_joiners_and_direction_marks(tmp_path, name):
    assert list(read_events(tsv(tmp_path, STRONG + f"{name}\t0\t1\tDog\n"), CLASSES)) == [name]


def test_without_a_class_list_any_label_is_accepted(tmp_path):
    assert faults(tsv(tmp_path, STRONG + "a.wav\t0\t1\tWhale\n"), classes=None) == []


def test_clips_are_sorted_and_know_their_events_and_labels(tmp_path):
    metadata = read_metadata(tsv(tmp_path, STRONG + "b.wav\t1\t2\tCat\na.wav\t\t\t\n"), "strong", CLASSES)
    assert split_clips(metadata, Path("x")) == [
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
        (".a.wav\t1\t2\tDog", "'.a.wav': expected a name that does not begin with a dot"),
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
    path = tsv(tmp_path, STRONG + f"good.wav\t0\t1\tDog\n{row}\n")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}:3: ")
    assert words in fault
    assert "\n" not in fault


@pytest.mark.parametrize("row", ["0\t1\t\tDog\ta.wav", "0\t1\ta.wav"])
def test_a_row_with_a_wrong_number_of_fields_makes_the_clip_that_it_names_faulty(tmp_path, row):
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


def test_an_unlabeled_clip_that_stands_twice_is_refused(tmp_path):
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
def test_wrong_columns_are_refused_with_the_expected_ones(tmp_path, kind, header):
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


def test_a_row_that_is_cut_short_excludes_its_clip(tmp_path):
    metadata = read_metadata(tsv(tmp_path, STRONG + "a.wav\t0\t1\tDog\na.wav\t5\n"), "strong", CLASSES)
    assert (list(metadata.events), metadata.expected) == ([], 1)


def test_a_line_of_megabytes_gives_a_short_fault(tmp_path):
    (fault,) = faults(tsv(tmp_path, STRONG + "x" * 2_000_000 + "/\t0\t1\tDog\n"))
    assert len(fault) < len(str(tmp_path)) + 300


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
