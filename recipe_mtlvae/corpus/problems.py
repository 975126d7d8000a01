"""The result of a corpus check in words: errors, warnings and notes, one line each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

from recipe_mtlvae.corpus.audio_stats import LOUD_PEAK
from recipe_mtlvae.corpus.check import CorpusCheck, SplitCheck
from recipe_mtlvae.corpus.names import normalized, show
from recipe_mtlvae.errors import Fault


def errors(check: CorpusCheck) -> list[Fault]:
    """Return the faults with which training and scoring cannot continue."""
    faults = [*check.unlisted, *(fault for split in check.splits for fault in split.faults)]
    return faults + leak_faults(check)


def leak_faults(check: CorpusCheck) -> list[Fault]:
    """Return the faults of recordings that are both in training and in test splits; `errors` includes them."""
    return list(_leaks(check))


def warnings(check: CorpusCheck) -> list[str]:
    """Return what a user should know, but may leave as it is."""
    found = [f"{split.name}: {text}" for split in check.splits for text in _split_warnings(split, check)]
    places = {split.name: place for place, split in enumerate(check.splits)}
    for (one, other), (count, first) in _shared(check).items():
        if places[one] <= places[other] and not _is_leak(check, one, other):
            what = f"clips have the same audio as ones of {other}"
            what = "of its clips are copies of others" if one == other else what
            found.append(f"{one}: {count} {what}, such as {first}")
    return [*found, *_unlearnable(check), *label_hints(check.classes)]


def notes(check: CorpusCheck) -> list[str]:
    """Return what else is worth knowing."""
    return [f"{split.name}: {text}" for split in check.splits for text in _split_notes(split, check)]


def _unlearnable(check: CorpusCheck) -> Iterator[str]:
    """What training and selection lack. A split whose task is not trained does not count as training data."""
    labelled = [split for split in check.splits if split.labels != "none"]
    trained = [split for split in labelled if split.role == "train" and _is_on(split, check)]
    unseen: dict[str, list[str]] = {}  # labels, by the splits that have them
    for label in check.classes if trained else ():
        if not any(split.classes[label].clips for split in trained):
            elsewhere = " and ".join(split.name for split in labelled if split.classes[label].clips)
            unseen.setdefault(f" (only {elsewhere})" if elsewhere else "", []).append(label)
    for elsewhere, labels in unseen.items():
        yield f"no clip to train on has {', '.join(labels)}{elsewhere}"
    for split in labelled:
        if split.usable and not any(found.clips for found in split.classes.values()):
            if split in trained:
                yield f"{split.name}: no clip has an event: there is nothing to learn from it"
            elif split.role == "select":
                yield f"{split.name}: no clip has an event: it cannot tell epochs apart"


def _is_on(split: SplitCheck, check: CorpusCheck) -> bool:
    return check.conf.data.splits[split.name].task in check.conf.tasks


def label_hints(labels: Sequence[str]) -> list[str]:
    """Return hints about labels that look misspelt or wrongly separated."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(normalized(label), []).append(label)
    hints = [
        f"labels {' and '.join(map(show, same))} differ in case or spaces alone: are they one?"
        for same in alike.values()
        if len(same) > 1
    ]
    for label in labels:
        parts = [part.strip() for part in re.split("[,;|]", label)]
        if len(parts) > 1 and (all(part in labels for part in parts) or set(label) & set(";|")):
            hints.append(f"label {show(label)} looks like {len(parts)} labels: commas separate them, in weak tables")
        if label.strip('"') != label:
            hints.append(f"label {show(label)} looks like a part of one in quotes")
    return hints


