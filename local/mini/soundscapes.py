"""Generate one soundscape with the `desed` package, from a folder of foreground and background sounds."""

from __future__ import annotations

import json
import logging
import random
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

np.Inf = np.inf  # scaper 1.6.5 uses this name, which NumPy 2 removed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from packages that desed imports
    from desed.generate_synthetic import SoundscapesGenerator, generate_df_from_jams

from local.mini.soundbank import class_of  # noqa: E402
from recipe_mtlvae.errors import fail  # noqa: E402
from recipe_mtlvae.labels import Event  # noqa: E402

EVENTS = (1, 5)  # the fewest and the most in a soundscape
SNR = (6.0, 30.0)  # dB, of an event over the background
REFERENCE_DB = -55.0  # LUFS of the background, desed's default
MAX_POLYPHONY = 3  # sounds at once, desed's default for the data of the challenge
OWN_CLASS = 0.4  # share of a soundscape's further events that repeat its main event's class
ATTEMPTS = 50

# Which classes occur with which others: DESED's co-occurrence figures, simplified.
# Labels without an entry occur with all others equally often.
COMPANIONS = {
    "Alarm_bell_ringing": {"Speech": 8, "Dog": 1, "Cat": 1, "Running_water": 1, "Dishes": 1},
    "Blender": {"Speech": 6, "Dishes": 2, "Running_water": 1, "Frying": 1},
    "Cat": {"Speech": 8, "Dog": 2, "Dishes": 1, "Alarm_bell_ringing": 1},
    "Dishes": {"Speech": 6, "Frying": 2, "Running_water": 2, "Blender": 1, "Cat": 1},
    "Dog": {"Speech": 8, "Cat": 1, "Dishes": 1, "Vacuum_cleaner": 1, "Alarm_bell_ringing": 1},
    "Electric_shaver_toothbrush": {"Speech": 8, "Alarm_bell_ringing": 1, "Running_water": 2},
    "Frying": {"Speech": 5, "Dishes": 5, "Blender": 1},
    "Running_water": {"Speech": 6, "Dishes": 4, "Dog": 1, "Electric_shaver_toothbrush": 1},
    "Speech": {
        "Dishes": 3,
        "Dog": 3,
        "Cat": 2,
        "Alarm_bell_ringing": 2,
        "Frying": 1,
        "Vacuum_cleaner": 1,
        "Blender": 1,
    },
    "Vacuum_cleaner": {"Speech": 6, "Dog": 2, "Cat": 1, "Electric_shaver_toothbrush": 1},
}

_SILENT = logging.getLogger("soundscapes")


@dataclass(frozen=True)
class Soundscape:
    """A generated clip and its ground truth."""

    samples: np.ndarray  # (n,) float64
    events: tuple[Event, ...]  # sorted by onset, merged and post-processed as in DESED, 3 decimals
    sources: tuple[str, ...]  # the sound files in it, relative to the bank, sorted

    @property
    def triples(self) -> list[list]:
        """The events as [onset, offset, label]."""
        return [[event.onset, event.offset, event.label] for event in self.events]


def make_soundscape(
    bank: Path,
    label: str | None,
    folders: list[str],
    seconds: float,
    sample_rate: int,
    seed: int,
    occurrences: Mapping[str, dict] | None = None,
) -> Soundscape:
    """Generate one clip whose main event is of the class `label` (None: a clip without events).

    bank: folder with foreground/<folder>/*.wav and background/<label>/*.wav; its path must be free of glob characters.
    folders: the foreground folders to choose from. The same seed gives the same clip, on any number of processes.
    occurrences: desed's co-occurrence figures by foreground folder, which give the number and the classes of further
    events; `label` is then one of these folders. None: EVENTS and COMPANIONS give them.
    """
    for attempt in range(ATTEMPTS):
        state = np.random.RandomState([seed, attempt])
        random.seed(int(state.randint(2**31)))
        np.random.seed(int(state.randint(2**31)))  # desed also draws from NumPy's global generator
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _generate(bank, label, folders, seconds, sample_rate, state, scratch, occurrences)
            except ValueError:  # an event of a few samples, too short for scaper's fades: draw again
                continue
            except soundfile.LibsndfileError as error:
                what = f"a soundscape could not be written ({error.error_string})"
                raise fail(what, "is there room left on the disk?", tempfile.gettempdir()) from None
            made = _read(Path(scratch), bank, seconds)
        if made is not None and bool(made.events) == (label is not None):
            return made
    raise RuntimeError(f"no soundscape with '{label}' within {ATTEMPTS} attempts")


def _generate(
    bank: Path,
    label: str | None,
    folders: list[str],
    seconds: float,
    sample_rate: int,
    state: np.random.RandomState,
    scratch: str,
    occurrences: Mapping[str, dict] | None,
) -> None:
    generator = SoundscapesGenerator(
        seconds, f"{bank}/foreground", f"{bank}/background", REFERENCE_DB, sample_rate, state, logger=_SILENT
    )
    audio = {"reverb": None, "fix_clipping": True, "disable_instantiation_warnings": True}
    if label is None:
        generator.generate(1, scratch, min_events=0, max_events=0, txt_file=False, **audio)
        return
    if occurrences is not None:
        main, others, limits = label, occurrences[label], {}
    else:
        main, others = state.choice([name for name in folders if class_of(name) == label]), _companions(label, folders)
        limits = {"min_events": EVENTS[0], "max_events": EVENTS[1] + 1}  # desed's upper end is exclusive
    occurrence = {main: {"proba": 1.0, "co-occurences": others}}
    generator.generate_by_label_occurence(occurrence, 1, scratch, snr=("uniform", *SNR), **limits, **audio)


def _companions(label: str, folders: list[str]) -> dict[str, list]:
    """Return desed's co-occurrence entry: the probability of each folder. Folders of a class share its part evenly."""
    classes = sorted({class_of(folder) for folder in folders})
    weights = {name: float(COMPANIONS.get(label, {}).get(name, 0.0)) for name in classes if name != label}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1.0)
    total = sum(weights.values())
    parts = {name: (1 - OWN_CLASS) * weight / total for name, weight in weights.items()}
    parts[label] = 1.0 - sum(parts.values())
    count = {name: sum(class_of(folder) == name for folder in folders) for name in classes}
    return {"classes": folders, "probas": [parts[class_of(folder)] / count[class_of(folder)] for folder in folders]}


def _read(scratch: Path, bank: Path, seconds: float) -> Soundscape | None:
    """Read what desed wrote. Return None if more than MAX_POLYPHONY sounds overlap."""
    (jams,) = scratch.glob("*.jams")
    annotation = json.loads(jams.read_text(encoding="utf-8"))["annotations"][0]
    if annotation["sandbox"]["scaper"]["polyphony_max"] > MAX_POLYPHONY:
        return None
    files = {Path(event["value"]["source_file"]).relative_to(bank).as_posix() for event in annotation["data"]}
    table = generate_df_from_jams([str(jams)], post_process=True) if len(annotation["data"]) > 1 else None
    rows = [] if table is None else table[["onset", "offset", "event_label"]].itertuples(index=False)
    events = [Event(round(row.onset, 3), round(min(row.offset, seconds), 3), row.event_label) for row in rows]
    samples, _ = soundfile.read(jams.with_suffix(".wav"))
    return Soundscape(
        samples, tuple(sorted(events, key=lambda event: (event.onset, event.label))), tuple(sorted(files))
    )
