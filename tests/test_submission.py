"""The package of 2022 made from a run: its files, its figures, and its events, which come from the run's scores."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.scoring.postprocess import median_filter, to_events
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.package import build_submission
from recipe_mtlvae.submission.profile import Profile, read_profile
from tests.packable import EVALUATION, LABEL, STEP, make_run, read_zip, with_report
from tests.tiny import tiny_conf


def test_a_package_of_the_evaluation_set_passes_the_check(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, stored, profile)
    assert submission.path == tmp_path / "submission" / "Doe-Muller_TUX_task4.zip"
    assert (submission.label, submission.split, submission.clips, submission.rehearsal) == (LABEL, "evaluation", 3, ())
    report = check_package(submission.path, profile)
    assert (report.faults, report.rehearsal) == ((), None)


def test_the_package_holds_the_files_of_the_challenge(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    files = read_zip(build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, stored, profile).path)
    points = {f"{LABEL}/operating_points/predictions_th_{(2 * i + 1) / 100:.2f}.tsv" for i in range(50)}
    others = {f"{LABEL}/{LABEL}.meta.yaml", f"{LABEL}/{LABEL}.output.tsv", "Doe-Muller_TUX_task4.technical_report.pdf"}
    assert files.keys() == points | others


def test_events_come_from_the_filtered_scores_at_every_threshold(
    stored: Path, profile: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    files = read_zip(build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, stored, profile).path)
    scores = read_scores(tmp_path / "scores" / "evaluation")
    named = {f"{LABEL}/{LABEL}.output.tsv": 0.5, f"{LABEL}/operating_points/predictions_th_0.01.tsv": 0.01}
    named[f"{LABEL}/operating_points/predictions_th_0.37.tsv"] = 0.37
    for file, threshold in named.items():
        expected = "filename\tonset\toffset\tevent_label\n"
        for name in EVALUATION:
            edges, clip = scores.clips[Path(name).stem]
            for event in to_events(median_filter(clip, 3), edges, scores.classes, threshold):
                expected += f"{name}\t{event.onset:.3f}\t{event.offset:.3f}\t{event.label}\n"
        assert files[file] == expected


def test_events_are_cut_at_the_end_of_their_clip(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    for name in EVALUATION:  # 2 s of sound, 2.24 s of scores: one event across the end, one beyond it
        scores = np.zeros((35, 2))
        scores[28:, 0], scores[32:, 1] = 0.9, 0.9
        write_scores(run / "scores" / "evaluation", Path(name).stem, scores, STEP, ("Beep", "Hum"))
    files = read_zip(build_submission([run], conf, stored, profile).path)
    rows = files[f"{LABEL}/{LABEL}.output.tsv"].splitlines()[1:]
    assert rows == [f"{name}\t1.792\t2.000\tBeep" for name in EVALUATION]


def test_everything_measured_is_filled_in(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf("energy.baseline_devtest_kwh=0.03")
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, stored, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert meta["submission"]["label"] == LABEL
    assert "notes" not in meta["submission"]
    assert meta["system"]["complexity"] == {"total_parameters": 1234567, "MACS": 250000000}
    assert meta["system"]["energy_consumption"] == {
        "training": 0.00123457,
        "devtest": 2e-05,
        "evaluation": 3e-05,
        "baseline_devtest": 0.03,
        "baseline_evaluation": None,
        "measured_by": "codecarbon 3.3, CPU estimated (constant), A CPU",
    }
    assert meta["results"]["development_dataset"] == {
        "overall": {"PSDS1": 0.1235, "PSDS2": 0.5, "F-score": 32.1},
        "class_wise": {"Beep": {"F-score": 32.1}, "Hum": {"F-score": None}},
    }
    description = meta["system"]["description"]
    assert description["input_sampling_rate"] == 16
    assert description["post-processing"] == "median filtering (192 ms)"
    assert description["decision_making"] == "threshold 0.5"
    assert meta["system"]["external_data"] == ["AudioSet strong"]


def test_only_the_corresponding_author_is_marked(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, stored, profile)
    authors = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])["submission"]["authors"]
    assert [author["lastname"] for author in authors] == ["Roe", "Doe-Müller"]
    assert "corresponding" not in authors[0]
    assert authors[1]["corresponding"] is True and authors[1]["email"] == "jo@tux.org"


def test_the_same_run_gives_the_same_bytes(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    first = build_submission([run], conf, stored, profile).path.read_bytes()
    assert build_submission([run], conf, stored, profile).path.read_bytes() == first


def test_without_an_evaluation_set_public_is_packed_as_a_rehearsal(
    stored: Path, profile: Profile, tmp_path: Path
) -> None:
    conf, root = tiny_conf(), shutil.copytree(stored, tmp_path / "corpus")
    shutil.rmtree(root / "audio" / "eval" / "evaluation")
    names = [f"public_{i}.wav" for i in range(3)]
    submission = build_submission([make_run(tmp_path, conf, "public", names)], conf, root, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert submission.split == "public"
    assert meta["submission"]["notes"].startswith("REHEARSAL, not for submission: there is no evaluation set")
    report = check_package(submission.path, profile)
    assert report.faults == ()
    assert ["no technical report" in str(fault) for fault in report.to_fill_in] == [True]


def test_the_shipped_example_makes_a_rehearsal_that_passes(stored: Path, tmp_path: Path) -> None:
    conf = tiny_conf("data.prepare=mini", "mini.weak=1")
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    submission = build_submission([run], conf, stored, read_profile())
    assert submission.label == "Lastname_Institute_task4_1"
    expected = ("made corpus 'tiny'", "classes are not the challenge's", "still the example's")
    assert all(part in reason for part, reason in zip(expected, submission.rehearsal, strict=True))
    report = check_package(submission.path, read_profile())
    assert report.faults == ()
    assert len(report.to_fill_in) == 2  # the authors and the report


def test_what_was_not_measured_is_left_empty_and_never_zero(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    (run / "energy.json").write_text(json.dumps({"training": {"kwh": None, "mode": None, "reason": "no tracker"}}))
    submission = build_submission([run], conf, stored, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert set(meta["system"]["energy_consumption"].values()) == {None}
    faults = [str(fault) for fault in check_package(submission.path, profile).faults]
    assert len(faults) == 3 and all("got nothing" in fault for fault in faults)


def test_a_clip_without_scores_is_named_and_nothing_is_written(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION[:2])
    with pytest.raises(RecipeError, match=r"any name 2\.wav: this clip has no scores; run stage 2"):
        build_submission([run], conf, stored, profile)
    assert not (run / "submission").exists()


def test_missing_scores_and_a_missing_report_are_named(stored: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    with pytest.raises(RecipeError, match="no scores of 'evaluation'; run stage 2"):
        build_submission([make_run(tmp_path, conf, "public", ["public_0.wav"])], conf, stored, profile)
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    missing = dataclasses.replace(profile, report=str(tmp_path / "none.pdf"))
    with pytest.raises(RecipeError, match=r"none\.pdf: no such file; correct `report`"):
        build_submission([run], conf, stored, missing)
