"""Configuration: deltas over base.yaml; errors that name file, line and key."""

import pickle
from pathlib import Path

import pytest

from recipe_mtlvae.conf import CONF_DIR, changed_keys, conf_from_dict, conf_to_dict, data_file, load_conf
from recipe_mtlvae.errors import RecipeError

SHIPPED = sorted(path for path in CONF_DIR.glob("*.yaml") if path.name not in ("base.yaml", "published.yaml"))
SHIPPED += sorted(CONF_DIR.glob("data/*.yaml"))


def delta(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "delta.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(file):
    load_conf(file)


def test_a_delta_changes_its_own_keys_only(tmp_path):
    conf = load_conf(delta(tmp_path, "vae:\n  hidden: 64\n"))
    assert conf.vae.hidden == 64
    assert conf.vae.layers == load_conf().vae.layers


def test_a_setting_overrides_the_file(tmp_path):
    file = delta(tmp_path, "seed: 1\n")
    assert load_conf(file).seed == 1
    assert load_conf(file, settings=["seed=2"]).seed == 2


def test_mtlvae_yaml_has_the_loss_of_the_report_and_no_addition():
    conf = load_conf(CONF_DIR / "mtlvae.yaml")
    loss = conf.loss
    assert (loss.strong_synth, loss.strong_real, loss.weak, loss.reconstruction, loss.kld) == (1, 1, 1, 1, 1)
    assert (loss.consistency, conf.vae.clip_gate) == (0.0, False)


def test_a_configuration_survives_a_round_trip_through_a_dict():
    conf = load_conf()
    assert conf_from_dict(conf_to_dict(conf)) == conf


def test_a_user_may_add_splits():
    conf = load_conf(settings=["data.splits.mine={metadata: m.tsv, audio: a, labels: strong, role: test}"])
    assert conf.data.splits["mine"].audio == "a"


def test_a_split_that_is_null_is_left_out(tmp_path):
    conf = load_conf(delta(tmp_path, "data:\n  splits:\n    weak: null\n    mine: null\n"))
    assert "weak" not in conf.data.splits
    assert "mine" not in conf.data.splits
    assert "public" in conf.data.splits


def test_an_unknown_key_is_named_with_file_and_line(tmp_path):
    with pytest.raises(RecipeError, match=r"delta.yaml:3: unknown key 'vae.hiden'; the keys there are: hidden"):
        load_conf(delta(tmp_path, "seed: 1\nvae:\n  hiden: 3\n"))


def test_invalid_yaml_is_reported_with_file_and_line(tmp_path):
    with pytest.raises(RecipeError, match=r"delta.yaml:2: not valid YAML"):
        load_conf(delta(tmp_path, "seed: 1\nvae: ]\n"))


@pytest.mark.parametrize("data", ["mini", "desed"])
def test_a_dataset_that_is_prepared_elsewhere_needs_only_prepare_none(data):
    conf = load_conf(data_file(data), settings=["data.prepare=none"])
    assert conf_from_dict(conf_to_dict(conf)) == conf


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml: no such configuration file"):
        load_conf(tmp_path / "none.yaml")


def test_changed_keys_are_named_by_their_dotted_path():
    old, new = conf_to_dict(load_conf()), conf_to_dict(load_conf(settings=["vae.hidden=1", "seed=9"]))
    assert changed_keys(old, new) == ["seed", "vae.hidden"]


def test_a_configuration_can_be_pickled_for_worker_processes():
    conf = load_conf()
    assert pickle.loads(pickle.dumps(conf)) == conf
