"""From folders to systems' outputs on the same clips and classes: run folders, score folders, operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipe_mtlvae.errors import fail
from recipe_mtlvae.products.runs import SPLITS, Run, read_run
from recipe_mtlvae.scoring.command import THRESHOLD, prepare, read_points
from recipe_mtlvae.scoring.command import System as Output
from recipe_mtlvae.scoring.reference import Reference
from recipe_mtlvae.scoring.reference_file import read_written_reference, reference_path
from recipe_mtlvae.scoring.scores import ClipScores, ScoreFolder, read_scores

KINDS = ("run", "scores", "points")  # in the order of opening: a run carries truth and classes, points carry neither


@dataclass(frozen=True)
class Member:
    """One folder that was named."""

    name: str
    run: Run  # bare where the folder is no run
    outputs: dict[str, Output]  # by split


def open_members(sources: Sequence[tuple[str, Path]], given: Reference | None, split: str) -> list[Member]:
    """See systems.compare. Classes come from the first folder that tells them: operating points do not."""
    kinds = [_kind(path) for _, path in sources]
    opened: dict[int, Member] = {}
    classes: tuple[str, ...] | None = None
    for i in sorted(range(len(sources)), key=lambda i: KINDS.index(kinds[i])):
        (name, path), kind = sources[i], kinds[i]
        reference = given if given or kind == "run" else _borrowed(opened, split)
        if kind == "run":
            member = _open_run(name, path, reference, split)
        elif reference is None:
            raise fail("this folder carries no truth", "give --ground_truth and --durations", path)
        elif kind == "scores":
            member = Member(name, read_run(path, name), {split: prepare(read_scores(path), reference, THRESHOLD)})
        else:
            member = Member(name, read_run(path, name), {split: read_points(path, reference, classes)})
        classes = classes or next(iter(member.outputs.values())).scores.classes
        opened[i] = _with_classes(member, classes, path)
    members = [opened[i] for i in range(len(sources))]
    _check_same_clips(members)
    return members


def _kind(path: Path) -> str:
    """One of KINDS, by what the folder holds."""
    if not path.is_dir():
        raise fail("no such folder", "give a run, a score folder or a folder of operating points", path)
    if (path / "scores").is_dir():
        return "run"
    tables = sorted(file for file in path.glob("*.tsv") if not file.name.startswith("."))
    if not tables:
        raise fail("expected a run, a score folder or a folder of operating points; found no scores", path=path)
    with tables[0].open(encoding="utf-8", errors="replace") as lines:
        return "scores" if lines.readline().startswith("onset\toffset\t") else "points"


def _open_run(name: str, path: Path, given: Reference | None, split: str) -> Member:
    run = read_run(path, name)
    if run.conf is None:
        raise fail("this run has no readable conf.yaml: its median filter and threshold are unknown", path=path)
    outputs: dict[str, Output] = {}
    for own in SPLITS:
        folder = path / "scores" / own
        if not folder.is_dir() or (given and not any((folder / f"{clip}.tsv").exists() for clip in given.durations)):
            continue
        reference = given or read_written_reference(reference_path(path, own))
        after = run.conf.postprocess
        output = prepare(read_scores(folder), reference, after.threshold, steps=after.median_filter)
        if given:
            return Member(name, run, {split: output})
        outputs[own] = output
    if not outputs:
        raise fail("none of this run's scores is of a clip in the list", path=path)
    return Member(name, run, outputs)


def _borrowed(opened: dict[int, Member], split: str) -> Reference | None:
    """The truth that a run before carries, for folders that carry none."""
    return next((member.outputs[split].reference for member in opened.values() if split in member.outputs), None)


def _with_classes(member: Member, classes: tuple[str, ...], path: Path) -> Member:
    """The member with its score columns in the order of `classes`."""
    outputs = {}
    for split, output in member.outputs.items():
        own = output.scores.classes
        if set(own) != set(classes):
            only = [f"it lacks {', '.join(sorted(set(classes) - set(own)))}"] * bool(set(classes) - set(own))
            only += [f"only it has {', '.join(sorted(set(own) - set(classes)))}"] * bool(set(own) - set(classes))
            raise fail(f"class lists differ: {'; '.join(only)}", path=path)
        columns = [own.index(label) for label in classes]
        clips = {clip: ClipScores(item.edges, item.scores[:, columns]) for clip, item in output.scores.clips.items()}
        outputs[split] = replace(output, scores=ScoreFolder(classes, clips))
    return replace(member, outputs=outputs)


def _check_same_clips(members: Sequence[Member]) -> None:
    """Raises RecipeError where two systems are held against different clips or events."""
    for split in {split for member in members for split in member.outputs}:
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
