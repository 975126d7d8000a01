"""A tree of DESED, completed split by split: what is there is kept, what is missing is linked, fetched or generated."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.desed.archives import Archives
from local.desed.bank import archives_needed
from local.desed.clip_file import link
from local.desed.clips import NOT_TRIED, fetch_clips, is_gone
from local.desed.generate import check_origin, generate, soundscape_bytes
from local.desed.lacks import Lack, lack_of
from local.desed.missing import missing_file, read_missing, write_missing
from local.desed.reuse import Index, index_of, link_clips
from local.desed.space import CLIP_BYTES, full_disk_told, require_room
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import SplitOriginConf
from recipe_mtlvae.errors import SHOWN_FAULTS, Fault, RecipeError, printable, warn

WORK = ".fetch"  # under the root: what is under way; gone when all is done
AUDIOSET = "audioset"  # in fetch.splits: single clips
NOTED_EVERY = 100  # clips that did not come


@dataclass(frozen=True)
class Tree:
    """What every step works on."""

    conf: Conf
    root: Path
    archives: Archives

    @property
    def work(self) -> Path:
        return self.root / WORK

    def is_generated(self, name: str) -> bool:
        return self.conf.data.synthetic == "generate" and name in self.conf.fetch.soundscapes

    def is_open(self, lack: Lack) -> bool:
        """Whether there is something to do for a split."""
        if self.is_generated(lack.name):
            return bool(lack)
        return lack.metadata or bool(self.wanted(lack)) or bool(lack and self.conf.data.reuse)

    def lack(self, name: str) -> Lack:
        return lack_of(self.conf, self.root, name)

    def reasons(self, lack: Lack) -> dict[str, str]:
        """Why clips that are lacking cannot be had; asking for these again is of no use."""
        known = read_missing(missing_file(self.root, lack.name))
        final = {name: known[name] for name in lack.clips if name in known}
        origin = self.conf.fetch.splits[lack.name].audio
        if origin == AUDIOSET:
            return {name: reason for name, reason in final.items() if is_gone(reason)}
        return {name: reason for name, reason in final.items() if reason == f"not in {self.archives.describe(origin)}"}

    def wanted(self, lack: Lack) -> list[str]:
        """The clips that may still be had."""
        reasons = self.reasons(lack)
        return [name for name in lack.clips if name not in reasons]


def complete(conf: Conf, root: Path) -> None:
    """Bring what the splits of `conf` lack under `root`, from where fetch.splits says; a whole tree is only looked at.

    Clips that are gone are told of and listed in missing_files_<split>.tsv. Raises RecipeError with the faults of all
    splits where more may be had another time; what has come by then is kept.
    """
    tree = Tree(conf, root, Archives(root / WORK, conf.fetch))
    names = [name for name in conf.data.splits if name in conf.fetch.splits or tree.is_generated(name)]
    for name in names:
        check_origin(conf, root, name, tree.is_generated(name))
    with full_disk_told(root):
        if any(tree.is_open(tree.lack(name)) for name in names):
            _complete(tree, names)
        for name in names:
            if not tree.lack(name):  # such as where the user has put the missing files there
                missing_file(root, name).unlink(missing_ok=True)
    shutil.rmtree(tree.work, ignore_errors=True)


def _complete(tree: Tree, names: list[str]) -> None:
    """Tables first: they tell which clips there are, so how much room it takes. Single clips take hours: last."""
    faults: list[Fault] = []
    index = index_of(tree.conf.data.reuse)
    ready = [name for name in names if tree.is_generated(name) or _try(faults, _begin, tree, name, index)]
    singles = [name for name in ready if not tree.is_generated(name) and _origin(tree, name).audio == AUDIOSET]
    others = [name for name in ready if name not in singles]
    if not _try(faults, require_room, tree.root, _needed_bytes(tree, singles, others)):
        raise RecipeError(*dict.fromkeys(faults))
    done = [_try(faults, _soundscapes if tree.is_generated(name) else _archive, tree, name) for name in others]
    if all(done):
        _clear(tree.work)
    for name in singles:
        _try(faults, _singles, tree, name)
    if faults:
        raise RecipeError(*dict.fromkeys(faults))


def _clear(work: Path) -> None:
    """Delete the archives, many GB; what has come of one that broke off is kept."""
    for path in work.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".part" or not path.stat().st_size:
            path.unlink()


def _origin(tree: Tree, name: str) -> SplitOriginConf:
    return tree.conf.fetch.splits[name]


def _try(faults: list[Fault], step: Callable[..., None], *arguments: Any) -> bool:
    """Whether a step was done: a fault of one split does not keep the others from being completed."""
    try:
        step(*arguments)
    except RecipeError as error:
        faults += error.faults
        return False
    return True


def _begin(tree: Tree, name: str, index: Index) -> None:
    """What does not take long: the split's table where it comes alone, and links."""
    _metadata(tree, name, index)
    _reuse(tree, name, index)


