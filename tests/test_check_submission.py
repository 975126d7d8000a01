"""A good package passes; each fault of a damaged one is a line of its own, and none hides another."""

from __future__ import annotations

import re
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission import package_files
from recipe_mtlvae.submission.check import CheckReport, check_package
from recipe_mtlvae.submission.profile import read_profile

LABEL = "Doe_TUX_task4_1"
META, OUTPUT = f"{LABEL}/{LABEL}.meta.yaml", f"{LABEL}/{LABEL}.output.tsv"
HEADER = "filename\tonset\toffset\tevent_label\n"
Files = dict[str, str]


def point(threshold: str, label: str = LABEL) -> str:
    return f"{label}/operating_points/predictions_th_{threshold}.tsv"


def meta(label: str = LABEL) -> dict:
    author = {"lastname": "Doe", "firstname": "Jo", "email": "jo@tux.org", "corresponding": True}
    return {
        "submission": {
            "label": label,
            "name": "A system",
            "abbreviation": "System",
            "authors": [author, {"lastname": "Roe", "firstname": "Al"}],
        },
        "system": {
            "description": {"input_sampling_rate": 16},
            "complexity": {"total_parameters": 1400000, "MACS": 2.5e8},
            "energy_consumption": {"training": 0.2, "devtest": 1.0e-05, "evaluation": 0.01, "baseline_devtest": None},
        },
        "results": {
            "development_dataset": {
                "overall": {"PSDS1": 0.3, "PSDS2": 0.5, "F-score": 40.1},
                "class_wise": {"Dog": {"F-score": 41.0}, "Cat": {"F-score": None}},
            }
        },
    }


def system(label: str = LABEL, content: dict | None = None) -> Files:
    """One system by the challenge's rules: a dog that is scanned up to 0.69, a cat up to 0.29."""
    files = {f"{label}/{label}.meta.yaml": yaml.safe_dump(content or meta(label), sort_keys=False)}
    dog, cat = "a.wav\t1.024\t2.560\tDog\n", "b 1.wav\t0.000\t9.984\tCat\n"
    files[f"{label}/{label}.output.tsv"] = HEADER + dog
    for i in range(50):
        threshold = f"{0.01 + 0.02 * i:.2f}"
        files[point(threshold, label)] = HEADER + dog * (i < 35) + cat * (i < 15)
    return files


def good() -> Files:
    return {"Doe_TUX_task4.technical_report.pdf": "%PDF-1.4\n%%EOF\n", **system()}


def check(tmp_path: Path, files: Files) -> CheckReport:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return check_package(path, read_profile())


def faults(tmp_path: Path, files: Files) -> list[str]:
    return [str(fault) for fault in check(tmp_path, files).faults]


def edit(change: Callable[[dict], object], content: dict | None = None) -> Files:
    content = content or meta()
    change(content)
    return {**good(), META: yaml.safe_dump(content, sort_keys=False)}


def test_a_good_package_is_fit_for_submission(tmp_path: Path) -> None:
    report = check(tmp_path, good())
    assert report == CheckReport((LABEL,), (), (), None)
    assert report.lines(Path("p.zip")) == [f"ok: p.zip is fit for submission: {LABEL}"]


def test_a_folder_is_checked_like_a_zip(tmp_path: Path) -> None:
    for name, content in good().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert check_package(tmp_path, read_profile()).faults == ()


def test_four_systems_are_allowed_and_five_are_not(tmp_path: Path) -> None:
    files = good() | system("Doe_TUX_task4_2") | system("Doe_TUX_task4_3") | system("Doe_TUX_task4_4")
    assert faults(tmp_path, files) == []
    files |= system("Roe_TUX_task4_1")
    assert re.search("5 systems, at most 4 are allowed", "\n".join(faults(tmp_path, files)))


def test_columns_are_found_by_name_and_the_toolkit_s_index_is_harmless(tmp_path: Path) -> None:
    text = "event_label\tonset\toffset\tfilename\tindex\nDog\t1.024\t2.56\ta.wav\t1\n"
    assert faults(tmp_path, {**good(), OUTPUT: text}) == []


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    assert faults(tmp_path, {**good(), OUTPUT: good()[OUTPUT].replace("\n", "\r\n")}) == []


