"""A corpus as the stages open it: classes, coverage, truth, and events for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.conf_sections import EVALUATION
from recipe_mtlvae.corpus.splits import Corpus, training_events
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.prepared import open_split, store_folder
from recipe_mtlvae.inputs.store import StoreJob, build_stores
from recipe_mtlvae.labels import Event, Grid
from tests.tiny import AUDIO, COUNTS, VALIDATION, append, tiny_conf

CONF = tiny_conf()


def build(conf: Conf, root: Path, name: str, skipped: Sequence[str] = ()) -> None:
    clips = [clip for clip in Corpus(conf, root).files(name).clips if clip.name not in skipped]
    source = LogMelInput(conf)
    build_stores([StoreJob(clips, store_folder(source, root, name), skipped)], source, 1)


def test_classes_come_from_the_configuration(root):
    assert Corpus(CONF, root).classes == ("Beep", "Hum")


def test_without_configured_classes_the_sorted_labels_of_all_labeled_splits_are_used(root):
    append(root / "metadata/train/weak.tsv", "weak_x.wav\tWhistle,Air")
    append(root / VALIDATION, "validation_x.wav\t0\t1\tBuzz")
    conf = tiny_conf("data.classes=null")
    assert Corpus(conf, root).classes == ("Air", "Beep", "Buzz", "Hum", "Whistle")


def test_classes_of_unreadable_metadata_name_every_file(root):
    (root / VALIDATION).unlink()
    (root / "metadata/train/weak.tsv").write_text("name\n")
    with pytest.raises(RecipeError) as error:
        _ = Corpus(tiny_conf("data.classes=null"), root).classes
    assert len(error.value.faults) == 2


def test_the_evaluation_set_is_a_split_only_if_it_exists(root, tmp_path):
    assert list(Corpus(CONF, root).splits) == [*COUNTS, EVALUATION]
    assert EVALUATION not in Corpus(CONF, tmp_path).splits


def test_the_evaluation_set_may_be_any_folder(root, tmp_path):
    conf = tiny_conf(f"data.evaluation={tmp_path}/given")
    assert Corpus(conf, root).evaluation == tmp_path / "given"


def test_clips_have_the_order_of_the_store_and_their_labels(root):
    build(CONF, root, "validation")
    split = open_split(Corpus(CONF, root), "validation")
    assert [clip.name for clip in split.clips] == split.store.names
    assert split.clips[1].events == (Event(0.375, 1.375, "Hum"),)
    assert split.expected == 4
    assert split.durations == {f"validation_{number}.wav": 2.0 for number in range(4)}


def test_an_evaluation_split_has_neither_events_nor_labels(root):
    build(CONF, root, EVALUATION)
    split = open_split(Corpus(CONF, root), EVALUATION)
    assert [clip.name for clip in split.clips] == [f"any name {number}.wav" for number in range(3)]
    assert {(clip.events, clip.labels) for clip in split.clips} == {(None, None)}
    assert split.truth == {}


def test_clips_that_are_not_on_disk_lower_the_coverage_and_are_not_in_the_truth(root):
    (root / AUDIO / "validation_2.wav").unlink()
    build(CONF, root, "validation")
    split = open_split(Corpus(CONF, root), "validation")
    assert (len(split.clips), split.expected) == (3, 4)
    assert "validation_2.wav" not in split.truth
    assert Corpus(CONF, root).files("validation").missing == ["validation_2.wav"]


def test_the_truth_is_as_published_and_keeps_event_free_clips(root):
    (root / VALIDATION).write_text(
        "filename\tonset\toffset\tevent_label\n"
        "validation_0.wav\t\t\t\n"
        "validation_1.wav\t1.0\t3.5\tHum\n"
        "validation_1.wav\t0.5\t1.0\tHum\n"
    )
    build(CONF, root, "validation")
    assert open_split(Corpus(CONF, root), "validation").truth == {
        "validation_0.wav": (),
        "validation_1.wav": (Event(1.0, 3.5, "Hum"), Event(0.5, 1.0, "Hum")),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: append(root / VALIDATION, "validation_x.wav\t0\t1\tWhale"), "label 'Whale'"),
        (lambda root: (root / AUDIO / "validation_1.wav").unlink(), "is not as it was .*; run stage 0"),
        (lambda root: (root / VALIDATION).write_text("filename\n"), "expected the columns"),
    ],
)
def test_a_split_that_changed_is_not_opened(root, change, words):
    build(CONF, root, "validation")
    change(root)
    with pytest.raises(RecipeError, match=words):
        open_split(Corpus(CONF, root), "validation")


def test_a_split_without_a_feature_store_is_refused(root):
    with pytest.raises(RecipeError, match="no finished feature store for these settings; run stage 0"):
        open_split(Corpus(CONF, root), "validation")


def test_a_split_prepared_with_other_feature_settings_is_refused(root):
    build(CONF, root, "validation")
    with pytest.raises(RecipeError, match="run stage 0"):
        open_split(Corpus(tiny_conf("features.n_mels=64"), root), "validation")


def test_an_unknown_split_is_refused(root):
    with pytest.raises(RecipeError, match="no split 'dev'; the splits are synthetic_train"):
        open_split(Corpus(CONF, root), "dev")


def test_with_skip_bad_bad_clips_and_rows_lower_the_coverage(root):
    (root / AUDIO / "validation_2.wav").write_text("text")
    append(root / VALIDATION, "validation_3.wav\t2\t1\tHum")
    conf = tiny_conf("data.skip_bad=true")
    build(conf, root, "validation", ["validation_2.wav"])
    split = open_split(Corpus(conf, root), "validation")
    assert ([clip.name for clip in split.clips], split.expected) == (["validation_0.wav", "validation_1.wav"], 4)


def test_a_store_with_skipped_clips_is_not_opened_without_skip_bad(root):
    (root / AUDIO / "validation_2.wav").write_text("text")
    build(tiny_conf("data.skip_bad=true"), root, "validation", ["validation_2.wav"])
    with pytest.raises(RecipeError, match="run stage 0"):
        open_split(Corpus(CONF, root), "validation")


def test_clips_of_the_same_stem_are_refused(root):
    append(root / VALIDATION, "validation_3.flac\t0\t1\tHum")
    (fault,) = Corpus(CONF, root).files("validation").faults
    assert "'validation_3.flac' and 'validation_3.wav' differ in their suffix alone" in str(fault)


def test_training_events_of_one_class_are_merged_where_they_overlap_or_touch():
    events = [
        Event(4.0, 5.0, "Dog"),
        Event(1.0, 2.0, "Dog"),
        Event(2.0, 3.0, "Dog"),
        Event(1.5, 1.7, "Dog"),
        Event(1.5, 4.5, "Cat"),
    ]
    assert training_events(events, 10.0) == (
        Event(1.0, 3.0, "Dog"),
        Event(1.5, 4.5, "Cat"),
        Event(4.0, 5.0, "Dog"),
    )


def test_training_events_are_cut_at_the_end_of_their_clip():
    events = [Event(8.0, 10.027, "Dog"), Event(10.0, 10.5, "Cat"), Event(9.5, 12.0, "Cat")]
    assert training_events(events, 10.0) == (Event(8.0, 10.0, "Dog"), Event(9.5, 10.0, "Cat"))


def test_merged_and_cut_events_give_the_same_targets_as_those_written():
    rng = np.random.default_rng(0)
    grid = Grid.of(CONF.features, 10.0)
    onsets = rng.uniform(0, 11, 40)
    labels = rng.choice(["Cat", "Dog"], 40)
    events = [
        Event(on, on + length, label) for on, length, label in zip(onsets, rng.uniform(0.1, 3, 40), labels, strict=True)
    ]
    merged = training_events(events, 10.0)
    assert len(merged) < len(events)
    np.testing.assert_array_equal(grid.encode(merged, ["Cat", "Dog"]), grid.encode(events, ["Cat", "Dog"]))


@pytest.mark.parametrize("seconds", [0.5, 2.03, 10.0, 16.15])
def test_the_grid_has_as_many_steps_as_the_stored_frames_make(seconds):
    conf = tiny_conf("features.hop_length=160", f"data.clip_seconds={seconds}")
    _, frames = LogMelInput(conf).shape
    assert Grid.of(conf.features, seconds).steps == frames // conf.features.frames_per_step
