"""The official evaluation scenarios of DCASE Task 4, as named constants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """Intersection criteria (Bilen et al., ICASSP 2020), as shares of a length."""

    dtc: float  # of a detection, in its class's truth: it is relevant
    gtc: float  # of a truth event, in relevant detections: it is found
    cttc: float | None  # of a false detection, in another class's truth: a cross trigger; None: not counted


@dataclass(frozen=True, kw_only=True)
class PSDScenario:
    """Polyphonic sound detection score (Bilen et al., ICASSP 2020)."""

    criteria: Intersection
    alpha_ct: float  # weight of cross triggers in the effective false positive rate
    alpha_st: float  # weight of the standard deviation over classes
    max_efpr: float  # effective false positives an hour, where the curve ends


@dataclass(frozen=True, kw_only=True)
class EventScenario:
    """Event-based F1 (Mesaros et al., Applied Sciences 2016)."""

    onset_collar: float  # s
    offset_collar: float  # s, at least
    offset_collar_rate: float  # of the event's length, at least


@dataclass(frozen=True, kw_only=True)
class SegmentScenario:
    """Segment-based F1 (Mesaros et al., Applied Sciences 2016)."""

    segment_length: float  # s


PSDS1 = PSDScenario(criteria=Intersection(dtc=0.7, gtc=0.7, cttc=None), alpha_ct=0.0, alpha_st=1.0, max_efpr=100.0)
PSDS2 = PSDScenario(criteria=Intersection(dtc=0.1, gtc=0.1, cttc=0.3), alpha_ct=0.5, alpha_st=1.0, max_efpr=100.0)
EVENT = EventScenario(onset_collar=0.2, offset_collar=0.2, offset_collar_rate=0.2)
SEGMENT = SegmentScenario(segment_length=1.0)
INTERSECTION = Intersection(dtc=0.5, gtc=0.5, cttc=None)
