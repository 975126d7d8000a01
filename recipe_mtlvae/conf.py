"""The schema: every key of a configuration once, with its type and range, and the checks of several values beside them.

The YAML files in conf/ alone hold the defaults and their units. A configuration is base.yaml and YAML deltas over it,
merged, checked and frozen. What is wrong is an error that names file, line and key.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from recipe_mtlvae.conf_files import Source, merge, place_of, read_yaml, setting_delta, shown, with_new_names
from recipe_mtlvae.conf_splits import SplitConf, complete_splits, name_of_split
from recipe_mtlvae.conf_types import MANY, Bool, Float, Int, Probability, build, section
from recipe_mtlvae.errors import fail
from recipe_mtlvae.systems import SYSTEMS, system_module
from recipe_mtlvae.tasks import LOSS_TERMS, TASKS, with_head

_PACKAGED = Path(__file__).resolve().parent / "shipped_conf"  # conf/, where a wheel has it (pyproject.toml)
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent / "conf"
SEPARATORS = {"tab": "\t", "comma": ","}
# Keys of one way to get data, data.prepare, which stand in conf/data/<way>.yaml: other data have none of them
OF_PREPARE = {"fetch": "desed", "data.synthetic": "desed", "data.reuse": "desed", "mini": "mini"}


@section
class TableConf:
    """How metadata are written."""

    separator: Literal["tab", "comma"]
    header: Bool


@section
class DataConf:
    name: str
    prepare: Literal["mini", "desed", "none"]
    seed: Int
    root: str | None
    soundbank: str | None
    classes: tuple[str, ...] | None
    clip_seconds: Float = Field(ge=0, le=3600)
    synthetic: Literal["download", "generate"] | None = None
    reuse: tuple[str, ...] = ()
    evaluation: str | None
    skip_bad: Bool
    weak_held_out: Float = Field(ge=0, le=0.9)
    table: TableConf
    splits: dict[Annotated[str, AfterValidator(name_of_split)], SplitConf]


@section
class ArchiveConf:
    record: Int
    file: str


@section
class SplitOriginConf:
    metadata: str  # a key of fetch.archives
    audio: str  # the same, or audioset


@section
class FetchConf:
    records: str
    stall_seconds: Float = Field(ge=0.01, le=3600)
    attempts: Int = Field(ge=1, le=1000)
    longest_wait: Float = Field(ge=0, le=86400)
    clips_at_once: Int = Field(ge=1, le=64)
    clips_per_second: Float = Field(ge=0.001, le=1000)
    archives: dict[str, ArchiveConf]
    splits: dict[str, SplitOriginConf]
    soundscapes: dict[str, Int]
    occurrences: str | None


def _rises(bounds: tuple[float, float]) -> tuple[float, float]:
    if not -MANY <= bounds[0] < bounds[1] <= MANY:
        raise ValueError("expected two numbers, the lower one first, as [-1, 1]")
    return bounds


ScaleRange = Annotated[tuple[Float, Float], AfterValidator(_rises)]


@section
class FeatureConf:
    sample_rate: Int = Field(ge=1000, le=384000)
    n_fft: Int = Field(ge=16, le=2**20)
    hop_length: Int = Field(ge=1, le=2**20)
    n_mels: Int = Field(ge=1, le=2**12)
    f_min: Float
    f_max: Float
    amplitude_floor: Float
    db_min: Float
    db_max: Float
    scale_range: ScaleRange
    frames_per_step: Int = Field(ge=1, le=2**10)


Weight = Annotated[Float, Field(ge=0)]
# Weights of Eq. 1's terms; the module's name lets worker processes be handed a Conf
LossConf = section(type("LossConf", (), {"__annotations__": dict.fromkeys(LOSS_TERMS, Weight), "__module__": __name__}))


@section
class AugmentConf:
    mixup: Probability
    mixup_beta: Float = Field(ge=1e-06, le=MANY)
    mix: Probability
    shift: Probability
    band_gain: Probability


@section
class BaselineCheckpointConf:
    scale_range: ScaleRange


@section
class TrainConf:
    batch_size: Int = Field(ge=1, le=MANY)
    max_epochs: Int = Field(ge=1, le=MANY)
    epoch_steps: Int | None = Field(ge=1, le=MANY)
    shares: dict[str, Annotated[Int, Field(ge=1, le=MANY)]] | None
    learning_rate: Float = Field(ge=1e-12, le=10)
    weight_decay: Float = Field(ge=0, le=1)
    schedule: Literal["constant", "cosine"]
    weight_average: Float = Field(ge=0, lt=1)
    gradient_clip: Float = Field(ge=0, le=MANY)
    patience: Int | None = Field(ge=1, le=MANY)
    accelerator: str
    devices: Int | None = Field(ge=1, le=2**12)
    num_nodes: Int = Field(ge=1, le=2**12)
    strategy: str
    precision: str
    threads: Int | None = Field(ge=1, le=2**12)


@section
class PostprocessConf:
    median_filter: Int = Field(ge=1, le=9999)
    threshold: Float = Field(ge=0, le=1)
    operating_points: Int = Field(ge=1, le=1000)

    @field_validator("median_filter")
    @classmethod
    def _is_odd(cls, steps: int) -> int:
        if steps % 2 == 0:
            raise ValueError("expected an odd number of output steps")
        return steps


@section
class EnergyConf:
    country_iso_code: str
    baseline_devtest_kwh: Float | None
    baseline_eval_kwh: Float | None
    baseline_training_kwh: Float | None


@section
class RunConf:
    """How one process takes part; no part of what the run is."""

    shard: str | None


@section
class Conf:
    system: str
    seed: Int
    data: DataConf
    fetch: FetchConf | None = None
    mini: dict[str, Annotated[Int, Field(ge=0)]] | None = None
    features: FeatureConf
    tasks: tuple[str, ...]
    # Each system's own section, which its module in nets/ describes
    __annotations__.update({system.section: system_module(name).Section for name, system in SYSTEMS.items()})
    loss: LossConf
    baseline_checkpoint: BaselineCheckpointConf
    augment: AugmentConf
    train: TrainConf
    postprocess: PostprocessConf
    energy: EnergyConf
    submission: str
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
