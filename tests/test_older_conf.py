"""Configurations and keys of earlier versions are read."""

from __future__ import annotations

from pathlib import Path

import yaml

from recipe_mtlvae.conf import CONF_DIR, conf_from_dict, conf_to_dict, data_file, load_conf
from recipe_mtlvae.conf_files import _hint_renamed


def test_a_configuration_older_than_a_key_gets_its_default():
    older = conf_to_dict(load_conf(settings=["vae.latent=32"]))
    del older["vae"]["outputs_per_step"]
    assert conf_from_dict(older) == load_conf(settings=["vae.latent=32"])


def test_the_configuration_of_a_checkpoint_written_at_8fb5b23_is_read():
    with (Path(__file__).parent / "conf_8fb5b23.yaml").open() as stream:
        conf = conf_from_dict(yaml.safe_load(stream))
    now = ["features.hop_length=320", "features.n_mels=64", "vae.latent=32", "data.splits.public=null"]
    assert conf == load_conf(data_file("mini"), CONF_DIR / "mtlvae_fast.yaml", settings=now)


def test_keys_by_their_earlier_names_are_read_with_a_hint(tmp_path, capsys):
    _hint_renamed.cache_clear()
    delta = tmp_path / "old.yaml"
    delta.write_text("features: {hop: 160, mels: 64}\n")
    features = load_conf(delta, settings=["features.hop=200"]).features
    assert (features.hop_length, features.n_mels) == (200, 64)
    hints = capsys.readouterr().err.splitlines()
    assert hints == [
        "hint: the key features.hop is called features.hop_length now",
        "hint: the key features.mels is called features.n_mels now",
    ]


def test_the_mean_teachers_former_mixup_is_read_as_an_augmentation_of_that_system_only():
    """Complete configurations of other systems had the key, too, without any effect."""
    earlier = conf_to_dict(load_conf(settings=["system=mean_teacher"]))
    del earlier["augment"]
    earlier["mean_teacher"] |= {"mixup": 0.25, "mixup_beta": 0.3}
    augment = conf_from_dict(earlier).augment
    assert (augment.mixup, augment.mixup_beta) == (0.25, 0.3)
    assert conf_from_dict(earlier | {"system": "mtlvae"}).augment == load_conf().augment
    assert load_conf(settings=["mean_teacher.mixup=0.125"]).augment.mixup == 0.125
