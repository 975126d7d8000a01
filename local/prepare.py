"""Stage 0: the corpus, every file of it read and checked, and its features."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.data import corpus
from recipe_mtlvae.data.corpus import Split, SplitFiles
from recipe_mtlvae.data.manifest import show
from recipe_mtlvae.data.store import INDEX, StoreJob, StoreReport, build_stores
from recipe_mtlvae.errors import SHOWN_FAULTS, Fault, RecipeError, exit_code_of, fail
from recipe_mtlvae.files import content_hash


def main() -> None:
    stage = open_stage(0, __doc__)
    if stage.conf.data.prepare == "mini":
        stage.root.mkdir(parents=True, exist_ok=True)
    elif not stage.root.is_dir():
        raise fail("no such folder", "give the folder of a corpus in DESED's layout: --data_root DIR", stage.root)
    with _locked(stage.root):
        prepare(stage)


def prepare(stage: Stage) -> None:
    """Make the corpus where it is to be made, check all of it, bring the feature stores up to date.

    Raises RecipeError with the faults of all splits, after everything has been read; with data.skip_bad they are
    told as warnings, and the clips that they concern are left out.
    """
    conf, root = stage.conf, stage.root
    if conf.data.prepare == "mini":
        from local.mini_corpus import make_corpus  # only where a corpus is made

        make_corpus(conf, root)
    _require_files(conf, root)
    inputs = _inputs(conf, root)
    if stage.done(inputs) and _has_stores(conf, root):
        splits = [corpus.open_split(conf, root, name) for name in corpus.split_names(conf, root)]
        print(_table(splits) + f"\nstage 0: {root} is prepared already")
        return
    files = _read_all(conf, root)
    jobs = [StoreJob(split.clips, corpus.store_folder(conf, root, split.name)) for split in files]
    reports = build_stores(jobs, conf.features, conf.data.clip_seconds, conf.data.skip_bad)
    faults = [fault for part in (*files, *reports) for fault in part.faults]
    if faults and not conf.data.skip_bad:
        print(f"{len(faults)} faults; --set data.skip_bad=true goes on without what they concern", file=sys.stderr)
        raise RecipeError(*faults)
    splits = [corpus.open_split(conf, root, split.name) for split in files]
    _require_clips(splits, faults)
    for warning in _warnings(files, reports, splits, conf.data.clip_seconds):
        print(f"warning: {warning}", file=sys.stderr)
    print(_table(splits))
    stage.mark_done(inputs)


def _require_files(conf: Conf, root: Path) -> None:
    """Name all that is missing at once, before any work."""
    faults = []
    for name, split in conf.data.splits.items():
        for kind, path in (("metadata file", root / split.metadata), ("audio folder", root / split.audio)):
            if not path.exists():
                faults.append(Fault(f"split '{name}' has no {kind}", "put it there, or mend data.splits", path))
    evaluation = corpus.evaluation_folder(conf, root)
    if evaluation and not evaluation.is_dir():
        faults.append(Fault("no such folder of audio", "mend data.evaluation", evaluation))
    if faults:
        raise RecipeError(*faults)


def _inputs(conf: Conf, root: Path) -> dict:
    """What this stage's results hang on: the settings, and every file's name, size and time of change."""
    settings = conf_to_dict(conf)
    folders = [root / split.audio for split in conf.data.splits.values()]
    if evaluation := corpus.evaluation_folder(conf, root):
        folders.append(evaluation)
    metadata = [_stamp(root / split.metadata) for split in conf.data.splits.values()]
    audio = [content_hash(sorted((name, *_stamp(folder / name)) for name in os.listdir(folder))) for folder in folders]
    return {"data": settings["data"], "features": settings["features"], "metadata": metadata, "audio": audio}


def _has_stores(conf: Conf, root: Path) -> bool:
    folders = (corpus.store_folder(conf, root, name) for name in corpus.split_names(conf, root))
    return all((folder / INDEX).exists() for folder in folders)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _read_all(conf: Conf, root: Path) -> list[SplitFiles]:
    """List every split; where some cannot be listed at all, the faults of all are raised."""
    classes = corpus.corpus_classes(conf, root)
    files, faults = [], []
    for name in corpus.split_names(conf, root):
        try:
            files.append(corpus.read_files(conf, root, name, classes))
        except RecipeError as error:
            faults += error.faults
    if faults:
        raise RecipeError(*faults, *(fault for split in files for fault in split.faults))
    return files


def _require_clips(splits: Iterable[Split], faults: list[Fault]) -> None:
    empty = [split for split in splits if not split.clips]
    if empty:
        what = "split '{}': no clip is left without the faulty ones"
        raise RecipeError(*(Fault(what.format(split.name), "mend some") for split in empty), *faults)


def _warnings(
    files: Iterable[SplitFiles], reports: Iterable[StoreReport], splits: Iterable[Split], clip_seconds: float
) -> Iterator[str]:
    """What a user should know and may leave as it is, each thing once a split."""
    for listed, report, split in zip(files, reports, splits, strict=True):
        for text in _split_warnings(listed, split, clip_seconds):
            yield f"{split.name}: {text}"
        yield from (f"{split.name}: {text}" for text in report.warnings)
        faults = [*listed.faults, *report.faults]
        yield from (f"left out: {fault}" for fault in faults[:SHOWN_FAULTS])
        if len(faults) > SHOWN_FAULTS:
            yield f"left out: {len(faults) - SHOWN_FAULTS} more"


def _split_warnings(listed: SplitFiles, split: Split, clip_seconds: float) -> Iterator[str]:
    if listed.missing:
        yield f"{len(listed.missing)} of {listed.expected} clips are not on disk, the first {show(listed.missing[0])}"
    if listed.ignored:
        yield f"{len(listed.ignored)} files are no audio by their names, the first {show(listed.ignored[0])}"
    durations = split.durations
    past = merged = 0
    for clip in split.clips:
        ends = min(durations[clip.name], clip_seconds)
        past += sum(event.offset > ends for event in clip.events or ())
        merged += len(clip.events or ()) - len(corpus.training_events(clip.events or (), float("inf")))
    if past:
        yield f"{past} events end after their clip: cut for training, as published for scoring"
    if merged:
        yield f"{merged} events touch or overlap another of their class: merged for training, as published for scoring"


def _table(splits: Iterable[Split]) -> str:
    """A row a split: clips, coverage, hours, events."""
    lines = [f"{'split':<22}{'clips':>8}{'expected':>10}{'coverage':>10}{'hours':>9}{'events':>9}"]
    for split in splits:
        events = sum(len(clip.events) for clip in split.clips) if split.truth else None
        coverage = 100 * len(split.clips) / split.expected
        hours = split.store.durations.sum() / 3600
        lines.append(
            f"{split.name:<22}{len(split.clips):>8,}{split.expected:>10,}{coverage:>8.1f} %{hours:>9.2f}"
            + (f"{events:>9,}" if events is not None else f"{'-':>9}")
        )
    return "\n".join(lines)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Only one run at a time prepares a corpus; another one waits. The lock ends with the process, however it ends."""
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is preparing {root}: waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                raise
        yield


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
