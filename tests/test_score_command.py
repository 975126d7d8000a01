"""`python -m recipe_mtlvae score`: figures, coverage, options, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from recipe_mtlvae.commands.score import main
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.scoring.scores import write_scores

CLASSES = ("Bird", "Cat", "Dog")
TRUTH = {"a.wav": [(1.0, 3.0, "Cat"), (5.0, 9.0, "Dog")], "b.wav": [(0.0, 4.0, "Cat")], "c.wav": []}


@pytest.fixture
def corpus(tmp_path):
    """Ground truth and durations of three clips of 10 s, with perfect scores and operating points."""
    rows = [f"{name}\t{a}\t{b}\t{label}" for name, events in TRUTH.items() for a, b, label in events]
    rows += [f"{name}\t\t\t" for name, events in TRUTH.items() if not events]
    (tmp_path / "test.tsv").write_text("\n".join(["filename\tonset\toffset\tevent_label", *rows]) + "\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\n" + "".join(f"{name}\t10\n" for name in TRUTH))
    for name, events in TRUTH.items():
        scores = np.full((100, 3), 0.1)
        for onset, offset, label in events:
            scores[int(10 * onset) : int(10 * offset), CLASSES.index(label)] = 0.9
        write_scores(tmp_path / "scores", name[0], scores, 0.1, CLASSES)
    (tmp_path / "points").mkdir()
    for threshold in ("0.25", "0.49", "0.51", "0.75"):
        shuffled = [f"{label}\t{name}\t{a}\t{b}" for name, events in TRUTH.items() for a, b, label in events]
        header = "event_label\tfilename\tonset\toffset"
        (tmp_path / "points" / f"th_{threshold}.tsv").write_text("\n".join([header, *shuffled]) + "\n")
    return tmp_path


def run(corpus, *options: str, out: str = "metrics.json") -> dict:
    files = ["--ground_truth", str(corpus / "test.tsv"), "--durations", str(corpus / "durations.tsv")]
    main([*options, *files, "--out", str(corpus / "out" / out)])
    return json.loads((corpus / "out" / out).read_text())


def test_perfect_scores_give_one_everywhere(corpus):
    content = run(corpus, "--scores", str(corpus / "scores"))
    names = ("psds1", "psds2", "event_f1", "segment_f1", "intersection_f1")
    assert {name: content[name] for name in names} == dict.fromkeys(names, 1.0)
    assert content["per_class"]["Cat"] == dict.fromkeys(names, 1.0)
    assert content["per_class"]["Bird"] == dict.fromkeys(names)


def test_the_file_states_what_the_figures_depend_on(corpus):
    content = run(corpus, "--scores", str(corpus / "scores"))
    assert content["split"] == "test"
    assert content["coverage"] == {"scored": 3, "expected": 3}
    assert content["absent_classes"] == ["Bird"]
    assert (content["threshold"], content["median_filter_seconds"]) == (0.5, 0.0)
    assert content["versions"]["sed_scores_eval"]
    assert len(content["clip_list_hash"]) == 12


def test_operating_points_give_the_figures_of_their_scores(corpus):
    content = run(corpus, "--operating_points", str(corpus / "points"))
    assert (content["psds1"], content["event_f1"]) == (1.0, 1.0)
    assert content["threshold"] == 0.51


def test_f1_counts_the_events_of_the_threshold_nearest_to_one_half(corpus):
    for threshold in ("0.25", "0.49"):
        (corpus / "points" / f"th_{threshold}.tsv").write_text("filename\tonset\toffset\tevent_label\n")
    assert run(corpus, "--operating_points", str(corpus / "points"))["event_f1"] == 1.0
    (corpus / "points" / "th_0.51.tsv").write_text("filename\tonset\toffset\tevent_label\n")
    assert run(corpus, "--operating_points", str(corpus / "points"))["event_f1"] == 0.0


def test_a_class_of_the_truth_that_was_never_detected_scores_zero(corpus):
    for file in (corpus / "points").iterdir():
        file.write_text("filename\tonset\toffset\tevent_label\na.wav\t1\t3\tCat\nb.wav\t0\t4\tCat\n")
    content = run(corpus, "--operating_points", str(corpus / "points"))
    assert content["per_class"]["Dog"]["event_f1"] == 0.0
    assert content["event_f1"] == 0.5


def test_two_outputs_that_end_in_a_number_keep_their_own_curves(corpus):
    for name in ("th0.5", "th0.7"):
        run(corpus, "--scores", str(corpus / "scores"), out=name)
        assert (corpus / "out" / f"{name}.psd_roc.json").is_file()


def test_the_median_filter_takes_seconds(corpus, capsys):
    scores = np.full((100, 3), 0.1)
    scores[50, 1] = 0.9  # 0.1 s of Cat where nothing is
    write_scores(corpus / "scores", "c", scores, 0.1, CLASSES)
    assert run(corpus, "--scores", str(corpus / "scores"))["event_f1"] < 1.0
    content = run(corpus, "--scores", str(corpus / "scores"), "--median_filter", "0.3")
    assert (content["event_f1"], content["median_filter_seconds"]) == (1.0, pytest.approx(0.3))


def test_a_median_filter_of_an_even_number_of_steps_becomes_odd_with_a_message(corpus, capsys):
    content = run(corpus, "--scores", str(corpus / "scores"), "--median_filter", "0.42")
    assert content["median_filter_seconds"] == pytest.approx(0.5)
    assert "median filter of 0.5 s, the nearest odd number of steps to 0.42 s" in capsys.readouterr().out


def test_clips_without_audio_lower_the_coverage(corpus, capsys):
    (corpus / "durations.tsv").write_text("filename\tduration\na.wav\t10\nc.wav\t10\n")
    content = run(corpus, "--scores", str(corpus / "scores"))
    assert content["coverage"] == {"scored": 2, "expected": 3}
    printed = capsys.readouterr().out
    assert "2 of 3 clips scored, coverage 0.667" in printed
    assert "1 scored clips are not in the clip list: left out" in printed


def test_missing_scores_are_an_error_unless_allowed(corpus):
    (corpus / "scores" / "b.tsv").unlink()
    with pytest.raises(RecipeError, match="1 of 3 clips have audio but no scores: b"):
        run(corpus, "--scores", str(corpus / "scores"))
    assert not (corpus / "out").exists()
    content = run(corpus, "--scores", str(corpus / "scores"), "--allow_missing")
    assert content["coverage"] == {"scored": 2, "expected": 3}
    assert content["per_class"]["Cat"]["event_f1"] == pytest.approx(2 / 3)


def test_operating_points_of_other_clips_are_an_error(corpus):
    for file in (corpus / "points").iterdir():
        file.write_text(file.read_text().replace(".wav", "_0.wav"))
    with pytest.raises(RecipeError, match="none of these clips is in the clip list"):
        run(corpus, "--operating_points", str(corpus / "points"))


def test_a_system_that_detects_nothing_at_any_threshold_scores_0(corpus, capsys):
    for file in (corpus / "points").iterdir():
        file.write_text("filename\tonset\toffset\tevent_label\n")
    content = run(corpus, "--operating_points", str(corpus / "points"))
    assert (content["psds1"], content["event_f1"]) == (0.0, 0.0)
    assert "never detected: Cat, Dog" in capsys.readouterr().out


def test_the_psd_roc_is_written_beside_the_metrics(corpus):
    run(corpus, "--scores", str(corpus / "scores"))
    curves = json.loads((corpus / "out" / "metrics.psd_roc.json").read_text())
    assert curves["psds1"] == {"efpr": [0.0, 100.0], "etpr": [1.0, 1.0]}
    assert curves.keys() == {"psds1", "psds2"}


def test_the_table_shows_the_figures(corpus, capsys):
    run(corpus, "--scores", str(corpus / "scores"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["PSDS1", "PSDS2", "EB-F1", "%", "SB-F1", "%", "IB-F1", "%"]
    assert lines[1].split() == ["macro", "1.0000", "1.0000", "100.00", "100.00", "100.00"]
    assert lines[2].split() == ["Bird", "-", "-", "-", "-", "-"]


def test_bad_input_gives_one_line_and_exit_code_1(corpus):
    (corpus / "scores" / "a.tsv").write_text("onset\toffset\tBird\tCat\tDog\n0\t1\t0\tnan\t0\n")
    files = ["--ground_truth", corpus / "test.tsv", "--durations", corpus / "durations.tsv"]
    command = [sys.executable, "-m", "recipe_mtlvae", "score", "--scores", corpus / "scores", *files]
    result = subprocess.run([*command, "--out", corpus / "metrics.json"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.endswith("a.tsv:2: expected a finite number, got 'nan'\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("out", ["/", ".", "out", "points", "/dev/null", "fifo", "points.json"])
def test_out_must_be_a_plain_file(corpus, out):
    """Neither --out nor the file of curves beside it may be a folder, pipe or device; nothing is written then."""
    (corpus / "out").mkdir()
    os.mkfifo(corpus / "fifo")
    (corpus / "points.psd_roc.json").mkdir()
    before = sorted(corpus.rglob("*"))
    files = ["--ground_truth", str(corpus / "test.tsv"), "--durations", str(corpus / "durations.tsv")]
    with pytest.raises(RecipeError, match="--out: expected a file, this is a"):
        main(["--scores", str(corpus / "scores"), *files, "--out", str(corpus / out)])
    assert sorted(corpus.rglob("*")) == before


def test_a_pipe_is_refused_instead_of_waited_for(corpus):
    os.mkfifo(corpus / "scores" / "pipe.tsv")
    with pytest.raises(RecipeError, match=r"pipe\.tsv: is a pipe"):
        run(corpus, "--scores", str(corpus / "scores"))
    os.mkfifo(corpus / "pipe")
    files = ["--ground_truth", str(corpus / "test.tsv"), "--durations", str(corpus / "pipe")]
    with pytest.raises(RecipeError, match="pipe: is a pipe"):
        main(["--operating_points", str(corpus / "points"), *files, "--out", str(corpus / "m.json")])


def test_a_median_filter_longer_than_every_clip_is_refused(corpus):
    with pytest.raises(RecipeError, match=r"median filter of 1e[+]300 s: the longest clip has 10 s"):
        run(corpus, "--scores", str(corpus / "scores"), "--median_filter", "1e300")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--scores", "x", "--operating_points", "y"],
        ["--operating_points", "x", "--median_filter", "0.5"],
        ["--operating_points", "x", "--allow_missing"],
        *(["--scores", "x", "--median_filter", value] for value in ("-1", "nan", "inf", "soon")),
    ],
)
def test_wrong_usage_is_exit_code_2(corpus, options, capsys):
    with pytest.raises(SystemExit) as caught:
        run(corpus, *options)
    assert caught.value.code == 2
