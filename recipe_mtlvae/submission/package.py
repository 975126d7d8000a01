"""A challenge's submission package out of a run: events, operating points, meta file and report in one zip."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.corpus.splits import EVALUATION, Split, evaluation_folder, open_split
from recipe_mtlvae.errors import Fault, RecipeError, fail
from recipe_mtlvae.files import atomic_write
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.report.runs import Run, open_run
from recipe_mtlvae.scoring.postprocess import median_filter
from recipe_mtlvae.scoring.scores import ScoreFolder, read_scores
from recipe_mtlvae.submission.profile import REHEARSAL, Profile, fill, thresholds_of

REHEARSAL_SPLIT = "public"  # packed where there is no evaluation set


@dataclass(frozen=True)
class Submission:
    """A package that was written."""

    path: Path
    label: str
    split: str  # whose output it holds
    clips: int
    rehearsal: tuple[str, ...]  # why it is not for submission; empty if it is
    values: dict[str, Any]  # what was filled in, by the names of the profile's meta


def submission_split(conf: Conf, root: Path) -> str:
    """The split whose output is packed."""
    return EVALUATION if evaluation_folder(conf, root) else REHEARSAL_SPLIT


def build_submission(run_dir: Path, conf: Conf, root: Path, profile: Profile) -> Submission:
    """Write <run_dir>/submission/<...>.zip; the same inputs give the same bytes.

    `root` is the corpus. Raises RecipeError where scores or metrics are missing or do not fit the split's clips.
    """
    run = open_run(run_dir)
    split = open_split(conf, root, submission_split(conf, root))
    folder = run_dir / "scores" / split.name
    if not folder.is_dir():
        raise fail(f"no scores of '{split.name}'", "run stage 2", folder)
    scores = read_scores(folder)
    rehearsal = _rehearsal_reasons(conf, profile, split.name, scores.classes)
    values = meta_values(run, conf, profile, split.name)
    names = profile.names
    meta = fill(profile.meta, values)
    if rehearsal:
        meta["submission"]["notes"] = f"{REHEARSAL}: {'; '.join(rehearsal)}"
    meta_text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=120)
    files = {fill(profile.package.meta, names): meta_text.encode()}
    thresholds = thresholds_of(conf.postprocess.operating_points)
    output, *points = event_files(split, scores, conf, [conf.postprocess.threshold, *thresholds], profile)
    files[fill(profile.package.output, names)] = output
    for threshold, content in zip(thresholds, points, strict=True):
        files[fill(profile.package.operating_point, {**names, "threshold": f"{threshold:.2f}"})] = content
    if profile.report is not None:
        files[fill(profile.package.report, names)] = _read_report(Path(profile.report))
    path = run_dir / "submission" / fill(profile.package.zip, names)
    _write_zip(path, files)
    return Submission(path, names["label"], split.name, len(split.clips), rehearsal, values)


def event_files(
    split: Split, scores: ScoreFolder, conf: Conf, thresholds: Sequence[float], profile: Profile
) -> list[bytes]:
    """One TSV of events for each threshold, all from the same median-filtered scores.

    Rows are sorted by file name, onset, offset and label. Events end with their clip.
    """
    durations = split.durations
    ids = {clip.path.stem: clip.name for clip in sorted(split.clips, key=lambda clip: clip.name)}
    _check_clips(split, ids, scores)
    header = ("\t".join(profile.package.columns) + "\n").encode()
    content = [[header] for _ in thresholds]
    for clip_id, name in ids.items():
        edges, clip_scores = scores.clips[clip_id]
        filtered = median_filter(clip_scores, conf.postprocess.median_filter)
        rows = _rows(name, filtered, edges, durations[name], scores.classes, thresholds, profile.package.columns)
        for part, clip_rows in zip(content, rows, strict=True):
            part.append("".join(clip_rows).encode())
    return [b"".join(part) for part in content]


def _rows(
    name: str,
    scores: np.ndarray,
    edges: np.ndarray,
    duration: float,
    classes: Sequence[str],
    thresholds: Sequence[float],
    columns: Sequence[str],
) -> list[list[str]]:
    """TSV rows of one clip for each threshold: postprocess.to_events for all thresholds in one pass.

    `scores` (steps, classes), `edges` (steps + 1,) and `duration` in seconds.
    """
    limits = np.asarray(thresholds, dtype=scores.dtype)[:, None, None]
    active = np.zeros((len(thresholds), len(classes), len(scores) + 2), dtype=np.int8)
    active[:, :, 1:-1] = np.greater(scores.T, limits)
    changes = np.diff(active, axis=2)
    which, column, first = np.nonzero(changes == 1)  # both scans go in the same order: onsets and offsets pair up
    last = np.nonzero(changes == -1)[2]
    times = [f"{time:.3f}" for time in np.minimum(edges, np.floor(duration * 1000 + 1e-6) / 1000)]
    order = np.lexsort((column, last, first, which))
    rows: list[list[str]] = [[] for _ in thresholds]
    for i, j, a, b in np.stack([which, column, first, last], axis=1)[order].tolist():
        if times[a] != times[b]:  # else the event lies in the padding
            row = {"filename": name, "onset": times[a], "offset": times[b], "event_label": classes[j]}
            rows[i].append("\t".join([row[name] for name in columns]) + "\n")
    return rows


def _check_clips(split: Split, ids: Mapping[str, str], scores: ScoreFolder) -> None:
    """Scores are found by the file name without its ending: each clip needs its own."""
    faults = []
    if len(ids) < len(split.clips):
        faults.append(Fault("two files differ only in their ending", "rename one", split.clips[0].path.parent))
    faults += [Fault("a control character in a file name", "rename it", n) for n in ids.values() if not n.isprintable()]
    faults += [
        Fault("this clip has no scores", "run stage 2", name) for i, name in ids.items() if i not in scores.clips
    ]
    if faults:
        raise RecipeError(*faults)


def _rehearsal_reasons(conf: Conf, profile: Profile, split: str, classes: Sequence[str]) -> tuple[str, ...]:
    reasons = []
    if split != EVALUATION:
        reasons.append(f"there is no evaluation set (data.evaluation), so this is the output on '{split}'")
    if conf.data.prepare == "mini":
        reasons.append(f"trained and tested on the made corpus '{conf.data.name}', not on the challenge's data")
    if set(classes) != set(profile.rules.classes):
        reasons.append("the classes are not the challenge's")
    if set(profile.names.values()) & set(profile.rules.placeholders):
        reasons.append("the authors in the submission profile are still the example's")
    return tuple(reasons)


def meta_values(run: Run, conf: Conf, profile: Profile, split: str) -> dict[str, Any]:
    """What is known for the meta file's {names}; None where it was not measured.

    Energy of phases in kWh, dev-test being the validation split; MACs for 10 s of audio. Raises RecipeError where
    there are no validation scores.
    """
    if "validation" not in run.metrics:
        raise fail("no scores of the validation split", "run stage 3", run.folder)
    if conf.system not in profile.systems:
        raise fail(f"the submission profile names no system '{conf.system}'", "add it under `systems`")
    metrics = run.metrics["validation"]
    step_seconds = Grid.of(conf.features, conf.data.clip_seconds).step_seconds
    return {
        **profile.names,
        **asdict(profile.systems[conf.system]),
        "authors": [_author(author) for author in map(asdict, profile.authors)],
        "source_code": profile.source_code,
        "sample_rate_khz": _short(conf.features.sample_rate / 1000),
        "training_data": [text for task, text in profile.training_data.items() if task in conf.tasks],
        "external_data": [text for task, text in profile.external_data.items() if task in conf.tasks] or None,
        "threshold": conf.postprocess.threshold,
        "median_filter_ms": _short(conf.postprocess.median_filter * step_seconds * 1000),
        "parameters": run.model.get("parameters"),
        "macs_10s": run.model.get("macs_10s"),
        "kwh_training": _kwh(run, "training"),
        "kwh_devtest": _kwh(run, "validation"),
        "kwh_evaluation": _kwh(run, split),
        "kwh_baseline_devtest": conf.energy.baseline_devtest_kwh,
        "kwh_baseline_evaluation": conf.energy.baseline_eval_kwh,
        "energy_measured_by": _measured_by(run.energy.get("training", {})),
        "psds1": _rounded(metrics.get("psds1"), 4),
        "psds2": _rounded(metrics.get("psds2"), 4),
        "event_f1_percent": _percent(metrics.get("event_f1")),
        "class_wise": {
            label: {"F-score": _percent(scores.get("event_f1"))}
            for label, scores in metrics.get("per_class", {}).items()
        },
    }


def _author(author: dict[str, Any]) -> dict[str, Any]:
    """The challenge's readers take any `corresponding` for a yes, so the others must not have the key."""
    return (
        author if author["corresponding"] else {k: v for k, v in author.items() if k not in ("corresponding", "email")}
    )


def _kwh(run: Run, phase: str) -> float | None:
    kwh = run.energy.get(phase, {}).get("kwh")
    return None if kwh is None else float(f"{kwh:.6g}")


def _measured_by(phase: Mapping[str, Any]) -> str | None:
    """How, with what and on what: figures are comparable only where these are the same."""
    parts = [f"codecarbon {phase['codecarbon']}" if phase.get("codecarbon") else None]
    parts += [phase.get(key) for key in ("mode", "cpu_model", "gpu_model")]
    return ", ".join(str(part) for part in parts if part) or None


def _percent(share: float | None) -> float | None:
    return None if share is None else _rounded(100 * share, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


def _short(value: float) -> int | float:
    """16 rather than 16.0."""
    value = round(value, 3)
    return int(value) if value == int(value) else value


def _read_report(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise fail("no such file", "correct `report` in the submission profile", file) from None


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """All members with one fixed date, sorted: the same content gives the same bytes."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
