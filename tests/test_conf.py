"""Configuration: deltas over base.yaml; errors that name file, line and key."""

import json
import os
import pickle
from pathlib import Path

import pytest
import yaml

from recipe_mtlvae.conf import CONF_DIR, changed_keys, conf_from_dict, conf_to_dict, data_file, load_conf
from recipe_mtlvae.conf_files import _hint_renamed
from recipe_mtlvae.countries import COUNTRIES
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


def test_later_files_and_settings_win(tmp_path):
    file = delta(tmp_path, "seed: 1\n")
    assert load_conf(file).seed == 1
    assert load_conf(file, settings=["seed=2"]).seed == 2


def test_the_reports_reading_of_the_loss_is_the_default():
    conf = load_conf(CONF_DIR / "mtlvae.yaml")
    loss = conf.loss
    assert (loss.strong_synth, loss.strong_real, loss.weak, loss.reconstruction, loss.kld) == (1, 1, 1, 1, 1)
    assert (loss.consistency, conf.vae.clip_gate) == (0.0, False)


def test_a_configuration_survives_the_way_through_a_dict():
    conf = load_conf()
    assert conf_from_dict(conf_to_dict(conf)) == conf


def test_a_user_may_add_splits_of_their_own():
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


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.max_epochs=abc", "'train.max_epochs': expected int, got 'abc'"),
        ("train.max_epochs=1.5", "expected int, got 1.5"),
        ("vae.variational=1", "expected bool, got 1"),
        ("data.classes=Dog", "expected a list|expected tuple"),
        ("train=3", "'train': expected a mapping, got 3"),
        ("features.scale_range=[1, -1]", "features.scale_range.*the lower one first"),
        ("baseline_checkpoint.scale_range=[0, .nan]", "baseline_checkpoint.scale_range.1.: expected a finite number"),
        ("tasks=[weak]", "a strong one among them"),
        ("tasks=[strong_real, dance]", "expected some of strong_synth"),
        ("seed", "expected key.path=value"),
        ("seed={", "not valid YAML"),
        ("data.name=2024-13-01", "not valid YAML"),
    ],
)
def test_a_wrong_value_is_refused(setting, words):
    with pytest.raises(RecipeError, match=words):
        load_conf(settings=[setting])


def test_yaml_that_is_broken_is_named_with_its_line(tmp_path):
    with pytest.raises(RecipeError, match=r"delta.yaml:2: not valid YAML"):
        load_conf(delta(tmp_path, "seed: 1\nvae: ]\n"))


def test_a_configuration_written_before_a_key_came_has_its_default():
    older = conf_to_dict(load_conf(settings=["vae.latent=32"]))
    del older["vae"]["outputs_per_step"]
    assert conf_from_dict(older) == load_conf(settings=["vae.latent=32"])


def test_the_configuration_of_a_checkpoint_written_at_8fb5b23_is_read():
    with (Path(__file__).parent / "conf_8fb5b23.yaml").open() as stream:
        conf = conf_from_dict(yaml.safe_load(stream))
    now = ["features.hop_length=320", "features.n_mels=64", "vae.latent=32", "data.splits.public=null"]
    assert conf == load_conf(data_file("mini"), CONF_DIR / "mtlvae_fast.yaml", settings=now)


@pytest.mark.parametrize(
    ("data", "setting", "words"),
    [
        (
            "mini",
            "fetch.attempts=3",
            "--set: configuration key 'fetch': expected data.prepare=desed beside it, got mini",
        ),
        ("mini", "data.synthetic=generate", "'data.synthetic': expected data.prepare=desed beside it, got mini"),
        ("desed", "mini.weak=3", "'mini': expected data.prepare=mini beside it, got desed"),
        ("own", "fetch.attempts=3", r"--set: configuration keys: missing fetch\."),
        ("own", "data.prepare=desed", "'fetch': data.prepare=desed needs it, as in conf/data/desed.yaml"),
    ],
)
def test_keys_of_another_way_to_get_data_are_refused(data, setting, words):
    with pytest.raises(RecipeError, match=words) as error:
        load_conf(data_file(data), settings=[setting])
    assert len(error.value.faults) == 1


@pytest.mark.parametrize("data", ["mini", "desed"])
def test_a_corpus_that_is_made_elsewhere_is_taken_as_it_is(data):
    conf = load_conf(data_file(data), settings=["data.prepare=none"])
    assert conf_from_dict(conf_to_dict(conf)) == conf


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml: no such configuration file"):
        load_conf(tmp_path / "none.yaml")


