"""Stage 5: write the submission package of a run, and check it."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.stage import LENGTH, Stage, baseline_tag, open_stage, trained_on
from recipe_mtlvae.conf import Conf, changed_keys, conf_from_dict, conf_to_dict
from recipe_mtlvae.conf_files import read_yaml
from recipe_mtlvae.errors import exit_code_of, fail, printable
from recipe_mtlvae.files import file_stamp
from recipe_mtlvae.report.runs import metrics_name, read_run
from recipe_mtlvae.scoring.energy import read_energy
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.package import Submission, build_submission, submission_split
from recipe_mtlvae.submission.profile import Profile, fill, profile_file, read_profile
from recipe_mtlvae.systems import SYSTEMS


def main() -> None:
    stage = open_stage(5, __doc__)
    profile = read_profile(profile_file(stage.conf.submission))
    if submission_split(stage.corpus, profile) is None:
        print("stage 5: left out: no evaluation audio (data.evaluation) and no test split beside dev-test to pack")
        return
    stage = dataclasses.replace(stage, conf=with_baseline_energy(stage, profile))
    runs = run_folders(stage)
    path = stage.run_dir / "submission" / fill(profile.package.zip, profile.names)
    inputs = submission_inputs(stage, runs, profile)
    if stage.done(inputs) and path.exists():
        print(f"stage 5: {path} is up to date")
        return
    with stage.begun():
        submission = build_submission(runs, stage.conf, stage.root, profile, stage.run_dir)
    print("\n".join(map(printable, summary(submission, stage, runs, profile))))
    report = check_package(submission.path, profile)
    print("\n".join(map(printable, report.lines(submission.path))))
    if report.faults:
        raise fail(
            f"the package has {len(report.faults)} faults, listed above", "correct them and run stage 5 again", path
        )
    stage.mark_done(inputs)


def run_folders(stage: Stage) -> list[Path]:
    """Return the folders of the runs to pack, in the order of --run; the run's own comes first unless --run names it.

    Raises RecipeError if one is not a run, or is of another system: runs of one package differ only in seed and length.
    """
    own = stage.run_dir.name
    tags = list(stage.runs if own in stage.runs else (own, *stage.runs))
    if len(set(tags)) < len(tags):
        raise fail(f"--run: {', '.join(tags)}: a tag is given twice", "every run must be a training of its own")
    folders = [stage.run_dir.with_name(tag) for tag in tags]
    for folder in (folder for folder in folders if folder != stage.run_dir):
        if not (folder / "conf.yaml").is_file():
            raise fail(f"--run {folder.name}: no such run", "train it with --tag", folder)
        theirs, ours = (trained_on(conf) for conf in (conf_from_dict(read_yaml(folder / "conf.yaml")), stage.conf))
        if changed := [key for key in changed_keys(theirs, ours) if key not in ("seed", *LENGTH)]:
            raise fail(f"--run {folder.name}: another system: {', '.join(changed)}", "pack runs of one", folder)
    return folders


def with_baseline_energy(stage: Stage, profile: Profile) -> Conf:
    """Return the configuration, with the baseline's energy where none is configured and --baseline has measured it.

    It must have been measured on the same machine with the same codecarbon. For its training, only the first
    baseline_epochs of the profile count.
    """
    split, epochs = submission_split(stage.corpus, profile), profile.baseline_epochs
    baseline = stage.run_dir.with_name(baseline_tag(stage.run_dir.name))
    ours, theirs = read_energy(stage.run_dir / "energy.json"), read_energy(baseline / "energy.json")
    keys = {"baseline_training_kwh": "training", "baseline_devtest_kwh": profile.devtest, "baseline_eval_kwh": split}
    measured = {}
    for key, phase in keys.items():
        one, other = ours.get(phase, {}), theirs.get(phase, {})
        alike = all(one.get(name) and one.get(name) == other.get(name) for name in ("machine", "codecarbon"))
        if alike and getattr(stage.conf.energy, key) is None:
            measured[key] = other.get("kwh")
    if epochs is not None and measured.get("baseline_training_kwh") is not None:
        measured["baseline_training_kwh"] *= share_of_first(epochs, read_run(baseline).history.get("seconds", []))
    found = {key: kwh for key, kwh in measured.items() if kwh is not None and kwh == kwh}
    return dataclasses.replace(stage.conf, energy=dataclasses.replace(stage.conf.energy, **found))


def share_of_first(epochs: int, seconds: Sequence[float]) -> float:
    """Return the share of training time in the first `epochs`; nan if there were fewer. seconds: of each epoch."""
    return sum(seconds[:epochs]) / sum(seconds) if len(seconds) >= epochs and sum(seconds) > 0 else math.nan


def submission_inputs(stage: Stage, runs: Sequence[Path], profile: Profile) -> dict[str, Any]:
    """Return what the package depends on: profile, configuration, and the runs' files by size and modification time."""
    conf = conf_to_dict(stage.conf)
    files = [Path(profile.report)] if profile.report else []
    for run in runs:
        files += [run / name for name in (metrics_name(profile.devtest, stage.conf), "model.json", "energy.json")]
        files += sorted((run / "scores" / (submission_split(stage.corpus, profile) or "")).glob("*.tsv"))
    stats = [(str(file), *file_stamp(file)) for file in files if file.exists()]
    sections = {key: conf[key] for key in ("system", "data", "features", "tasks", "postprocess", "energy")}
    text = profile_file(stage.conf.submission).read_text(encoding="utf-8")
    return {"profile": text, "conf": sections, "files": stats}


def summary(submission: Submission, stage: Stage, runs: Sequence[Path], profile: Profile) -> list[str]:
    """Return the lines that say what was packed and what was filled in."""
    values = submission.values
    lines = [f"stage 5: packed the output on {submission.clips} clips of '{submission.split}' as {submission.label}"]
    networks = SYSTEMS[stage.conf.system].networks
    if len(networks) > 1:
        lines.append(f"  of the student; the {' and '.join(networks[1:])} of {stage.run_dir.name} is not packed")
    if len(runs) > 1:
        lines.append(f"  {len(runs)} runs: {', '.join(run.name for run in runs)}; figures are their means")
    if submission.filled:
        unknown = ", ".join(submission.filled)
        lines.append(f"  {len(submission.filled)} classes that the network does not know have a fixed score: {unknown}")
    lines.append(f"  parameters {_shown(values['parameters'])}, MACs for 10 s {_shown(values['macs_10s'])}")
    scores = (("PSDS1", "psds1"), ("PSDS2", "psds2"), ("event-based F1 (%)", "event_f1_percent"))
    lines.append("  dev-test: " + ", ".join(f"{name} {_shown(values[key])}" for name, key in scores))
    if values.get("psds1_with_events") is not None:
        count = f"over the {values['clips_with_events']} clips with events alone"
        figures = f"PSDS1 {_shown(values['psds1_with_events'])}, PSDS2 {_shown(values['psds2_with_events'])}"
        lines.append(f"  dev-test as the toolkit of 2023 and 2024 counts, {count}: {figures}")
    phases = ("training", "devtest", "evaluation", "baseline_training", "baseline_devtest", "baseline_evaluation")
    asked = [phase for phase in phases if f"{{kwh_{phase}}}" in str(profile.meta)]
    energy = [f"{phase.replace('_', ' ')} {_shown(values[f'kwh_{phase}'])}" for phase in asked]
    return [*lines, "  energy (kWh): " + ", ".join(energy)]


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
