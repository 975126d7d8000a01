"""`python -m recipe_mtlvae check-submission PATH`: all faults of a submission package, one line each."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.profile import read_profile


def main(argv: list[str]) -> None:
    """Exit code 0 for a package without faults (a rehearsal is named as such), 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m recipe_mtlvae check-submission", description=__doc__)
    parser.add_argument("path", type=Path, help="the package, a zip file or a folder")
    path = parser.parse_args(argv).path
    report = check_package(path, read_profile())
    print("\n".join(report.lines(path)), file=sys.stderr if report.faults else sys.stdout)
    if report.faults:
        sys.exit(1)
