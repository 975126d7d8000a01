"""Complete a DESED tree, split by split: keep what is there; link, fetch or generate what is missing."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.desed.archives import Archives
from local.desed.audioset import CLIP_BYTES, NOT_TRIED, fetch_clips
from local.desed.bank import archives_needed
from local.desed.clip_file import link
from local.desed.generate import check_origin, generate, soundscape_bytes
from local.desed.reuse import Index, index_of, link_clips
from local.desed.tree_split import WORK, TreeSplit
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import Fault, RecipeError, fail, fault_lines, printable, warn
from recipe_mtlvae.progress_bar import byte_text

NOTED_EVERY = 100  # clips that cannot be obtained, between two updates of missing_files_<split>.tsv


def complete(conf: Conf, root: Path) -> None:
    """Obtain what the splits of `conf` lack under `root`, from the sources in fetch.splits.

    A complete tree is not changed. Clips that are gone are listed in missing_files_<split>.tsv. Raises RecipeError with
    the faults of all splits if another run may obtain more; what has arrived until then is kept.
    """
    archives = Archives(root / WORK, conf.fetch)
    splits = [TreeSplit(name, conf, root, archives) for name in conf.data.splits]
    splits = [split for split in splits if split.is_generated or split.name in conf.fetch.splits]
    for split in splits:
        check_origin(split)
    try:
        if not all(split.is_complete() for split in splits):
            _complete(splits)
        for split in splits:
            if not split.missing():  # also if the user has added the missing files
                split.write_missing({})
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise fail("the disk is full", "make room and run the same command again; no file is lost", root) from None
    shutil.rmtree(root / WORK, ignore_errors=True)


def _complete(splits: list[TreeSplit]) -> None:
    """Obtain tables first: they name the clips, and so the space needed. Single clips come last: they take hours."""
    faults: list[Fault] = []
    root, index = splits[0].root, index_of(splits[0].conf.data.reuse)
    ready = [split for split in splits if split.is_generated or _try(faults, _begin, split, index)]
    singles = [split for split in ready if split.has_single_clips]
    others = [split for split in ready if split not in singles]
    if not _try(faults, require_room, root, _needed_bytes(singles, others)):
        raise RecipeError(*dict.fromkeys(faults))
    done = [_try(faults, _soundscapes if split.is_generated else _archive, split) for split in others]
    if all(done):
        _delete_archives(root / WORK)
    for split in singles:
        _try(faults, _singles, split)
    if faults:
        raise RecipeError(*dict.fromkeys(faults))


def require_room(root: Path, needed: int) -> None:
    """Raise RecipeError if the disk of `root` has less than `needed` bytes free."""
    free = shutil.disk_usage(root).free
    if needed > free:
        what = f"needs {byte_text(needed)} on this disk, where {byte_text(free)} are free"
        raise fail(what, "make room, or take fewer splits: --set data.splits=[validation, public]", root)


def _delete_archives(work: Path) -> None:
    """Delete the archives, which take many GB. Interrupted downloads are kept."""
    for path in work.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".part" or not path.stat().st_size:
            path.unlink()


def _try(faults: list[Fault], step: Callable[..., None], *arguments: Any) -> bool:
    """Run a step and collect its faults: the other splits are still completed. Return whether it succeeded."""
    try:
        step(*arguments)
    except RecipeError as error:
        faults += error.faults
        return False
    return True


def _begin(split: TreeSplit, index: Index) -> None:
    """Do the quick steps: obtain the split's table, unless it comes with the audio, and link files of data.reuse."""
    if not split.table.exists():
        _table(split, index)
    missing = split.missing()
    if not split.conf.data.reuse or not missing.clips:
        return
    linked, unfit = link_clips(index, split, missing.clips)
    count = f"{len(missing.clips):,} of {missing.expected:,} clips missing"
    print(f"{split.name}: {count}, {linked:,} linked from data.reuse", flush=True)
    for line in fault_lines(unfit):
        warn(f"{split.name}: not linked: {line}")
    split.write_missing(split.final_reasons(split.missing()))


