"""Stage 5: the submission package of a run, and the check of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from local.stage import Stage, baseline_tag, open_stage
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.errors import exit_code_of, fail
from recipe_mtlvae.files import file_stamp
from recipe_mtlvae.scoring.energy import read_energy
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.package import Submission, build_submission, submission_split
from recipe_mtlvae.submission.profile import DEFAULT_PROFILE, Profile, fill, read_profile


def main() -> None:
    stage = open_stage(5, __doc__)
    stage = dataclasses.replace(stage, conf=with_baseline_energy(stage))
    profile = read_profile()
    path = stage.run_dir / "submission" / fill(profile.package.zip, profile.names)
    inputs = submission_inputs(stage, profile)
    if stage.done(inputs) and path.exists():
        print(f"stage 5: {path} is there already")
        return
    submission = build_submission(stage.run_dir, stage.conf, stage.root, profile)
    print("\n".join(summary(submission)))
    report = check_package(submission.path, profile)
    print("\n".join(report.lines(submission.path)))
    if report.faults:
        raise fail(
            f"the package has {len(report.faults)} faults, listed above", "correct them and run stage 5 again", path
        )
    stage.mark_done(inputs)


def with_baseline_energy(stage: Stage) -> Conf:
    """The configuration, with the baseline's energy where --baseline measured it alike and none is configured.

    Alike is on this machine, by the same codecarbon.
    """
    split = submission_split(stage.conf, stage.root)
    ours = read_energy(stage.run_dir / "energy.json")
    theirs = read_energy(stage.run_dir.with_name(baseline_tag(stage.run_dir.name)) / "energy.json")
    measured = {}
    for key, phase in (("baseline_devtest_kwh", "validation"), ("baseline_eval_kwh", split)):
        one, other = ours.get(phase, {}), theirs.get(phase, {})
        alike = all(one.get(name) and one.get(name) == other.get(name) for name in ("machine", "codecarbon"))
        if alike and getattr(stage.conf.energy, key) is None:
            measured[key] = other.get("kwh")
    return dataclasses.replace(stage.conf, energy=dataclasses.replace(stage.conf.energy, **measured))


def submission_inputs(stage: Stage, profile: Profile) -> dict[str, Any]:
    """What the package depends on: the profile, the run's figures, and its scores by size and time of change."""
    conf = conf_to_dict(stage.conf)
    scores = stage.run_dir / "scores" / submission_split(stage.conf, stage.root)
    files = [stage.run_dir / name for name in ("metrics.json", "model.json", "energy.json")]
    files += sorted(scores.glob("*.tsv"))
    files += [Path(profile.report)] if profile.report else []
    stats = [(file.name, *file_stamp(file)) for file in files if file.exists()]
    sections = {key: conf[key] for key in ("system", "data", "features", "tasks", "postprocess", "energy")}
    return {"profile": DEFAULT_PROFILE.read_text(encoding="utf-8"), "conf": sections, "files": stats}


def summary(submission: Submission) -> list[str]:
    """What was packed and what was filled in."""
    values = submission.values
    lines = [f"stage 5: packed the output on {submission.clips} clips of '{submission.split}' as {submission.label}"]
    lines.append(f"  parameters {_shown(values['parameters'])}, MACs for 10 s {_shown(values['macs_10s'])}")
    scores = (("PSDS1", "psds1"), ("PSDS2", "psds2"), ("event-based F1 (%)", "event_f1_percent"))
    lines.append("  validation: " + ", ".join(f"{name} {_shown(values[key])}" for name, key in scores))
    phases = ("training", "devtest", "evaluation", "baseline_devtest", "baseline_evaluation")
    energy = [f"{phase.replace('_', ' ')} {_shown(values[f'kwh_{phase}'])}" for phase in phases]
    return [*lines, "  energy (kWh): " + ", ".join(energy)]


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
