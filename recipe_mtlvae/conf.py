"""The schema: every key of a configuration once, with its type and range, and the checks of several values beside them.

The YAML files in conf/ alone hold the defaults and their units. A configuration is base.yaml and YAML deltas over it,
merged, checked and frozen. What is wrong is an error that names file, line and key.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from recipe_mtlvae.conf_files import (
    MOST_VALUES,
    Source,
    is_too_large,
    merge,
    place_of,
    read_yaml,
    setting_delta,
    shown,
    with_new_names,
)
from recipe_mtlvae.conf_splits import SplitConf, complete_splits, name_of_split
from recipe_mtlvae.conf_types import MANY, SEEDS, Bool, Float, Int, Name, Probability, Text, build, is_one_line, section
from recipe_mtlvae.countries import COUNTRIES
from recipe_mtlvae.errors import fail
from recipe_mtlvae.systems import SYSTEMS, system_module
from recipe_mtlvae.tasks import LOSS_TERMS, TASKS, with_head

_PACKAGED = Path(__file__).resolve().parent / "shipped_conf"  # conf/, where a wheel has it (pyproject.toml)
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent / "conf"
SEPARATORS = {"tab": "\t", "comma": ","}
MOST_FRAMES = 2**17  # of a clip: 35 minutes at the default hop
LEAST_STEPS = 9  # a median filter that may always be: the default's, whatever a clip's length
# Keys of one way to get data, data.prepare, which stand in conf/data/<way>.yaml: other data have none of them
OF_PREPARE = {"fetch": "desed", "data.synthetic": "desed", "data.reuse": "desed", "mini": "mini"}


@section
class TableConf:
    """How metadata are written."""

    separator: Literal["tab", "comma"]
    header: Bool


def _are_class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Labels stand in tables, in the headers of score files and in pages."""
    for name in names:
        if not name or name != name.strip() or "\\" in name or not is_one_line(name):
            what = "expected names without spaces around them, backslashes or control characters"
            raise ValueError(f"{what}, got {shown(name)}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"expected each name once, got {shown(repeated[0])} {names.count(repeated[0])} times")
    if not names:
        raise ValueError("expected at least one name, or null")
    return names


ClassNames = Annotated[tuple[str, ...], AfterValidator(_are_class_names)]


@section
class DataConf:
    name: Name
    prepare: Literal["mini", "desed", "none"]
    seed: Int = Field(ge=0, le=SEEDS)
    root: Text | None
    soundbank: Text | None
    classes: ClassNames | None
    clip_seconds: Float = Field(ge=0, le=3600)
    synthetic: Literal["download", "generate"] | None = None
    reuse: tuple[Text, ...] = ()
    evaluation: Text | None
    skip_bad: Bool
    weak_held_out: Float = Field(ge=0, le=0.9)
    table: TableConf
    splits: dict[Annotated[str, AfterValidator(name_of_split)], SplitConf]


@section
class ArchiveConf:
    record: Int = Field(ge=0)
    file: Name


@section
class SplitOriginConf:
    metadata: str  # a key of fetch.archives
    audio: str  # the same, or audioset


@section
class FetchConf:
    records: Text
    stall_seconds: Float = Field(ge=0.01, le=3600)
    attempts: Int = Field(ge=1, le=1000)
    longest_wait: Float = Field(ge=0, le=86400)
    clips_at_once: Int = Field(ge=1, le=64)
    clips_per_second: Float = Field(ge=0.001, le=1000)
    archives: dict[Name, ArchiveConf]
    splits: dict[Name, SplitOriginConf]
    soundscapes: dict[Name, Annotated[Int, Field(ge=0, le=10**7)]]
    occurrences: Text | None


def _rises(bounds: tuple[float, float]) -> tuple[float, float]:
    if not -MANY <= bounds[0] < bounds[1] <= MANY:
        raise ValueError("expected two numbers, the lower one first, as [-1, 1]")
    return bounds


ScaleRange = Annotated[tuple[Float, Float], AfterValidator(_rises)]


@section
class FeatureConf:
    sample_rate: Int = Field(ge=1000, le=384000)
    n_fft: Int = Field(ge=16, le=2**16)
    hop_length: Int = Field(ge=1, le=2**16)
    n_mels: Int = Field(ge=1, le=1024)
    f_min: Float = Field(ge=0, le=192000)
    f_max: Float = Field(ge=1, le=192000)
    amplitude_floor: Float = Field(ge=1e-30, le=1)
    db_min: Float = Field(ge=-1000, le=1000)
    db_max: Float = Field(ge=-1000, le=1000)
    scale_range: ScaleRange
    frames_per_step: Int = Field(ge=1, le=64)

    @model_validator(mode="after")
    def _bands_fit(self) -> FeatureConf:
        bins = self.n_fft // 2 + 1
        if self.n_mels > bins:
            raise ValueError(f"n_mels: expected at most the {bins} bins of n_fft={self.n_fft}, got {self.n_mels}")
        low, high = self.f_min + 1, self.sample_rate / 2
        if not low <= self.f_max <= high:
            what = f"expected {low:g} to {high:g}, above f_min by 1 Hz and up to half of sample_rate"
            raise ValueError(f"f_max: {what}, got {self.f_max:g}")
        if self.db_min >= self.db_max:
            raise ValueError(f"db_max: expected more than db_min={self.db_min:g}, got {self.db_max:g}")
        return self


Weight = Annotated[Float, Field(ge=0, le=1e6)]
# Weights of Eq. 1's terms; the module's name lets worker processes be handed a Conf
LossConf = section(type("LossConf", (), {"__annotations__": dict.fromkeys(LOSS_TERMS, Weight), "__module__": __name__}))


@section
class AugmentConf:
    mixup: Probability
    mixup_beta: Float = Field(ge=0.01, le=1000)
    mix: Probability
    shift: Probability
    band_gain: Probability


@section
class EncoderConf:
    name: Literal["yamnet"]
    weights: str | None


@section
class BaselineCheckpointConf:
    scale_range: ScaleRange


def _is_a_norm(norm: float) -> float:
    if norm != 0 and not 1e-6 <= norm <= MANY:
        raise ValueError("expected 0, for none, or 1e-06 to 1e+09")
    return norm


@section
class TrainConf:
    batch_size: Int = Field(ge=1, le=2**16)
    max_epochs: Int = Field(ge=1, le=MANY)
    epoch_steps: Int | None = Field(ge=1, le=MANY)
    shares: dict[str, Annotated[Int, Field(ge=1, le=2**16)]] | None
    learning_rate: Float = Field(ge=1e-12, le=10)
    weight_decay: Float = Field(ge=0, le=1)
    schedule: Literal["constant", "cosine"]
    weight_average: Float = Field(ge=0, lt=1)
    gradient_clip: Annotated[Float, AfterValidator(_is_a_norm)]
    patience: Int | None = Field(ge=1, le=MANY)
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Int | None = Field(ge=1, le=2**12)
    num_nodes: Int = Field(ge=1, le=2**12)
    strategy: Literal["auto", "ddp", "ddp_spawn", "ddp_fork"]
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    threads: Int | None = Field(ge=1, le=2**12)


@section
class PostprocessConf:
    median_filter: Int = Field(ge=1, le=9999)
    threshold: Float = Field(gt=0, lt=1)
    operating_points: Int = Field(ge=1, le=1000)

    @field_validator("median_filter")
    @classmethod
    def _is_odd(cls, steps: int) -> int:
        if steps % 2 == 0:
            raise ValueError("expected an odd number of output steps")
        return steps


def _is_a_country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError("expected the three capital letters of a country (ISO 3166-1 alpha-3)")
    return code


@section
class EnergyConf:
    country_iso_code: Annotated[str, AfterValidator(_is_a_country)]
    baseline_devtest_kwh: Float | None = Field(ge=0, le=MANY)
    baseline_eval_kwh: Float | None = Field(ge=0, le=MANY)
    baseline_training_kwh: Float | None = Field(ge=0, le=MANY)


@section
class RunConf:
    """How one process takes part; no part of what the run is."""

    shard: Text | None


@section
class Conf:
    system: str
    seed: Int = Field(ge=0, le=SEEDS)
    data: DataConf
    fetch: FetchConf | None = None
    mini: dict[str, Annotated[Int, Field(ge=0, le=10**6)]] | None = None
    features: FeatureConf
    tasks: tuple[str, ...]
    # Each system's own section, which its module in nets/ describes
    __annotations__.update({system.section: system_module(name).Section for name, system in SYSTEMS.items()})
    loss: LossConf
    encoder: EncoderConf
    baseline_checkpoint: BaselineCheckpointConf
    augment: AugmentConf
    train: TrainConf
    postprocess: PostprocessConf
    energy: EnergyConf
    submission: Text
    run: RunConf

    @field_validator("system")
    @classmethod
    def _is_registered(cls, system: str) -> str:
        if system not in SYSTEMS:
            raise ValueError(f"expected one of {', '.join(SYSTEMS)}")
        return system

    @model_validator(mode="after")
    def _tasks_fit_the_system(self) -> Conf:
        unknown = set(self.tasks) - set(TASKS)
        if unknown or len(set(self.tasks)) < len(self.tasks) or not with_head("strong", self.tasks):
            known = ", ".join(TASKS)
            raise ValueError(f"tasks: expected some of {known}, a strong one among them, got {shown(list(self.tasks))}")
        if not set(needed := SYSTEMS[self.system].tasks) <= set(self.tasks):
            what = f"the {self.system.replace('_', ' ')} wants {' and '.join(needed)} among them"
            raise ValueError(f"tasks: {what}, got {list(self.tasks)}")
        if self.train.shares is not None:
            shares = self.train.shares
            if shares.keys() != set(self.tasks) or sum(shares.values()) != self.train.batch_size:
                what = f"clips of each of {', '.join(self.tasks)}, {self.train.batch_size} (train.batch_size) in all"
                raise ValueError(f"train.shares: expected {what}, got {shown(shares)}")
        return self

    @model_validator(mode="after")
    def _convolutions_fit_the_grid(self) -> Conf:
        if self.vae.front_end == "stack":
            return self
        most, frames = 2 ** len(self.vae.front_end_widths), self.features.frames_per_step
        if frames.bit_count() != 1 or frames > most:
            what = f"expected a power of two up to {most} for {len(self.vae.front_end_widths)} vae.front_end_widths"
            raise ValueError(f"features.frames_per_step: {what}, got {frames}")
        if self.vae.outputs_per_step != 1:
            raise ValueError("vae.outputs_per_step: expected 1 with convolutions, which have no wide steps")
        return self

    @model_validator(mode="after")
    def _clips_fit_the_features(self) -> Conf:
        from recipe_mtlvae.labels import Grid, frames_of, samples_of  # which import this file

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
    """base.yaml, then `files` in order, then `key.path=value` settings (values are YAML).

    Raises RecipeError naming the file, line and key at fault.
    """
    sources: list[Source] = [(file, with_new_names(read_yaml(file))) for file in (CONF_DIR / "base.yaml", *files)]
    sources += [("--set", with_new_names(setting_delta(setting))) for setting in settings or []]
    content = _merged(sources)
    for key in _of_other_data(content):
        what = f"configuration key '{key}': expected data.prepare={OF_PREPARE[key]} beside it"
        raise fail(f"{what}, got {content['data']['prepare']}", "leave it out", *place_of(sources, key.split(".")))
    return build(Conf, content, sources)


def data_file(data: str) -> Path:
    """What `--data` names: mini, desed, or a YAML file."""
    return Path(data) if data.endswith((".yaml", ".yml")) else CONF_DIR / "data" / f"{data}.yaml"


def conf_from_dict(content: Any, source: Path | str = "configuration") -> Conf:
    """The Conf of a nested dict, such as a checkpoint's; keys that came after it was written are as in base.yaml.

    source: where it comes from, for errors.
    """
    if not isinstance(content, dict):
        raise fail(f"expected a mapping of configuration keys, got {shown(content)}", path=source)
    if is_too_large(content):
        raise fail(f"expected a configuration, got more than {MOST_VALUES:,} values or one of too many", path=source)
    base = read_yaml(CONF_DIR / "base.yaml")
    base["data"]["splits"] = {}  # names of the user's, not keys of ours
    sources: list[Source] = [(CONF_DIR / "base.yaml", base), (source, with_new_names(content))]
    whole = _merged(sources)
    for key in _of_other_data(whole):  # as every configuration had them once
        section, _, name = key.rpartition(".")
        del (whole[section] if section else whole)[name]
    return build(Conf, whole, sources)


def conf_to_dict(conf: Conf) -> dict[str, Any]:
    """The inverse of conf_from_dict, in plain YAML and JSON types; without `run`."""
    content = _plain(dataclasses.asdict(conf))
    del content["run"]
    return content


def changed_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the keys whose values differ between two nested dicts."""
    changed = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changed += changed_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            changed.append(prefix + key)
    return changed


def _merged(sources: list[Source]) -> dict[str, Any]:
    """These mappings, each laid over those before it."""
    content: dict[str, Any] = {}
    for _, delta in sources:
        merge(content, delta)
    complete_splits(content, read_yaml(CONF_DIR / "base.yaml")["data"]["splits"])
    return content


def _of_other_data(content: dict[str, Any]) -> list[str]:
    """Keys of OF_PREPARE that are given and belong to another way to get data than the one that is named."""
    data = content.get("data") if isinstance(content.get("data"), dict) else {}
    given = {**content, **{f"data.{key}": value for key, value in data.items()}}
    others = set(OF_PREPARE.values()) - {data.get("prepare")}  # with none, either's corpus is taken as it is
    return [key for key, way in OF_PREPARE.items() if given.get(key) and way in others and len(others) == 1]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
