"""The configuration: base.yaml and YAML deltas to it, merged, checked and frozen.

Defaults and units are in conf/ alone. Errors name the file, line and key.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from recipe_mtlvae import conf_sections as sections
from recipe_mtlvae.conf_files import (
    MOST_VALUES,
    Source,
    is_too_large,
    merged,
    place_of,
    read_yaml,
    setting_delta,
    shown,
    with_new_names,
)
from recipe_mtlvae.conf_types import SEEDS, Int, Text, adapter, build, must, section
from recipe_mtlvae.errors import fail
from recipe_mtlvae.labels import Grid, frames_of, samples_of
from recipe_mtlvae.systems import SYSTEMS, system_module
from recipe_mtlvae.tasks import TASKS, with_head

_PACKAGED = Path(__file__).resolve().parent / "shipped_conf"  # where a wheel has conf/ (pyproject.toml)
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent / "conf"
MOST_FRAMES = 2**17  # in a clip: 35 minutes at the default hop
LEAST_STEPS = 9  # length of a median filter that is always allowed, even if clips are shorter: the default's
# Keys that belong to one value of data.prepare and are set in conf/data/<value>.yaml; with other values they are absent
OF_PREPARE = {"fetch": "desed", "data.synthetic": "desed", "data.reuse": "desed", "mini": "mini"}


@section
class Conf:
    system: Annotated[str, must(SYSTEMS.__contains__, f"one of {', '.join(SYSTEMS)}")]
    seed: Int = Field(ge=0, le=SEEDS)
    data: sections.DataConf
    fetch: sections.FetchConf | None = None
    mini: dict[str, Annotated[Int, Field(ge=0, le=10**6)]] | None = None
    features: sections.FeatureConf
    tasks: tuple[str, ...]
    # Each system's own section, which its module in nets/ defines
    __annotations__.update({system.section: system_module(name).Section for name, system in SYSTEMS.items()})
    loss: sections.LossConf
    encoder: sections.EncoderConf
    baseline_checkpoint: sections.BaselineCheckpointConf
    augment: sections.AugmentConf
    train: sections.TrainConf
    postprocess: sections.PostprocessConf
    energy: sections.EnergyConf
    submission: Text
    run: sections.RunConf

    @model_validator(mode="after")
    def _tasks_fit_the_system(self) -> Conf:
        unknown = set(self.tasks) - set(TASKS)
        if unknown or len(set(self.tasks)) < len(self.tasks) or not with_head("strong", self.tasks):
            known = ", ".join(TASKS)
            raise ValueError(f"tasks: expected some of {known}, a strong one among them, got {shown(list(self.tasks))}")
        if not set(needed := SYSTEMS[self.system].tasks) <= set(self.tasks):
            what = f"the {self.system.replace('_', ' ')} needs {' and '.join(needed)} among them"
            raise ValueError(f"tasks: {what}, got {list(self.tasks)}")
        if self.train.shares is not None:
            shares = self.train.shares
            if shares.keys() != set(self.tasks) or sum(shares.values()) != self.train.batch_size:
                what = f"clips of each of {', '.join(self.tasks)}, {self.train.batch_size} (train.batch_size) in all"
                raise ValueError(f"train.shares: expected {what}, got {shown(shares)}")
        return self

    @model_validator(mode="after")
    def _clips_fit_the_features(self) -> Conf:
        features, seconds = self.features, self.data.clip_seconds
        samples = samples_of(seconds, features.sample_rate)
        if samples <= features.n_fft // 2:
            least = features.n_fft / 2 / features.sample_rate
            raise ValueError(f"data.clip_seconds: expected more than {least:.3f} s, half of n_fft, got {seconds:g}")
        if features.hop_length > samples:
            what = f"expected at most the {samples} samples of a clip"
            raise ValueError(f"features.hop_length: {what}, got {features.hop_length}")
        frames, steps = frames_of(features, samples), Grid.of(features, seconds).steps
        if frames > MOST_FRAMES:
            raise ValueError(f"data.clip_seconds: expected at most {MOST_FRAMES} feature frames a clip, got {frames}")
        if not steps:
            what = f"expected at most the {frames} frames of a clip"
            raise ValueError(f"features.frames_per_step: {what}, got {features.frames_per_step}")
        if self.postprocess.median_filter > max(steps, LEAST_STEPS):
            what = f"expected at most the {steps} output steps of a clip"
            raise ValueError(f"postprocess.median_filter: {what}, got {self.postprocess.median_filter}")
        return self

    @model_validator(mode="after")
    def _system_fits(self) -> Conf:
        getattr(system_module(self.system), "check", lambda conf: None)(self)
        return self

    @model_validator(mode="after")
    def _is_there_what_prepares(self) -> Conf:
        way, data = self.data.prepare, self.data
        for key, value in (("fetch", self.fetch), ("data.synthetic", data.synthetic), ("mini", self.mini)):
            if OF_PREPARE[key] == way and not value:
                raise ValueError(f"{key}: data.prepare={way} needs it, as in conf/data/{way}.yaml, got {value}")
        return self


def load_conf(*files: Path, settings: list[str] | None = None) -> Conf:
    """Load base.yaml, then `files` in order, then `key.path=value` settings (values are YAML).

    Raises RecipeError naming the file, line and key at fault.
    """
    sources: list[Source] = [(CONF_DIR / "base.yaml", _base())]
    sources += [(file, with_new_names(read_yaml(file))) for file in files]
    sources += [("--set", with_new_names(setting_delta(setting))) for setting in settings or []]
    content = _merged(sources)
    for key in _of_other_data(content):
        what = f"configuration key '{key}': expected data.prepare={OF_PREPARE[key]} beside it"
        raise fail(f"{what}, got {content['data']['prepare']}", "leave it out", *place_of(sources, key.split(".")))
    return build(Conf, content, sources)


def data_file(data: str) -> Path:
    """Return the YAML file that `--data` names: mini, desed, or the path of a YAML file."""
    return Path(data) if data.endswith((".yaml", ".yml")) else CONF_DIR / "data" / f"{data}.yaml"


def conf_from_dict(content: Any, source: Path | str = "configuration") -> Conf:
    """Return the Conf of a nested dict, such as a checkpoint's. Keys that it lacks have the values of base.yaml.

    source: where the dict comes from, for error messages.
    """
    if not isinstance(content, dict):
        raise fail(f"expected a mapping of configuration keys, got {shown(content)}", path=source)
    if is_too_large(content):
        raise fail(f"expected a configuration, got more than {MOST_VALUES:,} values or one of too many", path=source)
    base = _base() | {"data": _base()["data"] | {"splits": {}}}  # the dict names its own splits
    sources: list[Source] = [(CONF_DIR / "base.yaml", base), (source, with_new_names(content))]
    whole = _merged(sources)
    for key in _of_other_data(whole):  # earlier versions wrote them with any data
        *above, name = key.split(".")
        del (whole[above[0]] if above else whole)[name]
    return build(Conf, whole, sources)


def conf_to_dict(conf: Conf) -> dict[str, Any]:
    """Return a Conf as a nested dict of plain YAML and JSON types, without `run`: the inverse of conf_from_dict."""
    return adapter(Conf).dump_python(conf, mode="json", exclude={"run"})


def changed_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of the keys whose values differ between two nested dicts."""
    changed = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changed += changed_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            changed.append(prefix + key)
    return changed


