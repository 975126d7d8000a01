"""Score folders: what is written and read back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.scoring.scores import read_scores, write_scores

CLASSES = ("Cat", "Dog")
SCORES = np.array([[0.1, 0.9], [0.25, 0.5], [1e-7, 0.99999994]], dtype=np.float32)


def write(folder, name: str, *rows: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")


HEADER = "onset\toffset\tCat\tDog"


def test_written_scores_are_read_back(tmp_path):
    write_scores(tmp_path, "Yabc_30.000_40.000", SCORES, 0.064, CLASSES)
    folder = read_scores(tmp_path)
    edges, scores = folder.clips["Yabc_30.000_40.000"]
    assert folder.classes == CLASSES
    assert edges.tolist() == [0.0, 0.064, 0.128, 0.192]
    assert scores == pytest.approx(SCORES, rel=1e-7)


def test_scores_of_many_hours_are_written_without_a_gap(tmp_path):
    scores = np.random.default_rng(0).random((25_000, 2)).astype(np.float32)  # more than are written at a time
    write_scores(tmp_path, "a", scores, 0.064, CLASSES)
    assert read_scores(tmp_path).clips["a"].scores == pytest.approx(scores, rel=1e-7)


def test_sed_scores_eval_reads_a_written_folder(tmp_path):
    from sed_scores_eval.base_modules.io import read_sed_scores

    write_scores(tmp_path, "a", np.tile(SCORES, (52, 1)), 0.064, CLASSES)
    frame = read_sed_scores(tmp_path)["a"]
    assert list(frame.columns) == ["onset", "offset", "Cat", "Dog"]
    assert frame["offset"].iloc[-1] == pytest.approx(9.984)


def test_scores_that_differ_only_near_one_stay_different(tmp_path):
    near_one = np.array([[1.0 - 2**-24], [1.0]], dtype=np.float32)
    write_scores(tmp_path, "a", near_one, 1.0, ("Cat",))
    scores = read_scores(tmp_path).clips["a"].scores
    assert scores[0, 0] < scores[1, 0]


def test_scores_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(RecipeError, match="scores that are not finite"):
        write_scores(tmp_path, "a", np.array([[np.nan]]), 1.0, ("Cat",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clip_id", ["../a", "a/b", ".hidden", ""])
def test_a_clip_id_cannot_leave_the_folder(tmp_path, clip_id):
    with pytest.raises(RecipeError, match="expected a plain name"):
        write_scores(tmp_path, clip_id, SCORES, 1.0, CLASSES)


def test_scores_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected scores \(steps, 2\), got \(3, 1\)"):
        write_scores(tmp_path, "a", np.zeros((3, 1)), 1.0, CLASSES)


def test_columns_are_matched_by_name(tmp_path):
    write(tmp_path, "a", HEADER, "0\t1\t0.2\t0.8")
    write(tmp_path, "b", "onset\toffset\tDog\tCat", "0\t1\t0.8\t0.2")
    assert read_scores(tmp_path).clips["b"].scores.tolist() == [[0.2, 0.8]]


def test_windows_with_gaps_from_rounding_count_as_gapless(tmp_path):
    write(tmp_path, "a", HEADER, "0\t0.3333333\t0\t0", "0.3333334\t1\t0\t0")
    assert read_scores(tmp_path).clips["a"].edges.tolist() == [0.0, 0.3333334, 1.0]


def test_files_that_are_no_tables_are_ignored(tmp_path):
    write(tmp_path, "a", HEADER, "0\t1\t0.2\t0.8")
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".a.tsv.partial.tsv").write_text("mine")
    assert list(read_scores(tmp_path).clips) == ["a"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([HEADER, "0\t1\t0\t0", "2\t3\t0\t0"], "a.tsv:3: expected gapless windows.* from 2 to 3 s after .* ends at 1"),
        ([HEADER, "0\t1\t0\t0", "0.5\t3\t0\t0"], "a.tsv:3: expected gapless windows"),
        ([HEADER, "0\t0\t0\t0"], "a.tsv:2: expected gapless windows"),
        ([HEADER, "-1\t1\t0\t0"], "a.tsv:2: expected gapless windows from 0 s on"),
        ([HEADER, "0\t1\t0\tnan"], "a.tsv:2: expected a finite number, got 'nan'"),
        ([HEADER, "0\t1\t0\t0", "1\t2\tinf\t0"], "a.tsv:3: expected a finite number, got 'inf'"),
        ([HEADER, "0\t1_0\t0\t0"], "a.tsv:2: expected a finite number, got '1_0'"),
        ([HEADER, "0\t1\t0\thigh"], "a.tsv:2: expected a finite number, got 'high'"),
        ([HEADER, "0\t1\t0\t"], "a.tsv:2: expected a finite number, got ''"),
        ([HEADER, "0\t1\t0"], "a.tsv:2: expected 4 fields, got 3"),
        ([HEADER], "a.tsv: expected at least one window"),
        (["event_label\tonset\toffset\tfilename", "Cat\t0\t1\ta.wav"], "a.tsv:1: expected columns onset, offset"),
        (["onset\toffset", "0\t1"], "a.tsv:1: expected columns onset, offset and one a class"),
        (["onset\toffset\tCat\tCat", "0\t1\t0\t0"], "a.tsv:1: expected columns onset, offset and one a class"),
    ],
)
def test_a_faulty_file_is_refused_in_one_line(tmp_path, rows, message):
    write(tmp_path, "a", *rows)
    with pytest.raises(RecipeError, match=message) as caught:
        read_scores(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.tsv").write_text("")
    with pytest.raises(RecipeError, match=r"a.tsv: expected a table of scores"):
        read_scores(tmp_path)


def test_all_faulty_files_are_named(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path, name, HEADER, "0\t1\t0\tnan" if name != "b" else "0\t1\t0\t0")
    with pytest.raises(RecipeError) as caught:
        read_scores(tmp_path)
    assert [fault.path.name for fault in caught.value.faults] == ["a.tsv", "c.tsv"]


def test_files_of_other_classes_are_named(tmp_path):
    write(tmp_path, "a", HEADER, "0\t1\t0\t0")
    write(tmp_path, "b", "onset\toffset\tCat\tBird", "0\t1\t0\t0")
    with pytest.raises(RecipeError, match=r"b.tsv:1: expected columns Cat Dog; got Cat Bird"):
        read_scores(tmp_path)


def test_empty_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="empty score folder"):
        read_scores(tmp_path)
    with pytest.raises(RecipeError, match="no such score folder"):
        read_scores(tmp_path / "none")