def test_changed_keys_are_named_by_their_dotted_path():
    old, new = conf_to_dict(load_conf()), conf_to_dict(load_conf(settings=["vae.hidden=1", "seed=9"]))
    assert changed_keys(old, new) == ["seed", "vae.hidden"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.batch_size=0", "'train.batch_size': expected 1 to"),
        ("train.max_epochs=-1", "'train.max_epochs': expected 1 to"),
        ("train.learning_rate=.nan", "'train.learning_rate': expected 1e-12 to 10, got nan"),
        ("features.hop_length=0", "'features.hop_length': expected 1 to"),
        ("data.weak_held_out=1.5", "'data.weak_held_out': expected 0 to 0.9"),
        ("postprocess.median_filter=4", "expected an odd number of output steps"),
        ("postprocess.threshold=7", "'postprocess.threshold': expected less than 1, got 7"),
        ("system=crnn", "'system': expected one of mtlvae, mean_teacher"),
    ],
)
def test_a_number_out_of_its_range_is_refused(setting, words):
    with pytest.raises(RecipeError, match=words):
        load_conf(settings=[setting])


def test_the_value_at_fault_is_named_with_the_line_where_it_stands(tmp_path):
    with pytest.raises(RecipeError, match=r"delta.yaml:3: configuration key 'vae.hidden': expected 1 to 65536, got 0$"):
        load_conf(delta(tmp_path, "seed: 1\nvae:\n  hidden: 0\n"))


def test_a_long_value_is_shown_in_part():
    with pytest.raises(RecipeError) as error:
        load_conf(settings=[f"train.max_epochs={list(range(5_000))}"])
    assert len(str(error.value)) < 160


def test_the_mean_teacher_needs_its_three_sets():
    with pytest.raises(RecipeError, match="the mean teacher needs weak and reconstruction"):
        load_conf(settings=["system=mean_teacher", "tasks=[strong_synth]"])


@pytest.mark.parametrize(
    "settings",
    [("loss.consistency=1",), ("loss.consistency=1", "train.weight_average=0.9", "tasks=[strong_real]")],
)
def test_consistency_needs_the_moving_average_and_clips_without_strong_labels(settings):
    with pytest.raises(RecipeError, match=r"loss.consistency': expected 0 without train.weight_average above 0 and"):
        load_conf(settings=[*settings])


def test_a_clip_gate_needs_clip_probabilities():
    with pytest.raises(RecipeError, match=r"vae.clip_gate': expected false without the task weak"):
        load_conf(settings=["vae.clip_gate=true", "tasks=[strong_real]"])


def test_a_power_of_ten_without_a_point_is_a_number():
    assert load_conf(settings=["train.learning_rate=5e-4"]).train.learning_rate == 5e-4


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


def test_the_mean_teachers_mixup_is_read_as_an_augmentation_of_that_system_alone():
    """A whole configuration of another system had the key too, without effect."""
    earlier = conf_to_dict(load_conf(settings=["system=mean_teacher"]))
    del earlier["augment"]
    earlier["mean_teacher"] |= {"mixup": 0.25, "mixup_beta": 0.3}
    augment = conf_from_dict(earlier).augment
    assert (augment.mixup, augment.mixup_beta) == (0.25, 0.3)
    assert conf_from_dict(earlier | {"system": "mtlvae"}).augment == load_conf().augment
    assert load_conf(settings=["mean_teacher.mixup=0.125"]).augment.mixup == 0.125


def test_a_configuration_can_be_handed_to_worker_processes():
    conf = load_conf()
    assert pickle.loads(pickle.dumps(conf)) == conf


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("[Dog, Cat, Dog]", "expected each name once, got 'Dog' 2 times"),
        (r'["Dog\nCat"]', r"got 'Dog\\nCat'"),
        (r'["Dog\tCat"]', r"got 'Dog\\tCat'"),
        (r"['Dog\\Cat']", "without spaces around them, backslashes or control characters"),
        ("['']", "got ''"),
        ("[' Dog']", "got ' Dog'"),
        ("[]", "expected at least one name"),
    ],
)
def test_class_names_are_checked_when_read(classes, words):
    with pytest.raises(RecipeError, match=r"'data.classes': .*" + words):
        load_conf(settings=[f"data.classes={classes}"])


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "a\nb", " a", "x" * 101])
def test_names_that_become_folders_stay_where_they_are(name):
    splits = {"data": {"splits": {name: {"metadata": "m.tsv", "audio": "a", "labels": "strong"}}}}
    for content in (splits, {"data": {"name": name}}):
        with pytest.raises(RecipeError, match=r"'data\.(splits|name)"):
            conf_from_dict(content)


