"""The reference that scores are compared with: its clips and events, and how it is written and read."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.reference import Reference, attach, read_reference, read_written_reference, write_reference
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder


@pytest.fixture
def files(tmp_path):
    """Write a ground truth and a file of durations from their rows."""

    def write(truth: list[str], durations: list[str], header: str = "filename\tduration"):
        truth_file, durations_file = tmp_path / "validation.tsv", tmp_path / "durations.tsv"
        truth_file.write_text("\n".join(["filename\tonset\toffset\tevent_label", *truth]) + "\n")
        durations_file.write_text("\n".join([header, *durations]) + "\n")
        return truth_file, durations_file

    return write


def test_clips_without_audio_are_in_neither_truth_nor_durations(files):
    reference = read_reference(*files(["a.wav\t0\t1\tCat", "b.wav\t0\t1\tCat"], ["a.wav\t10.0"]), ("Cat",))
    assert reference.truth == {"a": [Event(0.0, 1.0, "Cat")]}
    assert reference.durations == {"a": 10.0}
    assert reference.expected == 2


def test_event_free_clips_are_kept(files):
    reference = read_reference(*files(["a.wav\t0\t1\tCat", "b.wav\t\t\t"], ["a.wav\t10", "b.wav\t10"]), None)
    assert reference.truth["b"] == []
    assert (reference.expected, reference.unnamed) == (2, 0)


def test_clips_that_the_truth_does_not_name_are_event_free_and_counted(files):
    reference = read_reference(*files(["a.wav\t0\t1\tCat"], ["a.wav\t10", "b.wav\t10"]), None)
    assert reference.truth["b"] == []
    assert reference.unnamed == 1


def test_the_truth_is_as_published_except_that_touching_events_are_merged(files):
    rows = ["a.wav\t0\t1\tCat", "a.wav\t1\t2\tCat", "a.wav\t9\t10.7\tDog"]
    reference = read_reference(*files(rows, ["a.wav\t10"]), None)
    assert reference.truth["a"] == [Event(0.0, 2.0, "Cat"), Event(9.0, 10.7, "Dog")]


def test_a_label_outside_the_classes_is_named_with_its_line(files):
    with pytest.raises(RecipeError, match=r"validation.tsv:2: .*Bird"):
        read_reference(*files(["a.wav\t0\t1\tBird"], ["a.wav\t10"]), ("Cat",))


def test_files_of_other_clips_are_refused(files):
    with pytest.raises(RecipeError, match=r"no clip of durations.tsv is in the ground truth"):
        read_reference(*files(["a.wav\t0\t1\tCat"], ["Ya.wav\t10"]), None)


def test_clips_that_differ_in_their_suffix_alone_are_refused(files):
    with pytest.raises(RecipeError, match="the same name except for the suffix"):
        read_reference(*files(["a.wav\t0\t1\tCat"], ["a.wav\t10", "a.flac\t10"]), None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.wav\tlong"], "durations.tsv:2: expected a duration above 0 s, got 'long'"),
        (["a.wav\t0"], "durations.tsv:2: expected a duration above 0 s, got '0'"),
        (["a.wav\tnan"], "durations.tsv:2: expected a duration above 0 s, got 'nan'"),
        (["a.wav"], "durations.tsv:2: expected a duration above 0 s, got ''"),
        (["a.wav\t10", "a.wav\t10"], "durations.tsv:3: a second duration of a.wav"),
        ([], "durations.tsv: expected at least one clip"),
    ],
)
def test_faulty_durations_are_named_with_their_line(files, rows, message):
    with pytest.raises(RecipeError, match=message):
        read_reference(*files(["a.wav\t0\t1\tCat"], rows), None)


def test_durations_that_a_spreadsheet_wrote_are_read(files):
    truth, durations = files(["a.wav\t0.0\t1.0\tCat"], [])
    durations.write_bytes(b'\xef\xbb\xbf"filename"\t"duration"\t\r\n"a.wav"\t10\t\r\n\r\n')
    assert read_reference(truth, durations, None).durations == {"a": 10.0}


def test_durations_with_other_columns_are_refused(files):
    with pytest.raises(RecipeError, match=r"durations.tsv:1: .* filename and duration, got 'name length'"):
        read_reference(*files(["a.wav\t0\t1\tCat"], ["a.wav\t10"], header="name\tlength"), None)


def test_a_missing_file_of_durations_is_reported(files, tmp_path):
    truth, _ = files(["a.wav\t0\t1\tCat"], [])
    with pytest.raises(RecipeError, match="no such file of durations"):
        read_reference(truth, tmp_path / "none.tsv", None)


def scores_of(*clips: str) -> ScoreFolder:
    return ScoreFolder(("Cat",), {clip: ClipScores(np.array([0.0, 10.0]), np.array([[0.9]])) for clip in clips})


REFERENCE = Reference({"a": [], "b": []}, {"a": 10.0, "b": 8.0}, 2)


def test_a_clip_with_audio_but_without_scores_is_an_error():
    with pytest.raises(RecipeError, match=r"1 of 2 clips have audio but no scores: b; .*--allow_missing"):
        attach(scores_of("a"), REFERENCE, allow_missing=False)


def test_clips_without_scores_count_as_never_detected_if_that_is_allowed():
    attached = attach(scores_of("a"), REFERENCE, allow_missing=True)
    assert attached.missing == 1
    assert attached.scores.clips["b"].edges.tolist() == [0.0, 8.0]
    assert attached.scores.clips["b"].scores.tolist() == [[-np.inf]]


def test_scores_of_no_clip_at_all_are_an_error_even_if_missing_scores_are_allowed():
    with pytest.raises(RecipeError, match="2 of 2 clips have audio but no scores"):
        attach(scores_of("c"), REFERENCE, allow_missing=True)


def test_scores_of_other_clips_are_left_out_and_counted():
    attached = attach(scores_of("a", "b", "c"), REFERENCE, allow_missing=False)
    assert sorted(attached.scores.clips) == ["a", "b"]
    assert attached.others == 1


def test_the_clip_list_hash_depends_only_on_the_names_of_the_clips():
    other = Reference({}, {"a": 10.0}, 2)
    same = Reference({}, {"b": 8.1, "a": 10.0}, 5)
    assert REFERENCE.clip_list_hash != other.clip_list_hash
    assert REFERENCE.clip_list_hash == same.clip_list_hash


@pytest.mark.parametrize(
    ("duration", "event", "expected"),
    [
        ("NaN", '[0, 1, "Dog"]', "1"),
        ("0", '[0, 1, "Dog"]', "1"),
        ("1" + "0" * 400, '[0, 1, "Dog"]', "1"),
        ("10", '["0", "1", "Dog"]', "1"),
        ("10", '[1, 1, "Dog"]', "1"),
        ("10", "[0, 1, 2]", "1"),
        ("10", '[0, 1, "Dog"]', "0"),
        ("10", '[0, 1, "Dog"]', "Infinity"),
    ],
)
def test_a_written_reference_with_other_values_is_refused(tmp_path, duration, event, expected):
    file = tmp_path / "truth.json"
    file.write_text(f'{{"expected": {expected}, "clips": {{"a": {{"duration": {duration}, "events": [{event}]}}}}}}')
    with pytest.raises(RecipeError, match=r"truth.json: expected the truth of a run, as stage 3 writes it"):
        read_written_reference(file)


def test_a_written_reference_is_read_back(tmp_path):
    truth = {"a": [Event(0.5, 1.25, "Dog")], "b": []}
    reference = Reference(truth, {"a": 10.0, "b": 9.5}, 3)
    write_reference(tmp_path / "truth.json", reference)
    assert read_written_reference(tmp_path / "truth.json") == reference
