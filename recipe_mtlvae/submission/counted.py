"""Faults by the thousand, of which a person sees the first of each kind and a count."""

from __future__ import annotations

from recipe_mtlvae.errors import Fault

SHOWN = 20  # of one kind
KINDS = 20  # the faults of all further ones are counted together


class CountedFaults:
    """Faults of one place, such as the rows of a file."""

    def __init__(self, place: str, unit: str = "rows") -> None:
        self.place = place
        self.unit = unit
        self._shown: list[Fault] = []
        self._counts: dict[str, int] = {}
        self._others = 0

    def add(self, kind: str, fault: Fault) -> None:
        if kind not in self._counts and len(self._counts) >= KINDS:
            self._others += 1
            return
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= SHOWN:
            self._shown.append(fault)

    def all(self) -> list[Fault]:
        more = {kind: count - SHOWN for kind, count in self._counts.items() if count > SHOWN}
        if self._others:
            more["faults of other kinds"] = self._others
        return self._shown + [
            Fault(f"{kind}: and {count} more {self.unit}", "", self.place) for kind, count in more.items()
        ]
