"""List all faults of a submission package, one per line: `python -m recipe_mtlvae check-submission PATH`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recipe_mtlvae.errors import printable
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.found_profile import found_profile
from recipe_mtlvae.submission.profile import profile_file, read_profile, shipped_profiles


def main(argv: list[str]) -> None:
    """Print all faults and exit with code 1 if there are any. A package made as a rehearsal is reported as one."""
    parser = argparse.ArgumentParser(
        prog="python -m recipe_mtlvae check-submission", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("path", type=Path, help="the package, a zip file or a folder")
    profile_help = f"{', '.join(shipped_profiles())} or a YAML file (default: the one that the package's content fits)"
    parser.add_argument("--profile", metavar="NAME", help=profile_help)
    options = parser.parse_args(argv)
    if options.profile is None:
        name, profile = found_profile(options.path)
    else:
        name, profile = options.profile, read_profile(profile_file(options.profile))
    report = check_package(options.path, profile)
    lines = [*report.lines(options.path), f"checked as {name}: {profile.challenge}"]
    print("\n".join(map(printable, lines)), file=sys.stderr if report.faults else sys.stdout)
    if report.faults:
        sys.exit(1)
