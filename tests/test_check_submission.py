"""A valid package of 2022 passes; each fault of an invalid one is reported in its own line, and none hides another."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recipe_mtlvae.submission.check import CheckReport, check_package
from recipe_mtlvae.submission.profile import read_profile
from tests.package_2022 import (
    HEADER,
    LABEL,
    META,
    OUTPUT,
    Files,
    check,
    edit,
    faults,
    good,
    meta,
    point,
    renamed,
    system,
    unpack,
    with_row,
    without,
    write,
)


def test_a_good_package_is_fit_for_submission(tmp_path: Path) -> None:
    report = check(tmp_path, good())
    assert report == CheckReport((LABEL,), (), (), None)
    assert report.lines(Path("p.zip")) == [f"ok: p.zip is fit for submission: {LABEL}"]


def test_a_folder_is_checked_like_a_zip(tmp_path: Path) -> None:
    assert check_package(unpack(tmp_path, good()), read_profile()).faults == ()


def test_four_systems_are_allowed_and_five_are_not(tmp_path: Path) -> None:
    files = good() | system("Doe_TUX_task4_2") | system("Doe_TUX_task4_3") | system("Doe_TUX_task4_4")
    assert faults(tmp_path, files) == []
    files |= system("Roe_TUX_task4_1")
    assert re.search("5 systems, at most 4 are allowed", "\n".join(faults(tmp_path, files)))


def test_without_a_limit_every_system_is_checked(tmp_path: Path) -> None:
    rules = read_profile().rules
    profile = dataclasses.replace(
        read_profile(), rules=dataclasses.replace(rules, systems=dataclasses.replace(rules.systems, refuse=None))
    )
    labels = [f"Doe_TUX_task4_{i}" for i in range(1, 5)]
    files = good() | {name: text for label in labels for name, text in system(label).items()}
    files[f"{labels[-1]}/{labels[-1]}.output.tsv"] = "nothing\n"
    found = [str(fault) for fault in check_package(write(tmp_path / "package.zip", files), profile).faults]
    assert len(found) == 1 and "task4_4.output.tsv:1: expected the tab-separated columns" in found[0]


def test_columns_are_found_by_name_and_the_index_column_of_the_toolkit_is_ignored(tmp_path: Path) -> None:
    text = "event_label\tonset\toffset\tfilename\tindex\nDog\t1.024\t2.56\ta.wav\t1\n"
    assert faults(tmp_path, {**good(), OUTPUT: text}) == []


def test_windows_line_endings_are_accepted(tmp_path: Path) -> None:
    assert faults(tmp_path, {**good(), OUTPUT: good()[OUTPUT].replace("\n", "\r\n")}) == []


ROW = "a.wav\t3.0\t4.0\tDog"
DAMAGED = {
    "no report": (without("Doe_TUX_task4.technical_report.pdf"), "no technical report: expected a PDF"),
    "report is no PDF": (
        {**good(), "Doe_TUX_task4.technical_report.pdf": "<html>"},
        r"technical_report.pdf: is not a PDF file",
    ),
    "stray file": ({**good(), "notes.txt": ""}, "notes.txt: is not part of a package"),
    "Mac's litter": ({**good(), f"__MACOSX/{LABEL}/._x": ""}, "__MACOSX/: is not part of a package"),
    "folder's name": (
        {n.replace(LABEL, "Doe_task4_1"): c.replace(LABEL, "Doe_task4_1") for n, c in good().items()},
        r"Doe_task4_1/: expected a folder called \{lastname\}_\{institute\}_task4_\{index\}",
    ),
    "fifth index": (
        {n.replace("task4_1", "task4_5"): c.replace("task4_1", "task4_5") for n, c in good().items()},
        "Doe_TUX_task4_5/: expected a folder called",
    ),
    "example's authors": (
        {n.replace("Doe", "Lastname"): c.replace("Doe_", "Lastname_") for n, c in good().items()},
        "the label still has the example's",
    ),
    "no meta file": (without(META), f"{LABEL}.meta.yaml: is missing"),
    "no output": (without(OUTPUT), f"{LABEL}.output.tsv: is missing"),
    "file stem": (renamed(f"{LABEL}.output", "system.output"), f"expected the file to be called {OUTPUT}"),
    "label in the meta file": (
        edit(lambda m: m["submission"].update(label="Doe_TUX_task4_2")),
        rf"meta.yaml:2: submission.label: expected '{LABEL}' like its folder, got 'Doe_TUX_task4_2'",
    ),
    "long abbreviation": (
        edit(lambda m: m["submission"].update(abbreviation="ElevenChars")),
        "meta.yaml:4: submission.abbreviation: at most 10 characters, got 11",
    ),
    "the word baseline": (
        edit(lambda m: m["submission"].update(name="My Baseline")),
        "must not hold the word 'baseline'",
    ),
    "two corresponding authors": (
        edit(lambda m: m["submission"]["authors"][1].update(corresponding=True, email="al@tux.org")),
        "meta.yaml:5: submission.authors: expected exactly 1 with `corresponding: true`, got 2",
    ),
    "no corresponding author": (
        edit(lambda m: m["submission"]["authors"][0].pop("corresponding")),
        "expected exactly 1 with `corresponding: true`, got 0",
    ),
    "no email": (edit(lambda m: m["submission"]["authors"][0].pop("email")), "corresponding author has no email"),
    "author without a name": (
        edit(lambda m: m["submission"]["authors"][1].pop("firstname")),
        "author 2 has no firstname",
    ),
    "parameters as a text": (
        edit(lambda m: m["system"]["complexity"].update(total_parameters="1.4M")),
        "total_parameters: expected an integer of at least 0, got '1.4M'",
    ),
    "parameters as a float": (
        edit(lambda m: m["system"]["complexity"].update(total_parameters=1.4e6)),
        "total_parameters: expected an integer of at least 0, got 1400000.0",
    ),
    "energy not measured": (
        edit(lambda m: m["system"]["energy_consumption"].update(training=None)),
        "energy_consumption.training: expected a number of at least 0, got nothing",
    ),
    "a score that is no number": (
        edit(lambda m: m["results"]["development_dataset"]["overall"].update(PSDS1=float("nan"))),
        "overall.PSDS1: expected a number of at least 0, got nan",
    ),
    "a class that is none": (
        edit(lambda m: m["results"]["development_dataset"]["class_wise"].update(Sheep={"F-score": 1.0})),
        "class_wise.Sheep: the challenge has no class 'Sheep'",
    ),
    "broken YAML": ({**good(), META: "submission:\n  label: [\n"}, r"meta.yaml:3: not valid YAML"),
    "a value that YAML cannot build": ({**good(), META: "submission: !!bool x\n"}, "meta.yaml: not valid YAML"),
    "meta file without a mapping": ({**good(), META: "- 1\n"}, "submission: expected a mapping with label"),
    "missing operating point": (without(point("0.51")), "predictions_th_0.51.tsv: this operating point is missing"),
    "no operating points": (
        {name: content for name, content in good().items() if "operating_points" not in name},
        f"{LABEL}/: no folder with the 50 operating points",
    ),
    "a threshold of another grid": (
        {**good(), point("0.50"): HEADER},
        "predictions_th_0.50.tsv: is not part of a package",
    ),
    "swapped operating points": (
        {**good(), point("0.29"): good()[point("0.31")], point("0.31"): good()[point("0.29")]},
        r"predictions_th_0.31.tsv:3: the event is in none of predictions_th_0.29.tsv",
    ),
    "wrong column": (
        {**good(), OUTPUT: HEADER.replace("event_label", "label")},
        "output.tsv:1: expected the tab-separated",
    ),
    "no header": ({**good(), OUTPUT: ""}, "output.tsv: is empty: expected the columns"),
    "a value too few": (with_row("a.wav\t3.0\tDog"), "output.tsv:3: expected 4 tab-separated values, got 3"),
    "unknown label": (with_row("a.wav\t3.0\t4.0\tDgo"), "output.tsv:3: label 'Dgo' is none of"),
    "no number": (with_row("a.wav\tthree\t4.0\tDog"), "output.tsv:3: onset 'three': expected seconds"),
    "not finite": (with_row("a.wav\t3.0\tinf\tDog"), "output.tsv:3: offset 'inf': expected seconds"),
    "negative": (with_row("a.wav\t-1.0\t4.0\tDog"), "output.tsv:3: onset -1.0 is negative"),
    "onset at the offset": (with_row("a.wav\t4.0\t4.0\tDog"), "output.tsv:3: onset 4 is not before offset 4"),
    "file name without its ending": (with_row("a\t3.0\t4.0\tDog"), "output.tsv:3: filename 'a': expected a plain"),
    "file name with a folder": (with_row("../a.wav\t3.0\t4.0\tDog"), "filename '../a.wav': expected a plain"),
    "a row of an operating point": (
        with_row("a.wav\t3.0\t4.0\tDgo", point("0.01")),
        "th_0.01.tsv:4: label 'Dgo' is none",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_each_fault_is_reported_in_one_line_and_nothing_else(tmp_path: Path, name: str) -> None:
    files, line = DAMAGED[name]
    found = faults(tmp_path, files)
    assert [text for text in found if re.search(line, text)], found
    assert len(found) == 1, found


def test_all_faults_are_listed_together(tmp_path: Path) -> None:
    files = edit(lambda m: m["submission"].update(abbreviation="ElevenChars", label="x"))
    files |= {OUTPUT: HEADER + "a.wav\t4.0\t3.0\tDgo\n" + "a.wav\tx\t3.0\tDog\n", "notes.txt": ""}
    del files[point("0.99")], files["Doe_TUX_task4.technical_report.pdf"]
    found = "\n".join(faults(tmp_path, files))
    expected = ("at most 10", "like its folder", "not before", "'Dgo'", ":3: onset 'x'", "notes.txt", "0.99.tsv", "PDF")
    assert all(part in found for part in expected), found
    assert len(found.splitlines()) == 8


def test_many_rows_with_one_fault_do_not_bury_the_others(tmp_path: Path) -> None:
    rows = "a.wav\t3.0\t4.0\tDgo\n" * 1000
    found = faults(tmp_path, {**good(), OUTPUT: HEADER + rows + ROW.replace("Dog", "Cta") + "\n"})
    assert len(found) == 22
    assert "and 980 more rows" in found[-1]
    assert any("output.tsv:1002: label 'Cta'" in line for line in found)


def test_a_rehearsal_passes_and_names_what_is_still_to_do(tmp_path: Path) -> None:
    files = edit(lambda m: m["submission"].update(notes="REHEARSAL, not for submission: a trial"))
    del files["Doe_TUX_task4.technical_report.pdf"]
    report = check(tmp_path, files)
    assert report.faults == ()
    lines = report.lines(Path("p.zip"))
    assert "before you submit: " in lines[0] and "no technical report" in lines[0]
    assert lines[-1] == "REHEARSAL, not for submission: a trial"


def test_a_rehearsal_may_have_other_classes_but_no_unknown_ones(tmp_path: Path) -> None:
    content = meta()
    content["submission"]["notes"] = "REHEARSAL, not for submission: other classes"
    content["results"]["development_dataset"]["class_wise"] = {n: {"F-score": 1} for n in ("Dog", "Cat", "St. Bernard")}
    files = good() | {META: yaml.safe_dump(content)}
    assert faults(tmp_path, files | {OUTPUT: HEADER + "a.wav\t3.0\t4.0\tSt. Bernard\n"}) == []
    assert "'Speech' is none of" in faults(tmp_path, files | {OUTPUT: HEADER + "a.wav\t3.0\t4.0\tSpeech\n"})[0]


@pytest.mark.parametrize(
    ("files", "code", "stream", "line"), [(good(), 0, 0, "ok: "), (without(OUTPUT), 1, 1, "error: ")]
)
def test_exit_code_and_output_stream_follow_the_verdict(
    tmp_path: Path, files: Files, code: int, stream: int, line: str
) -> None:
    check(tmp_path, files)  # writes package.zip
    command = [sys.executable, "-m", "recipe_mtlvae", "check-submission", str(tmp_path / "package.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (done.stdout, done.stderr)[stream].startswith(line)
