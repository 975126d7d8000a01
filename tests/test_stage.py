"""What the stages share: options, folders, and whether a stage is done."""

import pytest
import yaml

from local import stage as stages
from local.stage import open_stage, trained_on
from recipe_mtlvae.conf import conf_to_dict, load_conf
from recipe_mtlvae.errors import RecipeError


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "PROJECT", tmp_path)
    return tmp_path


def opened(*options: str):
    return open_stage(1, "", ["--data_root", "corpus", *options])


def test_the_default_tag_names_configuration_and_data(project):
    assert opened().run_dir == project / "exp" / "mtlvae-mini"


def test_a_soundbank_names_the_data_and_its_labels_become_the_classes(project, tmp_path):
    for name in ("my_sounds", "Hunde \U0001f415"):
        (tmp_path / name).mkdir()
        stage = opened("--soundbank", str(tmp_path / name))
        assert stage.run_dir.name == f"mtlvae-{name}"
        assert stage.conf.data.soundbank == str(tmp_path / name)
    assert stage.conf.data.classes is None


def test_relative_paths_start_from_the_callers_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert opened().root == tmp_path / "corpus"


def test_desed_needs_data_root():
    with pytest.raises(RecipeError, match="give --data_root"):
        open_stage(0, "", ["--data", "desed"])


@pytest.mark.parametrize("tag", ["a/b", "../x", ".hidden", "", "a\nb", "\udcff"])
def test_a_tag_must_be_a_plain_name(tag):
    with pytest.raises(RecipeError, match="expected a plain name"):
        opened("--tag", tag)


def test_a_stage_is_done_only_for_the_same_inputs():
    stage = opened()
    assert not stage.done({"clips": 3})
    stage.mark_done({"clips": 3})
    assert opened().done({"clips": 3})
    assert not opened().done({"clips": 4})


def begun() -> None:
    with opened().begun():
        (opened().run_dir / "checkpoints").mkdir()


def test_a_tag_is_not_shared_by_two_configurations():
    begun()
    with pytest.raises(RecipeError, match=r"another seed, vae\.hidden"):
        opened("--set", "seed=1", "--set", "vae.hidden=8")


def test_a_run_whose_configuration_has_earlier_key_names_can_continue():
    begun()
    file = opened().run_dir / "conf.yaml"
    file.write_text(file.read_text().replace("n_mels:", "mels:").replace("hop_length:", "hop:"))
    opened()


def test_a_tag_is_free_as_long_as_nothing_was_trained_under_it():
    with opened("--set", "seed=1").begun():
        pass
    assert opened().conf.seed == 42


@pytest.mark.parametrize(
    "setting",
    [
        "train.max_epochs=9",
        "train.patience=5",
        "train.devices=2",
        "postprocess.threshold=0.4",
        "data.evaluation=somewhere",
    ],
)
def test_settings_that_only_extend_a_run_may_change(setting):
    begun()
    opened("--set", setting)


def test_a_run_older_than_a_key_can_continue_with_the_default_of_the_key():
    begun()
    file = opened().run_dir / "conf.yaml"
    earlier = yaml.safe_load(file.read_text())
    del earlier["vae"]["outputs_per_step"]
    file.write_text(yaml.safe_dump(earlier))
    opened()
    file.write_text(yaml.safe_dump(earlier))
    with pytest.raises(RecipeError, match=r"another vae\.outputs_per_step"):
        opened("--set", "vae.outputs_per_step=2")


def test_training_depends_on_every_key_except_those_that_it_does_not_read():
    """A section that is added later is included without being listed."""
    sections = trained_on(opened().conf)
    unread = {"fetch", "mini", "baseline_checkpoint", "postprocess", "energy", "submission"}
    assert sections.keys() == conf_to_dict(opened().conf).keys() - unread
    assert "max_epochs" in sections["train"] and "devices" not in sections["train"]
    assert "skip_bad" not in sections["data"] and "weak_held_out" in sections["data"]


def test_training_does_not_depend_on_test_splits():
    def splits(*settings: str) -> dict:
        return trained_on(load_conf(settings=list(settings)))["data"]["splits"]

    more = "data.splits.{}={{metadata: m.tsv, audio: a, labels: strong, role: {}}}"
    assert "validation" not in splits()
    assert splits(more.format("kitchen", "test")) == splits() != splits(more.format("kitchen", "select"))


def test_a_damaged_configuration_of_a_run_is_named():
    begun()
    (opened().run_dir / "conf.yaml").write_text("seed: [")
    with pytest.raises(RecipeError, match=r"conf\.yaml:1: not valid YAML"):
        opened()


def test_the_baseline_beside_a_run_has_the_same_epochs_and_its_own_tag():
    stage = opened("--as_baseline", "equal_epochs", "--set", "train.max_epochs=7")
    assert stage.run_dir.name == "mtlvae-mini-baseline"
    assert (stage.conf.system, stage.conf.train.max_epochs) == ("mean_teacher", 7)


def test_a_converged_baseline_trains_until_it_levels_off():
    conf = opened("--as_baseline", "converged", "--set", "train.max_epochs=7").conf
    assert (conf.train.max_epochs, conf.train.patience) == (200, 20)


def test_a_teacher_has_its_own_folder_below_the_run():
    stage = opened("--as_baseline", "equal_epochs")
    assert stage.system_dirs() == {"net": stage.run_dir, "teacher": stage.run_dir / "teacher"}


def test_the_official_checkpoint_is_scored_under_its_own_tag(tmp_path):
    stage = opened("--as_official", str(tmp_path / "official.ckpt"))
    assert stage.run_dir.name == "mtlvae-mini-official"
    assert stage.official_checkpoint == tmp_path / "official.ckpt"
    assert stage.conf.system == "mean_teacher"