def _split_warnings(split: SplitCheck, check: CorpusCheck) -> Iterator[str]:
    files, flagged = split.files, split.flagged
    if files.missing:
        share = 100 * (1 - len(files.missing) / files.expected)
        where = f"not on disk, the first {show(files.missing[0])}: {share:.1f} % are"
        yield f"{len(files.missing)} of {files.expected} clips are {where}"
    if files.other_unicode:
        how = "composed otherwise on disk (Unicode has two forms for letters with marks): matched"
        yield _clips(files.other_unicode, how)
    spelt: dict[str, str] = {}
    pairs = [(spelt.setdefault(clip.name.casefold(), clip.name), clip.name) for clip in files.clips]
    if pairs := [f"{show(one)} and {show(other)}" for one, other in pairs if one != other]:
        yield f"{len(pairs)} names differ from others in case alone, which some systems take for one: {pairs[0]}"
    if files.ignored:
        yield f"{len(files.ignored)} files are no audio by their names, the first {show(files.ignored[0])}"
    if split.damaged:
        (name, what), count = next(iter(split.damaged.items())), len(split.damaged)
        yield f"{show(name)} {what}" if count == 1 else f"{count} clips are damaged; the first, {show(name)}, {what}"
    cancelled = flagged.get("cancelled", [])
    if cancelled:
        yield _clips(cancelled, "silent once mixed to mono, as the network gets it: the channels are out of phase")
    if silent := [name for name in flagged.get("silent", ()) if name not in set(cancelled)]:
        yield _clips(silent, "silent")
    if "loud" in flagged:
        yield _clips(flagged["loud"], f"louder than {LOUD_PEAK:g} times full scale: are its samples integers?")
    low = [name for rate, names in split.rates.items() if rate < check.conf.features.sample_rate for name in names]
    if low:
        yield _clips(low, f"sampled below {check.conf.features.sample_rate} Hz: what is higher is not there")
    if "late" in flagged:
        first = show(flagged["late"][0])
        yield f"{len(flagged['late'])} clips have events that begin after their end, the first {first}"
    if split.events_past_end:
        by = f"by {split.longest_past_end:.3f} s at most"
        yield f"{split.events_past_end} events end after their clip, {by}: cut for training, as published for scoring"
    if split.merged:
        yield f"{split.merged} events touch or overlap another of their class: merged for training, for scoring too"
    if "long" in flagged and split.labels == "weak" and split.role != "test":
        yield _clips(flagged["long"], "cut into windows that all take the labels of the whole")


def _split_notes(split: SplitCheck, check: CorpusCheck) -> Iterator[str]:
    flagged, seconds = split.flagged, check.conf.data.clip_seconds
    if "short" in flagged:
        yield _clips(flagged["short"], f"shorter than {seconds:g} s: padded")
    if "long" in flagged and split.role == "test":
        yield _clips(flagged["long"], f"longer than {seconds:g} s: scored whole")
    elif "long" in flagged and split.labels != "weak":
        yield _clips(flagged["long"], f"longer than {seconds:g} s: cut into windows, the labels with them")
    if "clipped" in flagged:
        yield _clips(flagged["clipped"], "clipped: more than 0.01 % of the samples in runs at full scale")
    odd = [name for rate, names in split.rates.items() if rate != split.rate for name in names]
    if odd:
        yield _clips(odd, f"not sampled at {split.rate} Hz, as most are: resampled")
    if split.event_free:
        yield f"{split.event_free} clips are event-free: kept, also for scoring"
    if split.files.unnamed:
        yield f"{len(split.files.unnamed)} files are not in the metadata, the first {show(split.files.unnamed[0])}"


def _clips(names: list[str], what: str) -> str:
    return (
        f"{show(names[0])} is {what}"
        if len(names) == 1
        else f"{len(names)} clips are {what}; the first {show(names[0])}"
    )


def _leaks(check: CorpusCheck) -> Iterator[Fault]:
    for (trained, test), (count, first) in _shared(check).items():
        if _role(check, test) == "test" and _is_leak(check, trained, test):
            what = f"THE SAME AUDIO IN TRAINING AND TEST: {count} clips of '{trained}' are in '{test}', such as {first}"
            split = check.conf.data.splits[trained]
            yield Fault(what, "take their rows out of this table; the audio may stay", check.root / split.metadata)


def _is_leak(check: CorpusCheck, one: str, other: str) -> bool:
    """Whether one of two splits is for training and the other for test."""
    return {_role(check, one), _role(check, other)} == {"train", "test"}


def _role(check: CorpusCheck, name: str) -> str:
    return next(split.role for split in check.splits if split.name == name)


def _shared(check: CorpusCheck) -> dict[tuple[str, str], tuple[int, str]]:
    """By pair of splits: the number of clips of the first that are also in the second, and an example.

    For a split paired with itself, it is the number of clips that are copies of others, which do not count.
    """
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for same in check.twins:
        clips: dict[str, list[str]] = {}
        for split, name in same:
            clips.setdefault(split, []).append(name)
        for one, other in product(clips, repeat=2):
            copies = clips[one][1:] if one == other else clips[one]
            if copies:
                counts[one, other] += len(copies)
                pair = (clips[one][0], copies[0]) if one == other else (copies[0], clips[other][0])
                examples.setdefault((one, other), " and ".join(map(show, pair)))
    return {pair: (count, examples[pair]) for pair, count in counts.items()}
