"""Stage 0: make or fetch the corpus, read and check every file of it, and store its features."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager

from local.stage import Stage, open_stage
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.corpus import problems
from recipe_mtlvae.corpus.check import CorpusCheck, check_corpus
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import Fault, RecipeError, exit_code_of, fail, fault_lines, printable, warn
from recipe_mtlvae.files import content_hash, file_stamp
from recipe_mtlvae.inputs.prepared import Split, open_split, store_folder, stored_clips
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.inputs.store import INDEX, StoreJob, build_stores
from recipe_mtlvae.locks import locked
from recipe_mtlvae.report.data_report import write_data_report
from recipe_mtlvae.report.data_tables import check_text


def main() -> None:
    stage = open_stage(0, __doc__)
    for source in inputs_of(stage.conf).values():
        source.check()
    if stage.conf.data.prepare != "none":
        stage.root.mkdir(parents=True, exist_ok=True)
    elif not stage.root.is_dir():
        raise fail("no such folder", "give the folder of a corpus in DESED's layout: --data_root DIR", stage.root)
    with _locked(stage, ".lock"):
        check = obtain(stage)
    with _locked(stage, ".features.lock", together=stage.shard.count > 1):
        prepare(stage, check)


def obtain(stage: Stage) -> CorpusCheck:
    """Make or fetch the corpus as data.prepare says, and check all of it. Of several shares, the first does this."""
    conf, root = stage.conf, stage.root
    if conf.data.prepare == "mini":
        from local.mini.corpus import make_corpus  # only where a corpus is made

        make_corpus(conf, root)
    elif conf.data.prepare == "desed":
        from local.desed.complete import complete

        complete(conf, root)
    _require_files(stage.corpus)
    return check_corpus(stage.corpus, *stage.corpus.all_files())


def prepare(stage: Stage, check: CorpusCheck) -> None:
    """Bring this process's share of the feature stores up to date.

    Raises RecipeError with the faults of all splits, once everything has been read. With data.skip_bad, faults are
    warnings, and the clips that they concern are left out.
    """
    conf, root, corpus = stage.conf, stage.root, stage.corpus
    inputs = _inputs(corpus)
    if stage.done(inputs) and _has_stores(corpus):
        print(check_text(check) + f"\nstage 0: {root} is prepared already")
        return
    faults = problems.errors(check)
    if check.unlisted or (faults and not conf.data.skip_bad):
        print(f"stage 0: {write_data_report(check, root)}")
        print(f"{len(faults)} faults; --set data.skip_bad=true leaves out the clips that they concern", file=sys.stderr)
        raise RecipeError(*faults)
    if waiting := _build_stores(stage, check):
        print(f"stage 0: share {stage.shard} is done; {waiting} clips of other shares are missing. The last")
        print("share to finish joins all, or stage 0 without run.shard, which makes what is missing")
        return
    _require_clips([open_split(corpus, split.name) for split in check.splits], faults)
    kept = problems.leak_faults(check)
    left_out = fault_lines([fault for fault in faults if fault not in kept])
    others = [*(f"used anyway: {fault}" for fault in kept), *(f"left out: {line}" for line in left_out)]
    for warning in (*problems.warnings(check), *others):
        warn(warning)
    print(check_text(check) + f"\nstage 0: {write_data_report(check, root)}")
    with stage.begun():
        stage.mark_done(inputs)


def _build_stores(stage: Stage, check: CorpusCheck) -> int:
    """Build this share of the stores of all inputs. Return the number of other shares' clips that are still missing."""
    corpus, sources, reports = stage.corpus, inputs_of(stage.conf).values(), []
    clips = {split.name: stored_clips(corpus, split.files, split.durations) for split in check.splits}
    names = {split: [clip.name for clip in stored] for split, stored in clips.items()}
    if lacks := [fault for source in sources for split in names for fault in source.lacking(split, names[split])]:
        raise RecipeError(*lacks)
    for source in sources:
        folders = {split.name: store_folder(source, stage.root, split.name) for split in check.splits}
        jobs = [StoreJob(clips[split.name], folders[split.name], split.unreadable) for split in check.splits]
        reports += build_stores(jobs, source, shard=stage.shard)
    if changed := [fault for report in reports for fault in report.faults]:
        raise RecipeError(*changed)  # the check could read these recordings: they have changed since then
    return sum(report.waiting for report in reports)


def _require_files(corpus: Corpus) -> None:
    """Raise RecipeError with all missing files and folders at once, before any work."""
    faults = []
    for name, split in corpus.conf.data.splits.items():
        for kind, path in (("metadata file", corpus.root / split.metadata), ("audio folder", corpus.audio(name))):
            if not path.exists():
                faults.append(Fault(f"split '{name}' has no {kind}", "put it there, or correct data.splits", path))
    if corpus.evaluation and not corpus.evaluation.is_dir():
        faults.append(Fault("no such folder of audio", "correct data.evaluation", corpus.evaluation))
    if faults:
        raise RecipeError(*faults)


def _inputs(corpus: Corpus) -> dict:
    """Return what this stage's results depend on: the settings, and every file's name, size and modification time."""
    settings = conf_to_dict(corpus.conf)
    inputs = {name: source.key for name, source in inputs_of(corpus.conf).items()}
    folders = [corpus.audio(name) for name in corpus.splits]
    metadata = [file_stamp(corpus.root / split.metadata) for split in corpus.conf.data.splits.values()]
    audio = [
        content_hash(sorted((name, *file_stamp(folder / name)) for name in os.listdir(folder))) for folder in folders
    ]
    return {"data": settings["data"], "inputs": inputs, "metadata": metadata, "audio": audio}


def _has_stores(corpus: Corpus) -> bool:
    inputs = inputs_of(corpus.conf).values()
    folders = (store_folder(source, corpus.root, name) for source in inputs for name in corpus.splits)
    return all((folder / INDEX).exists() for folder in folders)


def _require_clips(splits: Iterable[Split], faults: list[Fault]) -> None:
    empty = [split for split in splits if not split.clips]
    if empty:
        what = "split '{}': no clip is left without the faulty ones"
        raise RecipeError(*(Fault(what.format(split.name), "correct some") for split in empty), *faults)


def _locked(stage: Stage, name: str, together: bool = False) -> AbstractContextManager[None]:
    """Hold a lock, so that only one run at a time prepares a corpus; with `together`, all shares of a run. Others wait.

    On a file system without locks, two runs may write the same files twice, but each file is still written whole.
    """

    def busy(holder: str) -> None:
        what = f"another run is preparing {stage.root} ({holder}): waiting for it to end"
        print(printable(what), file=sys.stderr, flush=True)

    return locked(stage.root / name, busy, together)


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
