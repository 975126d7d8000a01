"""Stage 0: the corpus on disk, every file read and checked, and the feature store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import Conf
from recipe_mtlvae.data.corpus import (
    SplitFiles,
    corpus_classes,
    evaluation_folder,
    open_split,
    read_files,
    split_names,
    store_folder,
)
from recipe_mtlvae.data.store import StoreJob, build_stores
from recipe_mtlvae.errors import Fault, RecipeError, exit_code_of


def main() -> None:
    stage = open_stage(0, __doc__)
    stage.root.mkdir(parents=True, exist_ok=True)
    with _locked(stage.root):
        _prepare(stage)


def _prepare(stage: Stage) -> None:
    conf, root = stage.conf, stage.root
    if conf.data.prepare == "mini":
        from local.mini_corpus import make_corpus

        make_corpus(conf, root)
    _require_tree(conf, root)
    files = read_corpus(conf, root)
    jobs = [StoreJob(split.clips, store_folder(conf, root, split.name)) for split in files]
    reports = build_stores(jobs, conf.features, conf.data.clip_seconds, conf.data.skip_bad)
    faults = [fault for split in files for fault in split.faults] + [
        fault for report in reports for fault in report.faults
    ]
    if faults and not conf.data.skip_bad:
        raise RecipeError(*faults)
    _summarise(conf, root)


def read_corpus(conf: Conf, root: Path) -> list[SplitFiles]:
    classes = corpus_classes(conf, root)
    return [read_files(conf, root, name, classes) for name in split_names(conf, root)]


def _require_tree(conf: Conf, root: Path) -> None:
    """All that is missing, at once."""
    faults = []
    for name, split in conf.data.splits.items():
        for path in (root / split.metadata, root / split.audio):
            if not path.exists():
                faults.append(Fault(f"split '{name}': not there", "put it there, or mend data.splits", path))
    folder = evaluation_folder(conf, root)
    if folder and not folder.is_dir():
        faults.append(Fault("data.evaluation: no such folder", "mend the path", folder))
    if faults:
        raise RecipeError(*faults)


def _summarise(conf: Conf, root: Path) -> None:
    for name in split_names(conf, root):
        split = open_split(conf, root, name)
        events = sum(len(clip.events or ()) for clip in split.clips)
        hours = sum(split.durations.values()) / 3600
        coverage = f"{len(split.clips)}/{split.expected}"
        print(f"{name:<24}{len(split.clips):>8} clips {hours:8.2f} h {events:>8} events  {coverage}")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Only one run at a time prepares a corpus; the others wait."""
    with (root / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is preparing {root}: waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                raise
        yield


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