def _metadata(tree: Tree, name: str, index: Index) -> None:
    """A split's table; one that comes in the archive of the audio may lie in another tree beside the audio."""
    split, origin = tree.conf.data.splits[name], _origin(tree, name)
    target = tree.root / split.metadata
    if target.exists():
        return
    if origin.metadata != origin.audio:
        tree.archives.take(origin.metadata, {split.metadata: target})
        _require_metadata(tree, name)
        print(printable(f"{name}: metadata from {tree.archives.describe(origin.metadata)}"), flush=True)
        return
    folder, _, file = split.metadata.rpartition("/")
    found = [place / file for place in index.at(folder) if (place / file).is_file()]
    if found:
        link(found[0], target)
        print(printable(f"{name}: metadata linked from {found[0]}"), flush=True)


def _require_metadata(tree: Tree, name: str) -> None:
    split, origin = tree.conf.data.splits[name], _origin(tree, name)
    if not (tree.root / split.metadata).exists():
        what = f"split '{name}': {tree.archives.describe(origin.metadata)} holds no {split.metadata}"
        raise RecipeError(Fault(what, "correct fetch.splits, or data.splits"))


def _reuse(tree: Tree, name: str, index: Index) -> None:
    """Link what other trees have of a split's clips."""
    lack = tree.lack(name)
    if not tree.conf.data.reuse or not lack.clips:
        return
    linked, unfit = link_clips(index, lack.split, lack.clips, tree.root / lack.split.audio, name)
    print(
        f"{name}: {len(lack.clips):,} of {lack.expected:,} clips missing, {linked:,} linked from data.reuse", flush=True
    )
    for line in unfit[:SHOWN_FAULTS]:
        warn(f"{name}: not linked: {line}")
    if len(unfit) > SHOWN_FAULTS:
        warn(f"{name}: not linked: {len(unfit) - SHOWN_FAULTS} more")
    left = tree.lack(name)
    write_missing(missing_file(tree.root, name), tree.reasons(left), tree.work)


def _needed_bytes(tree: Tree, singles: list[str], others: list[str]) -> int:
    """Room for all that is to come: the archives and what they unpack to, single clips, soundscapes."""
    archives, size = set(), 0
    for name in others:
        lack = tree.lack(name)
        if tree.is_generated(name):
            size += soundscape_bytes(tree.conf, name) if lack else 0
            archives |= set(archives_needed(tree.conf, tree.root)) if lack else set()
        elif lack.metadata or tree.wanted(lack):
            archives.add(_origin(tree, name).audio)
    clips = sum(len(tree.wanted(tree.lack(name))) for name in singles)
    for archive in sorted(archives):
        with contextlib.suppress(RecipeError):  # one that cannot be had is told of in its own step
            size += tree.archives.needed_bytes(archive)
    return size + clips * CLIP_BYTES


def _archive(tree: Tree, name: str) -> None:
    """What a split lacks of an archive: its table, then the clips that it names."""
    split, origin = tree.conf.data.splits[name], _origin(tree, name)
    if tree.lack(name).metadata:
        tree.archives.take(origin.metadata, {split.metadata: tree.root / split.metadata})
        _require_metadata(tree, name)
    lack = tree.lack(name)
    wanted = tree.wanted(lack)
    if not wanted:
        return
    places = {f"{split.audio}/{clip}": tree.root / split.audio / clip for clip in wanted}
    tree.archives.take(origin.audio, places)
    left = tree.lack(name)
    reason = f"not in {tree.archives.describe(origin.audio)}"
    _tell(tree, left, len(lack.clips) - len(left.clips), dict.fromkeys(left.clips, reason))


def _singles(tree: Tree, name: str) -> None:
    """Single AudioSet clips; what another split of the tree has is linked."""
    lack = tree.lack(name)
    wanted = tree.wanted(lack)
    if not wanted:
        return
    own = index_of(path for split in tree.conf.data.splits.values() if (path := tree.root / split.audio).is_dir())
    link_clips(own, lack.split, wanted, tree.root / lack.split.audio, name)
    wanted = tree.wanted(tree.lack(name))
    print(f"{name}: {lack.expected:,} clips expected, {len(wanted):,} to be fetched from YouTube", flush=True)
    reasons = tree.reasons(lack)

    def note(clip: str, reason: str) -> None:
        reasons[clip] = reason
        if len(reasons) % NOTED_EVERY == 0:
            write_missing(missing_file(tree.root, name), reasons, tree.work)

    try:
        stopped = fetch_clips(wanted, tree.root / lack.split.audio, tree.work / "clips", tree.conf.fetch, name, note)
    finally:  # hours of answers, which nobody wants to ask for again
        left = tree.lack(name)
        why = {clip: reasons.get(clip, NOT_TRIED) for clip in left.clips}
        _tell(tree, left, len(lack.clips) - len(left.clips), why)
    if stopped:
        what = f"split '{name}': {len(tree.wanted(left)):,} clips are still to be fetched; {stopped}"
        raise RecipeError(Fault(what, "run the same again later, or go on without them: --set data.prepare=none"))


def _tell(tree: Tree, left: Lack, came: int, reasons: dict[str, str]) -> None:
    """Write and say what a step brought."""
    file = missing_file(tree.root, left.name)
    write_missing(file, reasons, tree.work)
    missing = f", {len(left.clips):,} not: the reasons are in {file}" if left.clips else ""
    print(f"{left.name}: {came:,} clips came{missing}", flush=True)


def _soundscapes(tree: Tree, name: str) -> None:
    if tree.lack(name):
        generate(tree.conf, tree.root, tree.work, name, tree.archives)