def with_row(row: str, name: str = OUTPUT) -> Files:
    return {**good(), name: good()[name] + row + "\n"}


def without(*names: str) -> Files:
    return {name: content for name, content in good().items() if name not in names}


def renamed(old: str, new: str) -> Files:
    return {name.replace(old, new): content for name, content in good().items()}


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
def test_a_fault_has_its_line(tmp_path: Path, name: str) -> None:
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


def test_a_rehearsal_says_what_is_left_and_passes(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["../evil.tsv", "/etc/evil", f"{LABEL}/../../evil", "C:\\evil", "a\\..\\evil"])
def test_a_name_that_leads_out_of_the_package_is_a_fault(tmp_path: Path, name: str) -> None:
    found = faults(tmp_path, {**good(), name: ""})
    assert len(found) == 1 and "leads out of the package" in found[0]


def test_a_zip_bomb_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_files, "MAX_BYTES", 10_000)
    found = faults(tmp_path, {**good(), OUTPUT: HEADER + " " * 20_000})
    assert any("bytes, at most 10000 are read" in line for line in found)


def test_a_zip_that_lies_about_a_size_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in good().items():
            archive.writestr(name, content)
        size = archive.getinfo(OUTPUT).file_size
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(OUTPUT.encode()) - 46  # its place in the central directory
    assert struct.unpack_from("<I", raw, entry + 24)[0] == size
    struct.pack_into("<I", raw, entry + 24, 10)
    path.write_bytes(raw)
    found = [str(fault) for fault in check_package(path, read_profile()).faults]
    assert len(found) == 1 and re.search(r"output.tsv: cannot be read: .*CRC", found[0])


def test_links_are_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo(f"{LABEL}/link.tsv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in good().items():
            archive.writestr(name, content)
        archive.writestr(link, "/etc/passwd")
    assert ["link.tsv: a link" in str(fault) for fault in check_package(path, read_profile()).faults] == [True]
    folder = tmp_path / "folder"
    for name, content in good().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "linked").symlink_to("/etc")
    assert ["linked: a link" in str(fault) for fault in check_package(folder, read_profile()).faults] == [True]


def test_a_file_twice_in_a_zip_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for name, content in [*good().items(), (OUTPUT, HEADER)]:
            archive.writestr(name, content)
    assert ["more than once" in str(fault) for fault in check_package(path, read_profile()).faults] == [True]


def test_text_that_is_not_utf8_or_endless_is_a_fault(tmp_path: Path) -> None:
    assert "output.tsv:1: expected UTF-8" in faults(tmp_path, {**good(), OUTPUT: b"\xff\xfe"})[0]
    assert "output.tsv:1: a line of over" in faults(tmp_path, {**good(), OUTPUT: "x" * 100_000})[0]


def test_an_alias_bomb_in_the_meta_file_stays_small(tmp_path: Path) -> None:
    bomb = "a: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    found = faults(tmp_path, {**good(), META: f"{bomb}submission: {{label: *a59, authors: *a59}}\n"})
    assert any("not valid YAML: expected at most 50,000 values" in line for line in found)
    assert max(map(len, found)) < 1000


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("not a zip")
    with pytest.raises(RecipeError, match=r"a\.zip: expected a zip file or a folder"):
        check_package(tmp_path / "a.zip", read_profile())
    with pytest.raises(RecipeError, match=r"b\.zip: no such package"):
        check_package(tmp_path / "b.zip", read_profile())


@pytest.mark.parametrize(
    ("files", "code", "stream", "line"), [(good(), 0, 0, "ok: "), (without(OUTPUT), 1, 1, "error: ")]
)
def test_the_command_exits_with_the_verdict(tmp_path: Path, files: Files, code: int, stream: int, line: str) -> None:
    check(tmp_path, files)  # writes package.zip
    command = [sys.executable, "-m", "recipe_mtlvae", "check-submission", str(tmp_path / "package.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (done.stdout, done.stderr)[stream].startswith(line)
