"""Stage 4: the run's scores beside published ones, on screen and as exp/<tag>/report.html."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.errors import exit_code_of
from recipe_mtlvae.files import content_hash


def main() -> None:
    stage = open_stage(4, __doc__)
    page = stage.run_dir / "report.html"
    inputs = report_inputs(stage)
    if stage.done(inputs) and page.exists():
        print(f"stage 4: {page} is there already")
        return
    from recipe_mtlvae.products.report import write_report  # matplotlib, only where there is work
    from recipe_mtlvae.products.runs import open_run

    print(write_report(open_run(stage.run_dir), stage.root, page))
    print(f"\nstage 4: {page}")
    stage.mark_done(inputs)


def report_inputs(stage: Stage) -> dict[str, str]:
    """A hash of each file that the page shows."""
    run = stage.run_dir
    files = [*run.glob("*.json"), run / "history.csv", run / "conf.yaml", CONF_DIR / "published.yaml"]
    files += [stage.root / stage.conf.data.splits[name].metadata for name in stage.conf.data.splits]
    inputs = {str(file): _hash(file) for file in sorted(files) if file.exists()}
    scores = sorted((run / "scores" / "validation").glob("*.tsv"))
    return inputs | {"scores": content_hash([[file.name, _hash(file)] for file in scores])}


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
