"""What cannot be compared, and the error messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.scoring.reference import Reference, reference_path
from tests.simulated import CLIPS, opened, simulated_run

pytestmark = pytest.mark.usefixtures("few_resamples")


def test_different_clips_are_an_error_that_counts_them(tmp_path: Path) -> None:
    fewer = simulated_run(tmp_path / "fewer", clips=CLIPS - 2)
    with pytest.raises(RecipeError, match="all and fewer were scored on different clips of validation: 2 differ"):
        opened(("all", simulated_run(tmp_path / "all")), ("fewer", fewer))


def test_different_truth_is_an_error(tmp_path: Path) -> None:
    changed = simulated_run(tmp_path / "changed")
    content = json.loads(reference_path(changed, "validation").read_text())
    content["clips"]["clip0"]["events"] = [[0.0, 9.0, "Dog"]]
    reference_path(changed, "validation").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="different events in 1 clips of validation"):
        opened(("all", simulated_run(tmp_path / "all")), ("changed", changed))


def test_different_classes_are_an_error_that_names_them(tmp_path: Path) -> None:
    other = simulated_run(tmp_path / "other", classes=("Cat", "Dog", "Siren")) / "scores" / "validation"
    with pytest.raises(RecipeError, match="class lists differ: it lacks Speech; only it has Siren"):
        opened(("run", simulated_run(tmp_path / "run")), ("other", other))


def test_folder_without_truth_is_an_error(tmp_path: Path) -> None:
    folder = simulated_run(tmp_path / "run") / "scores" / "validation"
    with pytest.raises(RecipeError, match="carries no truth; give --ground_truth and --durations"):
        opened(("scores", folder))
    reference_path(tmp_path / "run", "validation").unlink()
    with pytest.raises(RecipeError, match="does not carry its truth; give --ground_truth"):
        opened(("run", tmp_path / "run"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "found no scores"),
        ({"a.tsv": "onset\toffset\tDog\n0\t1\tnan\n"}, "nan"),
        ({"a.tsv": "onset\toffset\tDog\n0\t0.4\t0.5\n0.6\t1\t0.5\n"}, "gap|0.4"),
        ({"b.tsv": "onset\toffset\tDog\n0\t1\t0.5\n"}, "1 of 1 clips have audio but no scores: a"),
    ],
)
def test_faulty_folder_is_an_error(tmp_path: Path, content: dict[str, str], message: str) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "folder").mkdir()
    for name, text in content.items():
        (tmp_path / "folder" / name).write_text(text)
    with pytest.raises(RecipeError, match=message):
        opened(("x", tmp_path / "folder"), given=Reference({"a": []}, {"a": 1.0}, 1))


def test_a_truth_without_any_event_is_an_error(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    silent = Reference({f"clip{i}": [] for i in range(CLIPS)}, {f"clip{i}": 10.0 for i in range(CLIPS)}, CLIPS)
    with pytest.raises(RecipeError, match="nothing to measure"):
        opened(("run", run), given=silent)
