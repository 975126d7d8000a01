"""What the meta file of a package states about a system, taken from its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe_mtlvae.report.runs import open_run
from recipe_mtlvae.submission.meta_values import embeddings, external_data, meta_values
from recipe_mtlvae.submission.profile import Profile
from tests.packable import EVALUATION, make_run
from tests.tiny import tiny_conf


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ((), "data_augmentation", None),
        (("augment.mixup=0.5",), "data_augmentation", "mixup"),
        (("augment.shift=0.5", "augment.band_shift=1"), "data_augmentation", "shift, band shift"),
        (("postprocess.median_filter=1",), "post_processing", None),
        (("postprocess.median_filter=5",), "post_processing", "median filtering (320 ms)"),
        (
            ("vae.clip_gate=true", "postprocess.median_filter=5"),
            "post_processing",
            "multiplication by clip probabilities, median filtering (320 ms)",
        ),
        (("tasks=[strong_synth]",), "external_data", None),
        (("tasks=[strong_synth]",), "machine_learning_semi_supervised", None),
        ((), "machine_learning_semi_supervised", "reconstruction of unlabeled clips"),
        (
            ("loss.consistency=2", "train.weight_average=0.9"),
            "machine_learning_semi_supervised",
            "reconstruction of unlabeled clips, mean-teacher student",
        ),
        (
            ("loss.consistency=2", "train.weight_average=0.9", "loss.reconstruction=0"),
            "machine_learning_semi_supervised",
            "mean-teacher student",
        ),
        (("data.soundbank=/x/my birds",), "external_data", ["AudioSet strong", "recordings of my birds"]),
    ],
    ids=str,
)
def test_the_statements_of_the_meta_file_follow_from_the_configuration(
    profile: Profile, tmp_path: Path, settings: tuple[str, ...], key: str, value: object
) -> None:
    conf = tiny_conf(*settings)
    run = open_run(make_run(tmp_path, conf, "evaluation", EVALUATION))
    assert meta_values([run], conf, profile, "evaluation")[key] == value


def test_pretrained_embeddings_are_named_and_count_as_external_data(profile: Profile) -> None:
    conf = tiny_conf("tasks=[strong_synth]", "vae.sees=[embeddings]")
    assert embeddings(conf) == "yamnet"
    assert external_data(conf, profile) == ["pretrained weights of yamnet"]
