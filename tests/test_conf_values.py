"""Configuration: values that are refused, and the error messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipe_mtlvae.conf import CONF_DIR, conf_from_dict, data_file, load_conf
from recipe_mtlvae.countries import COUNTRIES
from recipe_mtlvae.errors import RecipeError


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
        ("train.batch_size=0", "'train.batch_size': expected 1 to"),
        ("train.max_epochs=-1", "'train.max_epochs': expected 1 to"),
        ("train.learning_rate=.nan", "'train.learning_rate': expected 1e-12 to 10, got nan"),
        ("features.hop_length=0", "'features.hop_length': expected 1 to"),
        ("data.weak_held_out=1.5", "'data.weak_held_out': expected 0 to 0.9"),
        ("postprocess.median_filter=4", "expected an odd number of output steps"),
        ("system=crnn", "'system': expected one of mtlvae, mean_teacher"),
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
        ("postprocess.threshold=1", "'postprocess.threshold': expected less than 1, got 1"),
        ("train.accelerator=tpu", "'train.accelerator': expected one of auto, cpu, gpu, got 'tpu'"),
        ("train.precision=16-true", "'train.precision': expected one of 32-true, 16-mixed, bf16-mixed"),
        ("energy.baseline_eval_kwh=-5", "'energy.baseline_eval_kwh': expected 0 to 1e[+]09, got -5"),
        ("energy.country_iso_code=XXX", "'energy.country_iso_code': expected the three capital letters of a country"),
        ("seed=4294967296", "'seed': expected 0 to 4294967295, got 4294967296"),
        (r'data.name="\ud83d"', "'data.name': expected a plain name, without control characters"),
        ("data.seed=-1", "'data.seed': expected 0 to 4294967295, got -1"),
        ("data.splits.weak.audio=../x", "'data.splits.weak.audio': expected a path under data.root"),
        (r"data.classes=[Dog, Cat, Dog]", r"'data.classes': .*expected each name once, got 'Dog' 2 times"),
        (r'data.classes=["Dog\nCat"]', r"'data.classes': .*got 'Dog\\nCat'"),
        (r'data.classes=["Dog\tCat"]', r"'data.classes': .*got 'Dog\\tCat'"),
        (
            r"data.classes=['Dog\\Cat']",
            r"'data.classes': .*without spaces around them, backslashes or control characters",
        ),
        (r"data.classes=['']", r"'data.classes': .*got ''"),
        (r"data.classes=[' Dog']", r"'data.classes': .*got ' Dog'"),
        (r"data.classes=[]", r"'data.classes': .*expected at least one name"),
    ],
)
def test_an_invalid_value_is_refused_in_one_line(setting, words):
    with pytest.raises(RecipeError, match=words) as error:
        load_conf(settings=[setting])
    assert len(error.value.faults) == 1


CONSISTENCY = "loss.consistency': expected 0 without train.weight_average above 0 and"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["system=mean_teacher", "tasks=[strong_synth]"], "the mean teacher needs weak and reconstruction"),
        (["loss.consistency=1"], CONSISTENCY),
        (["loss.consistency=1", "train.weight_average=0.9", "tasks=[strong_real]"], CONSISTENCY),
        (["vae.clip_gate=true", "tasks=[strong_real]"], "vae.clip_gate': expected false without the task weak"),
        (["vae.outputs_per_step=2", "vae.sees=[embeddings]"], "vae.outputs_per_step': expected 1 .*, got 2"),
        (["vae.outputs_per_step=2", "vae.sees=[log_mel, embeddings]"], "vae.outputs_per_step': expected 1 .*, got 2"),
        (["vae.outputs_per_step=2", "vae.front_end=plain"], "vae.outputs_per_step': expected 1 .*, got 2"),
    ],
    ids=str,
)
def test_a_setting_that_needs_another_is_refused_without_it(settings, words):
    with pytest.raises(RecipeError, match=words):
        load_conf(settings=settings)


@pytest.mark.parametrize("file", ["mtlvae_yamnet.yaml", "linear_yamnet.yaml"])
@pytest.mark.parametrize("key", ["band_gain", "band_shift"])
def test_augmenting_bands_is_refused_for_a_network_that_sees_embeddings_alone(file, key):
    """Otherwise the network would have to reconstruct changes of bands that its unchanged embeddings cannot show."""
    with pytest.raises(RecipeError, match=rf"augment.{key}': expected 0 where .* sees embeddings alone, got 0\.5"):
        load_conf(CONF_DIR / file, settings=[f"augment.{key}=0.5"])


def test_the_network_of_the_baseline_takes_only_128_bands():
    words = "'features.n_mels': expected 128, all that the baseline's CRNN takes, got 64"
    with pytest.raises(RecipeError, match=words):
        load_conf(CONF_DIR / "mean_teacher.yaml", settings=["features.n_mels=64"])


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
def test_keys_of_another_data_preparation_are_refused(data, setting, words):
    with pytest.raises(RecipeError, match=words) as error:
        load_conf(data_file(data), settings=[setting])
    assert len(error.value.faults) == 1


def test_an_invalid_value_is_named_with_its_file_and_line(tmp_path):
    file = tmp_path / "delta.yaml"
    file.write_text("seed: 1\nvae:\n  hidden: 0\n")
    with pytest.raises(RecipeError, match=r"delta.yaml:3: configuration key 'vae.hidden': expected 1 to 65536, got 0$"):
        load_conf(file)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(RecipeError) as error:
        load_conf(settings=[f"train.max_epochs={list(range(5_000))}"])
    assert len(str(error.value)) < 160


def test_a_number_in_scientific_notation_needs_no_decimal_point():
    assert load_conf(settings=["train.learning_rate=5e-4"]).train.learning_rate == 5e-4


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "a\nb", " a", "x" * 101])
def test_names_that_are_unfit_for_folders_are_refused(name):
    splits = {"data": {"splits": {name: {"metadata": "m.tsv", "audio": "a", "labels": "strong"}}}}
    for content in (splits, {"data": {"name": name}}):
        with pytest.raises(RecipeError, match=r"'data\.(splits|name)"):
            conf_from_dict(content)


@pytest.mark.parametrize("value", ["false", "true", "0.0", "-1", "x"])
def test_a_number_of_clips_that_is_no_number_is_refused(value):
    with pytest.raises(RecipeError, match=r"'mini\.weak': expected"):
        load_conf(data_file("mini"), settings=[f"mini.weak={value}"])
    assert "weak" not in load_conf(data_file("mini"), settings=["mini.weak=0"]).data.splits


def test_a_character_that_json_writes_as_two_is_one():
    """JSON, which YAML includes, writes characters above U+FFFF as pairs of escapes."""
    for text in ("\U0001f415", "a\U0001f415\U0001f408b"):
        assert load_conf(settings=[f"data.name={json.dumps(text)}"]).data.name == text


def test_the_countries_are_those_of_codecarbon():
    folder = Path(pytest.importorskip("codecarbon").__file__).parent / "data" / "private_infra"
    assert sorted(COUNTRIES) == sorted(json.loads((folder / "global_energy_mix.json").read_text()))


def test_an_unknown_key_below_a_number_is_named_with_its_line(tmp_path):
    """YAML reads the split's name 2024 as a number."""
    file = tmp_path / "own.yaml"
    file.write_text("data:\n  splits:\n    2024: {audio: a,\n      parts: 3}\n")
    with pytest.raises(RecipeError, match=r"own\.yaml:4: unknown key 'data\.splits\.2024\.parts'"):
        load_conf(file)
