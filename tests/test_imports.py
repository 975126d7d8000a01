"""Heavy packages are imported only where they are needed, so that commands and the library start quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "numpy",
    "scipy",
    "desed",
    "sed_scores_eval",
    "codecarbon",
    "pytorch_lightning",
    "matplotlib",
    "pandas",
    "pydantic",
    "pyarrow",
    "ray",
}


def imported_by(code: str) -> set[str]:
    """Return those of HEAVY that a fresh Python has imported after `code`."""
    code += f"; import sys; print(*({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split())


def test_the_detector_needs_neither_the_trainer_nor_the_metric_packages():
    assert imported_by("from recipe_mtlvae import Detector") == {"torch", "numpy", "scipy", "pydantic"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["detect", "--help"],
        ["detect-archive", "--help"],
        ["export", "--help"],
        ["score", "--help"],
        ["compare", "--help"],
        ["check-data", "--help"],
        ["check-submission", "--help"],
        ["detect", "--stream", "-", "--help"],
    ],
)
def test_the_help_of_a_command_imports_at_most_numpy_scipy_and_pydantic(argv):
    code = f"import sys, contextlib\nfrom recipe_mtlvae.__main__ import main\nsys.argv[1:] = {argv!r}\n"
    code += "with contextlib.suppress(SystemExit): main()\nNone"
    assert imported_by(code) <= {"numpy", "scipy", "pydantic"}
    if argv == ["--help"]:
        assert imported_by(code) == set()
