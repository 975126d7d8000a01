"""`python -m recipe_mtlvae check-data`: exit codes, output, and the page of findings."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recipe_mtlvae.commands import check_data
from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import CorpusCheck
from recipe_mtlvae.errors import exit_code_of
from recipe_mtlvae.report.data_report import write_data_report
from tests.checked import STRONG, TRAINING, checked, copy, noise
from tests.tiny import AUDIO, SETTINGS, VALIDATION, append


@pytest.fixture
def check(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*options: str) -> tuple[int, str, str]:
        settings = [f"--set={setting}" for setting in SETTINGS]
        code = exit_code_of(lambda: check_data.main(["--data_root", str(root), *settings, *options]))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_with_only_warnings_the_command_succeeds(root, check):
    (root / AUDIO / "validation_3.wav").unlink()
    code, out, err = check()
    assert code == 0
    assert "validation                   4       3    75.0 %        1" in out
    assert "warning: validation: 1 of 4 clips are not on disk" in err


def test_with_errors_the_command_fails_but_still_writes_the_report(root, check, tmp_path):
    (root / AUDIO / "validation_3.wav").write_bytes(b"404")
    (root / STRONG).unlink()
    code, _, err = check("--out", str(tmp_path / "out"))
    assert code == 1
    assert f"error: {root}/{STRONG}: no such metadata file" in err
    assert f"error: {root}/{AUDIO}/validation_3.wav: is not readable as audio" in err
    report = json.loads((tmp_path / "out" / "data_report.json").read_text())
    assert (report["splits"]["validation"]["unreadable"], len(report["errors"])) == (1, 2)
    assert not (root / "data_report.html").exists()


HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def hostile(root: Path) -> CorpusCheck:
    """A check with findings of many kinds, in a corpus with names that are HTML."""
    for path, name in ((f"{AUDIO}/validation_2.wav", f"{HOSTILE[:-10]}.wav"), (f"{AUDIO}/validation_2.wav", "<b>.wav")):
        copy(root, path, f"{AUDIO}/{name}")
        append(root / VALIDATION, f"{name}\t0.0\t1.0\t{HOSTILE}")
    copy(root, f"{AUDIO}/validation_2.wav", f"{TRAINING}/strong_real_4.wav")
    append(root / VALIDATION, "<i>.wav\t0.0\t1.0\tHum")
    append(root / VALIDATION, "validation_0.wav\t0.0\t1.0\t<u>")
    noise(root / AUDIO / "validation_3.wav", rate=8000)
    return checked(root, f"data.classes=[Beep, Hum, '{HOSTILE}']")


def test_all_findings_are_on_the_page_and_escaped(hostile, tmp_path):
    page = write_data_report(hostile, tmp_path).read_text()
    for text in (*map(str, problems.errors(hostile)), *problems.warnings(hostile), *problems.notes(hostile)):
        assert html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert not re.search("<(script|b|i|u)>", page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_loads_nothing_else_and_logs_nothing(hostile, tmp_path, browser, scheme):
    file = write_data_report(hostile, tmp_path)
    page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme=scheme)
    asked, logged = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.goto(file.as_uri())
    assert ([url for url in asked if not url.startswith("data:")], logged) == ([file.as_uri()], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("figure svg").count() == 7
    assert page.locator("#verdict").inner_text().startswith("2 errors, ")


def test_a_missing_folder_is_named(check, tmp_path):
    code, _, err = check("--data_root", str(tmp_path / "nowhere"))
    assert code == 1
    assert "nowhere: no such folder; give the folder of a corpus: --data_root DIR" in err