def _table(split: TreeSplit, index: Index) -> None:
    """Obtain a split's table. If it comes with the audio, it is only linked here, from a tree of data.reuse."""
    if split.origin.metadata != split.origin.audio:
        _take_table(split)
        archive = split.archives.describe(split.origin.metadata)
        print(printable(f"{split.name}: metadata from {archive}"), flush=True)
        return
    folder, _, file = split.split.metadata.rpartition("/")
    found = next((place / file for place in index.at(folder) if (place / file).is_file()), None)
    if found:
        link(found, split.table)
        print(printable(f"{split.name}: metadata linked from {found}"), flush=True)


def _take_table(split: TreeSplit) -> None:
    metadata = split.split.metadata
    split.archives.take_table(split.origin.metadata, metadata, split.table)
    if not split.table.exists():
        what = f"split '{split.name}': {split.archives.describe(split.origin.metadata)} holds no {metadata}"
        raise fail(what, "correct fetch.splits, or data.splits")


def _needed_bytes(singles: list[TreeSplit], others: list[TreeSplit]) -> int:
    """Return the space (bytes) for archives and what they unpack to, single clips, and soundscapes."""
    size = CLIP_BYTES * sum(len(split.wanted(split.missing())) for split in singles)
    needed: dict[str, TreeSplit] = {}
    for split in others:
        missing = split.missing()
        if split.is_generated and missing:
            size += soundscape_bytes(split)
            needed |= dict.fromkeys(archives_needed(split.conf, split.root), split)
        elif not split.is_generated and (missing.metadata or split.wanted(missing)):
            needed[split.origin.audio] = split
    for archive, split in needed.items():
        with contextlib.suppress(RecipeError):  # an archive that cannot be obtained is reported when it is fetched
            size += split.archives.needed_bytes(archive)
    return size


def _soundscapes(split: TreeSplit) -> None:
    if split.missing():
        generate(split)


def _archive(split: TreeSplit) -> None:
    """Unpack what a split lacks from its archive: the table, then the clips that the table names."""
    if split.missing().metadata:
        _take_table(split)
    missing = split.missing()
    wanted = split.wanted(missing)
    if wanted:
        split.archives.take(split.origin.audio, {f"{split.split.audio}/{clip}": split.audio / clip for clip in wanted})
        _report(split, len(missing.clips), {}, split.not_in_archive())


def _singles(split: TreeSplit) -> None:
    """Fetch single AudioSet clips. Clips that another split of the tree has are linked instead."""
    missing = split.missing()
    wanted = split.wanted(missing)
    if not wanted:
        return
    folders = (split.root / other.audio for other in split.conf.data.splits.values())
    link_clips(index_of(folder for folder in folders if folder.is_dir()), split, wanted)
    wanted = split.wanted(split.missing())
    print(f"{split.name}: {missing.expected:,} clips expected, {len(wanted):,} to be fetched from YouTube", flush=True)
    reasons = split.final_reasons(missing)

    def note(clip: str, reason: str) -> None:
        reasons[clip] = reason
        if len(reasons) % NOTED_EVERY == 0:
            split.write_missing(reasons)

    try:
        stopped = fetch_clips(wanted, split.audio, split.work / "clips", split.conf.fetch, split.name, note)
    finally:  # these reasons took hours to collect
        _report(split, len(missing.clips), reasons, NOT_TRIED)
    if stopped:
        left = len(split.wanted(split.missing()))
        what = f"split '{split.name}': {left:,} clips are still to be fetched; {stopped}"
        raise fail(what, "run the same command again later, or continue without them: --set data.prepare=none")


def _report(split: TreeSplit, before: int, reasons: dict[str, str], default: str) -> None:
    """Write and print what a step has obtained.

    before: clips that were missing before it. default: the reason of missing clips that `reasons` does not have.
    """
    left = split.missing().clips
    split.write_missing({clip: reasons.get(clip, default) for clip in left})
    missing = f", {len(left):,} not: the reasons are in {split.missing_file}" if left else ""
    print(f"{split.name}: {before - len(left):,} clips obtained{missing}", flush=True)