def bomb(levels: int = 9) -> str:
    """YAML of some 300 bytes that stands for 9 ** levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def test_a_file_of_aliases_is_refused_before_it_is_built(tmp_path):
    with pytest.raises(RecipeError, match=r"delta.yaml: not valid YAML: expected at most 50,000 values"):
        load_conf(delta(tmp_path, bomb()))
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_conf(settings=["data.classes={" + bomb().replace("\n", ", ") + "}"])
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_conf(delta(tmp_path, "data: &d {classes: *d}"))


def test_a_dict_that_holds_itself_over_and_over_is_refused():
    content: list = ["x"]
    for _ in range(40):
        content = [content, content]
    with pytest.raises(RecipeError, match="more than 50,000 values"):
        conf_from_dict({"data": {"classes": content}})


def test_a_huge_file_is_not_read(tmp_path):
    with pytest.raises(RecipeError, match="expected at most 1,048,576 characters"):
        load_conf(delta(tmp_path, "# " + "x" * 2**20))


def test_a_pipe_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RecipeError, match=r"pipe.yaml: expected a configuration file"):
        load_conf(tmp_path / "pipe.yaml")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("features.f_max=.nan", "'features.f_max': expected 1 to 192000, got nan"),
        ("features.f_max=8001", "'features.f_max': expected 1 to 8000, above f_min by 1 Hz"),
        ("features.f_min=8000", "'features.f_max': expected 8001 to 8000"),
        ("features.db_min=80", "'features.db_max': expected more than db_min=80, got 80"),
        ("features.amplitude_floor=0", "'features.amplitude_floor': expected 1e-30 to 1"),
        ("features.n_fft=128", "'features.n_mels': expected at most the 65 bins of n_fft=128, got 128"),
        ("features.n_fft=1048576", "'features.n_fft': expected 16 to 65536"),
        ("data.clip_seconds=0.01", "'data.clip_seconds': expected more than 0.064 s, half of n_fft, got 0.01"),
        ("data.clip_seconds=3600", "'data.clip_seconds': expected at most 131072 feature frames a clip, got 225001"),
        ("vae.hidden=65536", "'vae.hidden': expected a network of at most 268,435,456 weights"),
        ("train.gradient_clip=1e-30", "'train.gradient_clip': expected 0, for none, or 1e-06"),
        (
            "postprocess.median_filter=157",
            "'postprocess.median_filter': expected at most the 156 output steps of a clip",
        ),
        ("postprocess.threshold=1", "'postprocess.threshold': expected less than 1"),
        ("train.accelerator=tpu", "'train.accelerator': expected one of auto, cpu, gpu, got 'tpu'"),
        ("train.precision=16-true", "'train.precision': expected one of 32-true, 16-mixed, bf16-mixed"),
        ("energy.baseline_eval_kwh=-5", "'energy.baseline_eval_kwh': expected 0 to 1e[+]09, got -5"),
        ("energy.country_iso_code=XXX", "'energy.country_iso_code': expected the three capital letters of a country"),
        ("seed=4294967296", "'seed': expected 0 to 4294967295, got 4294967296"),
        ("data.seed=-1", "'data.seed': expected 0 to 4294967295, got -1"),
        ("data.splits.weak.audio=../x", "'data.splits.weak.audio': expected a path under data.root"),
    ],
)
def test_senseless_values_are_refused(setting, words):
    with pytest.raises(RecipeError, match=words) as error:
        load_conf(settings=[setting])
    assert len(error.value.faults) == 1


def test_the_countries_are_those_of_codecarbon():
    folder = Path(pytest.importorskip("codecarbon").__file__).parent / "data" / "private_infra"
    assert sorted(COUNTRIES) == sorted(json.loads((folder / "global_energy_mix.json").read_text()))


def test_the_baseline_s_network_takes_128_bands():
    with pytest.raises(
        RecipeError, match=r"'features.n_mels': expected 128, all that the baseline's CRNN takes, got 64"
    ):
        load_conf(CONF_DIR / "mean_teacher.yaml", settings=["features.n_mels=64"])
