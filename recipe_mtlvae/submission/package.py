"""Write a submission package from runs: their outputs, meta file, energy records and report in one zip file."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import EVALUATION
from recipe_mtlvae.corpus.splits import Corpus, of_role
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.inputs.prepared import Split, open_split
from recipe_mtlvae.report.runs import Run, open_run
from recipe_mtlvae.scoring.scores import ScoreFolder, read_scores
from recipe_mtlvae.submission.meta_values import meta_values
from recipe_mtlvae.submission.outputs import Files, clip_ids, event_files, score_files
from recipe_mtlvae.submission.profile import REHEARSAL, Profile, fill


@dataclass(frozen=True)
class Submission:
    """A package that was written."""

    path: Path
    label: str
    split: str  # the split whose output is packed
    clips: int
    filled: tuple[str, ...]  # classes that the network does not know, whose score is the profile's `fill`
    rehearsal: tuple[str, ...]  # why the package is a rehearsal; empty: it is not
    values: dict[str, Any]  # what was filled into the profile's `meta`, by {name}


def submission_split(corpus: Corpus, profile: Profile) -> str | None:
    """Return the split to pack: the evaluation set, else the last test split other than dev-test; None: neither."""
    tests = [name for name in of_role(corpus.splits, "test") if name != profile.devtest]
    return EVALUATION if EVALUATION in tests else tests[-1] if tests else None


def build_submission(
    run_dirs: Sequence[Path], conf: Conf, root: Path, profile: Profile, home: Path | None = None
) -> Submission:
    """Write the profile's zip file below <home>/submission/. The same inputs give the same bytes.

    run_dirs: trainings of one system, as many as the profile asks for, or fewer for a rehearsal; root: folder of the
    corpus; home: the run that the package belongs to, None: the first. Raises RecipeError if scores or metrics are
    missing or do not fit the split's clips.
    """
    corpus, patterns = Corpus(conf, root), profile.package
    name = submission_split(corpus, profile)
    if name is None:
        raise fail("neither evaluation audio nor a test split beside dev-test: nothing to pack", path=root)
    if len(run_dirs) > patterns.runs:
        raise fail(f"{len(run_dirs)} runs: a package of {profile.challenge} holds {patterns.runs}", "give fewer --run")
    runs, split = [open_run(folder) for folder in run_dirs], open_split(corpus, name)
    folders = [_scores_of(folder / "scores" / name, split) for folder in run_dirs]
    if any(folder.classes != folders[0].classes for folder in folders):
        raise fail("the runs' networks have other classes", "pack runs of one system", run_dirs[-1])
    known = folders[0].classes
    absent = tuple(label for label in profile.rules.classes if label not in known)
    filled = absent if profile.rules.fill is not None else ()
    rehearsal = _rehearsal_reasons(conf, profile, split, known, len(runs))
    values = meta_values(runs, conf, profile, name)
    files: Files = {fill(patterns.meta, profile.names): _meta_file(profile, values, rehearsal)}
    files |= event_files(split, folders[0], conf, profile)
    for number, (run, folder) in enumerate(zip(runs, folders, strict=True), start=1):
        names = {**profile.names, "run": number}
        for pattern, steps in ((patterns.scores, conf.postprocess.median_filter), (patterns.unprocessed, 1)):
            if pattern is not None:
                files |= score_files(fill(pattern, names), split, folder, filled, profile, steps)
        if patterns.energy is not None:
            files |= _energy_files(run, profile, names, name)
    if profile.report is not None:
        files[fill(patterns.report, profile.names)] = _read_report(Path(profile.report))
    path = (home or run_dirs[0]) / "submission" / fill(patterns.zip, profile.names)
    _write_zip(path, files)
    return Submission(path, profile.names["label"], name, len(split.clips), filled, rehearsal, values)


def _scores_of(folder: Path, split: Split) -> ScoreFolder:
    if not folder.is_dir():
        raise fail(f"no scores of '{split.name}'", "run stage 2", folder)
    scores = read_scores(folder)
    _check_clips(split, clip_ids(split), scores)
    return scores


def _meta_file(profile: Profile, values: Mapping[str, Any], rehearsal: Sequence[str]) -> bytes:
    meta = fill(profile.meta, values)
    if rehearsal:
        meta["submission"]["notes"] = f"{REHEARSAL}: {'; '.join(rehearsal)}"
    return yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=120).encode()


def _energy_files(run: Run, profile: Profile, names: Mapping[str, Any], split: str) -> Files:
    """Return codecarbon's records of a run in its CSV format, a row for each measured part; no file without records."""
    files: Files = {}
    for phase in profile.package.energy_phases:
        records = (
            run.energy.get({"devtest": profile.devtest, "evaluation": split}.get(phase, phase), {}).get("records") or []
        )
        if records:
            text = io.StringIO()
            columns = list(dict.fromkeys(key for row in records for key in row))
            table = csv.DictWriter(text, columns, lineterminator="\n")
            table.writeheader()
            table.writerows(records)
            files[fill(profile.package.energy, {**names, "phase": phase})] = text.getvalue().encode()
    return files


def _check_clips(split: Split, ids: Mapping[str, str], scores: ScoreFolder) -> None:
    """Check that each clip has scores. They are found by its file name without the ending, which must be unique."""
    faults = []
    if len(ids) < len(split.clips):
        faults.append(Fault("two files differ only in their ending", "rename one", split.clips[0].path.parent))
    faults += [Fault("a control character in a file name", "rename it", n) for n in ids.values() if not n.isprintable()]
    faults += [
        Fault("this clip has no scores", "run stage 2", name) for i, name in ids.items() if i not in scores.clips
    ]
    if faults:
        raise RecipeError(*faults)


def _rehearsal_reasons(
    conf: Conf, profile: Profile, split: Split, classes: Sequence[str], runs: int
) -> tuple[str, ...]:
    reasons, rules = [], profile.rules
    if split.name != EVALUATION:
        reasons.append(f"there is no evaluation set (data.evaluation), so this is the output on '{split.name}'")
    if conf.data.prepare == "mini":
        reasons.append(f"trained and tested on the made corpus '{conf.data.name}', not on the challenge's data")
    if not set(classes) <= set(rules.classes) or (rules.fill is None and set(classes) != set(rules.classes)):
        reasons.append("the classes are not the challenge's")
    if rules.clips is not None and len(split.clips) != rules.clips:
        reasons.append(f"{len(split.clips)} clips, not the challenge's {rules.clips}")
    if runs < profile.package.runs:
        reasons.append(f"{runs} of {profile.package.runs} runs (--run)")
    missing = [name for name, value in profile.figures.items() if value is None]
    reasons += [f"{name} is not given (`figures` in the profile)" for name in missing]
    if set(profile.names.values()) & set(rules.placeholders):
        reasons.append("the authors in the submission profile are still the example's")
    return tuple(reasons)


def _read_report(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise fail("no such file", "correct `report` in the submission profile", file) from None


def _write_zip(path: Path, files: Files) -> None:
    """Write all members sorted and with a fixed date, so that the same content gives the same bytes."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, content if isinstance(content, bytes) else content())
