"""A valid package of 2024 passes, each fault is reported, and what the public validator accepts is only a warning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recipe_mtlvae.submission.check import CheckReport
from tests.package_2022 import LABEL, META
from tests.package_2024 import (
    CLASSES,
    CLIPS,
    check,
    edit,
    good,
    output,
    profile_of,
    renamed,
    scores,
    system,
    without,
)


def test_a_good_package_of_2024_is_fit_for_submission(tmp_path: Path) -> None:
    assert check(tmp_path, good()) == CheckReport((LABEL,), (), (), None)


def test_a_package_with_2200_clips_and_three_runs_passes(tmp_path: Path) -> None:
    report = check(tmp_path, {"report.pdf": "%PDF-1.4\n", **system(clips=2200)}, profile_of("2024", clips=2200))
    assert report == CheckReport((LABEL,), (), (), None)


DAMAGED = {
    "no report": (without("report.pdf"), "no technical report"),
    "the report lies in the system's folder": (
        {**without("report.pdf"), f"{LABEL}/report.pdf": "%PDF"},
        ("no technical report", f"{LABEL}/report.pdf: is not part"),
    ),
    "a folder at the top that is no system": (
        {**good(), "codecarbon/training.csv": ""},
        (
            "codecarbon/: expected a folder called",
            "codecarbon.meta.yaml: is missing",
            "run1.output/: this score folder",
        ),
    ),
    "Mac's litter": ({**good(), f"__MACOSX/{LABEL}/._x": ""}, "__MACOSX/: is not part of a package"),
    "an empty folder at the top": ({**good(), "drafts/": ""}, "drafts/: expected a folder called"),
    "a label of three parts": (renamed(LABEL, "Doe_task4_1"), "Doe_task4_1/: expected a folder called"),
    "a dot in the label": (renamed(LABEL, "Doe_T.X_task4_1"), "Doe_T.X_task4_1/: expected a folder called"),
    "baseline in capitals": (edit(lambda m: m["submission"].update(name="BASELINE 2")), "must not hold the word"),
    "baseline in the abbreviation": (
        edit(lambda m: m["submission"].update(abbreviation="Baseline")),
        "submission.abbreviation: must not hold the word",
    ),
    "another label inside": (edit(lambda m: m["submission"].update(label="Doe_TUX_task4_2")), "like its folder"),
    "no corresponding author": (
        edit(lambda m: m["submission"]["authors"][0].pop("corresponding")),
        "expected at least 1 with `corresponding: true`, got 0",
    ),
    "an author without a last name": (
        edit(lambda m: m["submission"]["authors"][1].pop("lastname")),
        "author 2 has no lastname",
    ),
    "parameters as a float": (
        edit(lambda m: m["system"]["complexity"].update(total_parameters=1.4e6)),
        "total_parameters: expected an integer",
    ),
    "the sampling rate as a text": (
        edit(lambda m: m["system"]["description"].update(input_sampling_rate="16 kHz")),
        "input_sampling_rate: expected a number",
    ),
    "acoustic features as a number": (
        edit(lambda m: m["system"]["description"].update(acoustic_features=3)),
        "acoustic_features: expected a text or list of texts",
    ),
    "acoustic features left out": (
        edit(lambda m: m["system"]["description"].pop("acoustic_features")),
        "acoustic_features: is missing; write null",
    ),
    "no source code": (edit(lambda m: m["system"].pop("source_code")), "source_code: is missing; write null"),
    "PSDS1 as an integer": (
        edit(lambda m: m["results"]["devtest"]["desed"].update(PSDS1=1)),
        "PSDS1: expected a number with a decimal point of at least 0, got 1",
    ),
    "mPAUC not known": (
        edit(lambda m: m["results"]["devtest"]["maestro"].update(mPAUC=float("nan"))),
        "mPAUC: expected a number with a decimal point of at least 0, got nan",
    ),
    "the results of 2022": (
        edit(lambda m: m.update(results={"development_dataset": {}})),
        ("PSDS1: expected a number", "mPAUC: expected a number"),
    ),
    "a hash in an address": (
        edit(lambda m: m["system"].update(source_code="https://x.org/#readme")),
        "meta.yaml:22: system.source_code: must not hold '#'; the challenge's reader cuts lines there",
    ),
    "a hash in an institute": (
        edit(lambda m: m["submission"]["authors"][1].update(affiliation={"institute": "Lab #1"})),
        "meta.yaml:13: submission.authors.2.affiliation.institute: must not hold '#'",
    ),
    "a comment": ({**good(), META: "# mine\n" + good()[META]}, "meta.yaml:1: a comment: must not hold '#'"),
    "no output of run 2": (without("run2.output/"), "run2.output/: this score folder is missing"),
    "a clip lost in all runs": (without("clip1.tsv"), ("got 2",) * 6),
    "a clip of another name": (
        {name.replace("run3.output/clip0", "run3.output/klip0"): text for name, text in good().items()},
        ("run3.output/: lacks clips that .*run1.output/ has: clip0.tsv", "run1.output/: lacks clips that .* klip0.tsv"),
    ),
    "a class without a column": (
        {**good(), output(2, 1): scores(classes=CLASSES[1:])},
        "run2.output/clip1.tsv:1: classes: Alarm_bell_ringing missing",
    ),
    "a class too much": (
        {**good(), output(2, 1): scores(classes=(*CLASSES, "Sheep"))},
        "clip1.tsv:1: classes: Sheep not expected",
    ),
    "windows with a gap": (
        {**good(), output(1, 2): scores(*(f"{t}\t{t + 0.5}" + "\t0.1" * 27 for t in (0, 1)))},
        "run1.output/clip2.tsv:3: expected gapless windows",
    ),
    "a score that is no number": (
        {**good(), output(1, 2, "_unprocessed"): scores("0\t1" + "\tnan" * 27)},
        "run1_unprocessed.output/clip2.tsv:2: expected a finite number, got 'nan'",
    ),
    "an empty score file": ({**good(), output(1, 0): ""}, "clip0.tsv: expected a table of scores, got an empty file"),
    "events instead of scores": (
        {**good(), output(1, 0): "filename\tonset\toffset\tevent_label\n"},
        "run1.output/clip0.tsv:1: expected columns onset, offset and one a class",
    ),
    "a folder within a score folder": (
        {**good(), f"{LABEL}/{LABEL}_run1.output/more/x.tsv": ""},
        "more/x.tsv: is not part of a package",
    ),
    "a stray file": ({**good(), f"{LABEL}/notes.txt": ""}, "notes.txt: is not part of a package"),
    "energy that is no CSV of codecarbon": (
        {**good(), f"{LABEL}/{LABEL}_run1_training.emissions.csv": "kwh\n1\n"},
        "run1_training.emissions.csv: expected codecarbon's CSV with the column energy_consumed",
    ),
    "nine systems": (
        {name: text for i in range(1, 10) for name, text in system(f"Doe_TUX_task4_{i}").items()} | {"r.pdf": "%PDF"},
        "9 systems, at most 8 are allowed",
    ),
}


# Folders that count as a system, of which all files are missing: DAMAGED has only the first of many faults
SYSTEMS = {"a folder at the top that is no system", "an empty folder at the top"}


@pytest.mark.parametrize("name", DAMAGED)
def test_each_fault_of_2024_is_reported_and_nothing_else(tmp_path: Path, name: str) -> None:
    files, lines = DAMAGED[name]
    lines = (lines,) if isinstance(lines, str) else lines
    found = [str(fault) for fault in check(tmp_path, files).faults]
    assert all(any(re.search(line, text) for text in found) for line in lines), found
    assert len(found) == len(lines) or name in SYSTEMS, found


WARNED = {
    "five systems": (
        {name: text for i in range(1, 6) for name, text in system(f"Doe_TUX_task4_{i}").items()} | {"r.pdf": "%PDF"},
        "5 systems, the challenge allows 4",
    ),
    "no unprocessed scores": (
        without("run1_unprocessed.output"),
        "run1_unprocessed.output/: this score folder is miss",
    ),
    "one run packed twice": (
        {**good(), **{output(2, i): good()[output(1, i)] for i in range(CLIPS)}},
        "run2.output/: the same scores as .*run1.output/; each run is a training of its own",
    ),
    "scores that are no probabilities": (
        {**good(), output(3, 1): scores("0\t1" + "\t-4.5" * 27)},
        "run3.output/: scores from -4.5 to 0.5: probabilities from 0 to 1 are expected",
    ),
    "a record that was appended to": (
        {**good(), f"{LABEL}/{LABEL}_run1_devtest.emissions.csv": "run_id,energy_consumed\na,1\nb,1\n"},
        "run1_devtest.emissions.csv: 2 measurements",
    ),
    "no record": (without("run1_devtest"), "run1_devtest.emissions.csv: codecarbon's record of devtest is missing"),
    "a long abbreviation": (
        edit(lambda m: m["submission"].update(abbreviation="ElevenChars")),
        "at most 10 characters",
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_fault_that_the_validator_of_2024_accepts_is_a_warning(tmp_path: Path, name: str) -> None:
    files, line = WARNED[name]
    report = check(tmp_path, files)
    assert report.faults == ()
    assert [text for text in map(str, report.warnings) if re.search(line, text)], report.warnings


def test_folders_that_cannot_be_read_are_not_reported_as_equal(tmp_path: Path) -> None:
    report = check(tmp_path, good() | {output(run, i): "x" for run in (1, 2) for i in range(CLIPS)})
    assert len(report.faults) == 2 * CLIPS
    assert report.warnings == ()


def test_a_rehearsal_of_2024_passes_and_names_what_is_still_to_do(tmp_path: Path) -> None:
    files = edit(lambda m: m["submission"].update(notes="REHEARSAL, not for submission: a trial"))
    files = {name: text for name, text in files.items() if "clip2" not in name and "run3" not in name}
    report = check(tmp_path, files)
    assert report.faults == ()
    left = "\n".join(map(str, report.to_fill_in))
    assert left.count("expected 3 score files, one for each clip of the evaluation set, got 2") == 4
    assert f"{LABEL}_run3.output/: this score folder is missing" in left


def test_thousands_of_faults_are_summarised_in_a_few_lines(tmp_path: Path) -> None:
    bad = {name: "x\n" for name in system(clips=1500) if name.endswith(".tsv") and "unprocessed" not in name}
    report = check(tmp_path, {**good(), **bad})
    lines = report.lines(Path("p.zip"))
    assert len(lines) < 110 and max(map(len, lines)) < 1000
    assert any("and 1480 more files" in line for line in lines)
