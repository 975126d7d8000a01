"""Submission profiles: which are shipped, how they are checked when they are read, and how they are filled in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission.outputs import event_files
from recipe_mtlvae.submission.profile import MAX_POINTS, fill, plain, profile_file, read_profile, thresholds_of


def test_fifty_thresholds_are_odd_hundredths() -> None:
    assert [f"{threshold:.2f}" for threshold in thresholds_of(50)] == [f"0.{i:02d}" for i in range(1, 100, 2)]


def test_operating_points_whose_files_would_replace_each_other_are_refused() -> None:
    assert len({f"{threshold:.2f}" for threshold in thresholds_of(MAX_POINTS)}) == MAX_POINTS
    conf = load_conf(settings=["postprocess.operating_points=100"])
    with pytest.raises(
        RecipeError, match="operating_points: expected at most 99 for a package, got 100; the challenge"
    ):
        event_files(None, None, conf, read_profile())


def test_labels_are_plain_ascii() -> None:
    assert plain("De la Peña-Ørsted") == "DelaPena-Orsted"


def test_an_unknown_placeholder_in_a_profile_is_an_error() -> None:
    assert fill({"a": "{x}", "b": ["{x} of {y}"]}, {"x": 1, "y": 2}) == {"a": 1, "b": ["1 of 2"]}
    with pytest.raises(RecipeError, match=r"nothing is called \{z\}; the names are: x, y"):
        fill("{z}", {"x": 1, "y": 2})


def test_an_unknown_year_is_named() -> None:
    with pytest.raises(
        RecipeError, match="no submission profile 'dcase1999'; the shipped ones are dcase2022, dcase2023"
    ):
        profile_file("dcase1999")


KIND = "rules.values.results.devtest.desed.PSDS1: 'decimal': expected one of number"


@pytest.mark.parametrize(
    ("year", "old", "new", "words"),
    [
        ("2022", "challenge:", "author: me\nchallenge:", "dcase.yaml:4: unknown key 'author'"),
        (
            "2022",
            "corresponding: true",
            "corresponding: false",
            "authors: expected exactly one with `corresponding: true`",
        ),
        ("2024", "PSDS1: float", "PSDS1: decimal", KIND),
        ("2024", 'label: "[^_./#]+_', 'label: "(', "rules.label: not a regular expression"),
        ("2024", "[training, devtest]", "[training, lunch]", "package.energy_phases.1"),
        ("2024", "runs: 3", "runs: 0", "package.runs"),
        ("2022", "  operating_points: 50", "  operating_points: 0", "rules.operating_points: expected 1 to 99, got 0"),
        (
            "2022",
            "  operating_points: 50",
            "  operating_points: 100",
            "rules.operating_points: expected 1 to 99, got 100",
        ),
    ],
)
def test_a_profile_is_checked_when_it_is_read(tmp_path: Path, year: str, old: str, new: str, words: str) -> None:
    file, text = tmp_path / "dcase.yaml", profile_file(f"dcase{year}").read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=re.escape(words)):
        read_profile(file)
