"""Open run folders, score folders and folders of operating points as outputs on the same clips and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipe_mtlvae.corpus.splits import scored_splits
from recipe_mtlvae.errors import fail
from recipe_mtlvae.report.runs import GIVEN, Run, bare_run, read_run
from recipe_mtlvae.scoring.evaluation import THRESHOLD, SystemOutput, prepare, read_points
from recipe_mtlvae.scoring.reference import Reference, read_written_reference, reference_path
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, read_scores

KINDS = ("run", "scores", "points")  # in the order of opening: a run carries truth and classes, points carry neither


@dataclass(frozen=True)
class Member:
    """One folder, opened."""

    name: str
    run: Run  # without contents if the folder is not a run
    outputs: dict[str, SystemOutput]  # by split


def open_members(sources: Sequence[tuple[str, Path]], given: Reference | None, split: str | None) -> list[Member]:
    """Open all folders for measuring.compare. The first folder opened of a split sets the classes of the split."""
    kinds = [_kind(path) for _, path in sources]
    runs = [path for (_, path), kind in zip(sources, kinds, strict=True) if kind == "run"]
    of_other_clips = [path for path in runs if given and _given_split(path, given) is None]
    if of_other_clips:
        if len(of_other_clips) == len(sources):
            raise fail("no run has scores of the clips in --durations: file names differ", path=of_other_clips[0])
        split += GIVEN
    opened: dict[int, Member] = {}
    classes: dict[str, tuple[str, ...]] = {}  # by split
    for i in sorted(range(len(sources)), key=lambda i: KINDS.index(kinds[i])):
        (name, path), kind = sources[i], kinds[i]
        split = split or next((own for member in opened.values() for own in member.outputs), None)
        reference = given or _borrowed(opened, split)
        if kind == "run":
            of_others = path in of_other_clips
            member = _open_run_of_other_clips(name, path) if of_others else _open_run(name, path, given, split)
        elif reference is None:
            raise fail("this folder carries no truth", "give --ground_truth and --durations", path)
        elif kind == "scores":
            member = Member(name, bare_run(path, name), {split: prepare(read_scores(path), reference, THRESHOLD)})
        else:
            member = Member(name, bare_run(path, name), {split: read_points(path, reference, classes.get(split))})
        for own, output in member.outputs.items():
            classes.setdefault(own, output.scores.classes)
        opened[i] = _with_classes(member, classes, path)
    members = [opened[i] for i in range(len(sources))]
    _check_same_clips(members)
    return members


def _kind(path: Path) -> str:
    """Return which of KINDS the folder is, by its contents."""
    if not path.is_dir():
        raise fail("no such folder", "give a run, a score folder or a folder of operating points", path)
    if (path / "scores").is_dir():
        return "run"
    tables = sorted(file for file in path.glob("*.tsv") if not file.name.startswith("."))
    if not tables:
        raise fail("expected a run, a score folder or a folder of operating points; found no scores", path=path)
    with tables[0].open(encoding="utf-8", errors="replace") as lines:
        return "scores" if lines.readline().startswith("onset\toffset\t") else "points"


def _given_split(run: Path, given: Reference) -> str | None:
    """Return the split of the run with most scores of the given clips; None if no split has any."""
    splits = sorted(path for path in (run / "scores").iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: sum((path / f"{clip}.tsv").exists() for clip in given.durations) for path in splits}
    best = max(found, key=found.__getitem__, default=None)
    return best if best and found[best] else None


def _open_run_of_other_clips(name: str, path: Path) -> Member:
    member = _open_run(name, path, None, "")
    gap = "None of its scores is of the given clips: it has tables of its own, by its own truth, and no differences."
    return replace(member, run=replace(member.run, gaps=(*member.run.gaps, gap)))


def _open_run(name: str, path: Path, given: Reference | None, split: str) -> Member:
    run = read_run(path, name)
    if run.conf is None:
        raise fail("this run has no readable conf.yaml: its median filter and threshold are unknown", path=path)
    after = run.conf.postprocess

    def output(folder: Path, reference: Reference) -> SystemOutput:
        return prepare(read_scores(folder), reference, after.threshold, steps=after.median_filter)

    if given:
        return Member(name, run, {split: output(path / "scores" / _given_split(path, given), given)})
    scored = scored_splits(run.conf)
    own = [split for split in scored if (path / "scores" / split).is_dir()]
    if not own:
        raise fail(f"expected scores/{' or scores/'.join(scored)} in this run, found none", "run stage 2", path)
    return Member(
        name,
        run,
        {split: output(path / "scores" / split, read_written_reference(reference_path(path, split))) for split in own},
    )


def _borrowed(opened: dict[int, Member], split: str) -> Reference | None:
    """Return the truth of `split` from a run that was opened before, for folders that carry none."""
    return next((member.outputs[split].reference for member in opened.values() if split in member.outputs), None)


def _with_classes(member: Member, classes_of: Mapping[str, tuple[str, ...]], path: Path) -> Member:
    """Return the member with its score columns in the order of the classes of each split."""
    outputs = {}
    for split, output in member.outputs.items():
        own, classes = output.scores.classes, classes_of[split]
        if set(own) != set(classes):
            only = [f"it lacks {', '.join(sorted(set(classes) - set(own)))}"] * bool(set(classes) - set(own))
            only += [f"only it has {', '.join(sorted(set(own) - set(classes)))}"] * bool(set(own) - set(classes))
            raise fail(f"class lists differ: {'; '.join(only)}", path=path)
        columns = [own.index(label) for label in classes]
        clips = {clip: ClipScores(item.edges, item.scores[:, columns]) for clip, item in output.scores.clips.items()}
        outputs[split] = replace(output, scores=ScoreFolder(classes, clips))
    return replace(member, outputs=outputs)


def _check_same_clips(members: Sequence[Member]) -> None:
    """Raise RecipeError if two systems have different clips or different true events on the same split."""
    for split in dict.fromkeys(split for member in members for split in member.outputs):
        first, *others = [member for member in members if split in member.outputs]
        expected = first.outputs[split].reference
        for other in others:
            reference = other.outputs[split].reference
            differ = expected.durations.keys() ^ reference.durations.keys()
            if differ:
                what = f"{first.name} and {other.name} were scored on different clips of {split}: {len(differ)} differ"
                raise fail(what, "give --ground_truth and --durations of the clips that both have")
            changed = [clip for clip, events in expected.truth.items() if events != reference.truth[clip]]
            if changed:
                what = f"{first.name} and {other.name} have different events in {len(changed)} clips of {split}"
                raise fail(what, "give --ground_truth and --durations")
