"""The files that `detect` writes, opened by the programs that users open them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.inference.detection_files import write_detection, write_tables
from recipe_mtlvae.inference.detector import Detection
from recipe_mtlvae.labels import DetectedEvent
from tests.tiny import tiny_conf

EVENTS = [DetectedEvent(0.25, 1.25, "Dog", 0.5), DetectedEvent(2.5, 3.0, "Male speech, man speaking", 0.98)]
CLASSES = ("Dog", "Male speech, man speaking")
SEGMENTS = [(event.onset, event.offset, event.label) for event in EVENTS]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two recordings, one of them without events."""
    features, scores = tiny_conf().features, np.full((62, 2), 0.25, np.float32)
    found = [
        write_detection(tmp_path, path.stem, Detection(path, 4.0, CLASSES, 0.064, scores, scores[0], events), features)
        for path, events in ((Path("a.wav"), EVENTS), (Path("still.wav"), []))
    ]
    write_tables(tmp_path, found)
    return tmp_path


def test_crowsetta_opens_raven_tables_and_audacity_labels(out):
    formats = pytest.importorskip("crowsetta", reason="crowsetta is not installed (tests/requirements.txt)").formats
    for file in (out / "raven").iterdir():
        boxes = formats.bbox.Raven.from_file(file).to_bbox()
        assert [(box.onset, box.offset, box.label) for box in boxes] == SEGMENTS
    for file in (out / "audacity").iterdir():
        segments = formats.seq.AudSeq.from_file(file).to_seq().segments
        assert [(segment.onset_s, segment.offset_s, segment.label) for segment in segments] == SEGMENTS


def test_a_recording_without_events_has_no_label_files_as_programs_refuse_empty_ones(out):
    assert [file.name for file in (out / "raven").iterdir()] == ["a.Table.1.selections.txt"]
    assert [file.name for file in (out / "audacity").iterdir()] == ["a.txt"]
    scores = np.zeros((62, 2), np.float32)
    detection = Detection(Path("a.wav"), 4.0, CLASSES, 0.064, scores, scores[0], [])
    write_detection(out, "a", detection, tiny_conf().features)
    assert [*(out / "raven").iterdir(), *(out / "audacity").iterdir()] == []


def test_dcase_util_opens_the_events(out):
    containers = pytest.importorskip("dcase_util").containers
    events = containers.MetaDataContainer().load(str(out / "events.tsv"))
    assert [(event.onset, event.offset, event.event_label) for event in events] == SEGMENTS
