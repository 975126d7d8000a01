"""The official evaluation scenarios of DCASE Task 4, as named constants, and the table of all figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """Intersection criteria (Bilen et al., ICASSP 2020), as minimum shares of an event's length."""

    dtc: float  # of a detection in truth of its class, for it to be relevant
    gtc: float  # of a truth event in relevant detections, for it to be found
    cttc: float | None  # of a false detection in truth of another class, for a cross trigger; None: not counted


@dataclass(frozen=True, kw_only=True)
class PSDScenario:
    """Polyphonic sound detection score (Bilen et al., ICASSP 2020)."""

    criteria: Intersection
    alpha_ct: float  # weight of cross triggers in the effective false positive rate
    alpha_st: float  # weight of the standard deviation over classes
    max_efpr: float  # effective false positives per hour at which the curve ends


@dataclass(frozen=True, kw_only=True)
class EventScenario:
    """Event-based F1 (Mesaros et al., Applied Sciences 2016)."""

    onset_collar: float  # s
    offset_collar: float  # s; the larger of the two offset collars counts
    offset_collar_rate: float  # share of the event's length


@dataclass(frozen=True, kw_only=True)
class SegmentScenario:
    """Segment-based F1 (Mesaros et al., Applied Sciences 2016)."""

    segment_length: float  # s


PSDS1 = PSDScenario(criteria=Intersection(dtc=0.7, gtc=0.7, cttc=None), alpha_ct=0.0, alpha_st=1.0, max_efpr=100.0)
PSDS2 = PSDScenario(criteria=Intersection(dtc=0.1, gtc=0.1, cttc=0.3), alpha_ct=0.5, alpha_st=1.0, max_efpr=100.0)
EVENT = EventScenario(onset_collar=0.2, offset_collar=0.2, offset_collar_rate=0.2)
SEGMENT = SegmentScenario(segment_length=1.0)
INTERSECTION = Intersection(dtc=0.5, gtc=0.5, cttc=None)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure from 0 to 1, over the classes and for each class: its key in every file, and how it is shown."""

    key: str
    title: str
    short: str  # heading of a column
    percent: bool
    scenario: Any  # how it is computed: a PSDScenario, or a class that is registered with metrics.count

    @property
    def heading(self) -> str:
        return f"{self.short} %" if self.percent else self.short

    @property
    def is_psds(self) -> bool:
        return isinstance(self.scenario, PSDScenario)

    @property
    def scale(self) -> float:
        """The factor from a figure to what is printed."""
        return 100.0 if self.percent else 1.0

    def text(self, value: float | None, decimals: int = 3, sign: str = "") -> str:
        """Format a figure as usual in the field: `decimals` of a share, two fewer in percent; "-" for None."""
        if value is None:
            return "-"
        return f"{self.scale * value:{sign}.{decimals - 2 * self.percent}f}"


# All figures, in the order of every table, chart and file. To add one, add a line here. If its scenario is of a new
# class, also register a function with metrics.count.
METRICS = (
    Metric(key="psds1", title="PSDS, scenario 1", short="PSDS1", percent=False, scenario=PSDS1),
    Metric(key="psds2", title="PSDS, scenario 2", short="PSDS2", percent=False, scenario=PSDS2),
    Metric(key="event_f1", title="event-based F1", short="EB-F1", percent=True, scenario=EVENT),
    Metric(key="segment_f1", title="segment-based F1", short="SB-F1", percent=True, scenario=SEGMENT),
    Metric(key="intersection_f1", title="intersection-based F1", short="IB-F1", percent=True, scenario=INTERSECTION),
)
# Sections of metrics.json beside the official figures, in this order: {key: (name, description)}
UNOFFICIAL = {
    "tuned": ("tuned", "each class's own threshold and median filter"),
    "median_reference": ("median reference", "each class's own median filter and threshold, chosen as its boxes are"),
    "bounding_boxes": ("bounding boxes", "each class's own bounding boxes and threshold"),
}


def metric_keys() -> list[str]:
    return [metric.key for metric in METRICS]