@functools.cache
def _base() -> dict[str, Any]:
    """The content of base.yaml, which callers must not change."""
    return read_yaml(CONF_DIR / "base.yaml")


def _merged(sources: list[Source]) -> dict[str, Any]:
    """The merged mappings, later ones over earlier ones; every split gets a role and a task.

    The splits in base.yaml have default roles and tasks. Splits for which `mini` makes no clips are left out.
    """
    content: dict[str, Any] = functools.reduce(merged, (delta for _, delta in sources), {})
    data, mini, known = content.get("data"), content.get("mini"), _base()["data"]["splits"]
    splits = data.get("splits") if isinstance(data, dict) else None
    if not isinstance(splits, dict):
        return content  # the type is refused later, like other wrong types
    for name in [name for name in splits if isinstance(mini, dict) and repr(mini.get(name)) == "0"]:  # not false or 0.0
        del splits[name], mini[name]
    for name, split in splits.items():
        if isinstance(split, dict):
            for key in ("role", "task"):
                split.setdefault(key, known.get(name, {}).get(key))
            if split["role"] != "train":
                split["task"] = None
    return content


def _of_other_data(content: dict[str, Any]) -> list[str]:
    """The keys of OF_PREPARE that are given, but belong to another value of data.prepare than the one given."""
    data = content.get("data") if isinstance(content.get("data"), dict) else {}
    if (way := data.get("prepare")) not in OF_PREPARE.values():
        return []  # data.prepare=none: a corpus of either kind is used as it is
    given = content | {f"data.{key}": value for key, value in data.items()}
    return [key for key, other in OF_PREPARE.items() if given.get(key) and other != way]
