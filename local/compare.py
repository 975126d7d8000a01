"""Stage 4: compare the run's scores with published ones, on screen and in exp/<tag>/report.html."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from local.stage import Stage, baseline_tag, official_tag, open_stage
from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import content_hash, write_json
from recipe_mtlvae.report.runs import networks_of


def main() -> None:
    stage = open_stage(4, __doc__)
    page = stage.run_dir / "report.html"
    if not (stage.run_dir / "metrics.json").exists():
        raise fail("no scores to compare", "run stage 3 first", stage.run_dir)
    with stage.begun():
        compare(stage, page)


def compare(stage: Stage, page: Path) -> None:
    """Write the page and its figures, unless they were already made from the same files."""
    write_json(stage.run_dir / "corpus.json", {"root": str(stage.root)})  # read when this run is compared with others
    inputs = report_inputs(stage)
    if stage.done(inputs) and page.exists():
        print(f"stage 4: {page} is up to date")
        return
    # matplotlib and the metric packages are imported only when there is work to do
    from recipe_mtlvae.report.comparison.measuring import systems_of_runs
    from recipe_mtlvae.report.comparison.page import write_report

    systems = systems_of_runs(run_folders(stage))
    print(write_report(systems, stage.corpus, stage.run_dir.name, page))
    print(f"\nstage 4: {page}")
    stage.mark_done(inputs)


def run_folders(stage: Stage) -> dict[str, Path]:
    """Return the folder of each network on the page, by its name there: the run's own, then the scored baselines."""
    tag = stage.run_dir.name
    folders = networks_of(tag, stage.run_dir)
    for beside in (baseline_tag(tag), official_tag(tag)):
        networks = networks_of(beside, stage.run_dir.with_name(beside))
        folders |= {name: folder for name, folder in networks.items() if (folder / "metrics.json").exists()}
    return folders


def report_inputs(stage: Stage) -> dict[str, str]:
    """Return a hash over all files that the page shows."""
    files = [CONF_DIR / "published.yaml"]
    for run in run_folders(stage).values():
        files += [*run.glob("*.json"), run / "history.csv", run / "conf.yaml", run / "latents.npz"]
        files += run.glob("scores/*/*.tsv")
    known = [[str(file), hashlib.sha256(file.read_bytes()).hexdigest()] for file in sorted(files) if file.exists()]
    return {"files": content_hash(known)}


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
