"""The results of a check. Of thousands of faults, only the first of each kind are kept; the others are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from recipe_mtlvae.errors import Fault

SHOWN = 20  # faults kept of each kind
KINDS = 20  # faults of any further kind are counted together


@dataclass
class Results:
    faults: list[Fault] = field(default_factory=list)
    to_fill_in: list[Fault] = field(default_factory=list)  # faults that a rehearsal may have
    warnings: list[Fault] = field(default_factory=list)
    rehearsal: str | None = None  # why the package is a rehearsal; None: it is not


class CountedFaults:
    """The faults of one place, such as the rows of a file, counted by kind."""

    def __init__(self, place: str, unit: str = "rows") -> None:
        self.place = place
        self.unit = unit
        self._shown: list[Fault] = []
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, fault: Fault) -> None:
        if kind not in self._counts and len(self._counts) >= KINDS:
            kind = "faults of other kinds"
        self._counts[kind] += 1
        if self._counts[kind] <= SHOWN:
            self._shown.append(fault)

    def all(self) -> list[Fault]:
        more = {kind: count - SHOWN for kind, count in self._counts.items() if count > SHOWN}
        return self._shown + [
            Fault(f"{kind}: and {count} more {self.unit}", "", self.place) for kind, count in more.items()
        ]
