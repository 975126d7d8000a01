"""Configuration: YAML deltas over conf/base.yaml, checked and frozen into dataclasses.

conf/base.yaml alone holds the defaults and their units; the dataclasses below hold names and types.
An unknown key, a missing key or a wrong type is an error that names file, line and key.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe_mtlvae.conf_files import merge, read_yaml, setting_delta
from recipe_mtlvae.conf_ranges import out_of_range
from recipe_mtlvae.conf_types import build
from recipe_mtlvae.errors import fail
from recipe_mtlvae.systems import SYSTEMS
from recipe_mtlvae.tasks import LOSS_TERMS, TASKS, with_head

CONF_DIR = Path(__file__).resolve().parent.parent / "conf"
SEPARATORS = {"tab": "\t", "comma": ","}
PREPARE = ("mini", "desed", "none")
SYNTHETIC = ("download", "generate")


@dataclass(frozen=True)
class SplitConf:
    metadata: str
    audio: str
    labels: str  # strong | weak | none


@dataclass(frozen=True)
class TableConf:
    """How metadata are written."""

    separator: str  # tab | comma
    header: bool


@dataclass(frozen=True)
class DataConf:
    name: str
    prepare: str
    seed: int
    root: str | None
    soundbank: str | None
    classes: tuple[str, ...] | None
    clip_seconds: float
    synthetic: str  # download | generate
    reuse: tuple[str, ...]
    evaluation: str | None
    skip_bad: bool
    weak_held_out: float
    table: TableConf
    splits: dict[str, SplitConf]


@dataclass(frozen=True)
class ArchiveConf:
    record: int
    file: str


@dataclass(frozen=True)
class SplitOriginConf:
    metadata: str  # a key of fetch.archives
    audio: str  # the same, or audioset


@dataclass(frozen=True)
class FetchConf:
    records: str
    stall_seconds: float
    attempts: int
    longest_wait: float
    clips_at_once: int
    clips_per_second: float
    archives: dict[str, ArchiveConf]
    splits: dict[str, SplitOriginConf]
    soundscapes: dict[str, int]
    occurrences: str | None


@dataclass(frozen=True)
class FeatureConf:
    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    f_min: float
    f_max: float
    amplitude_floor: float
    db_min: float
    db_max: float
    frames_per_step: int


@dataclass(frozen=True)
class VAEConf:
    hidden: int
    layers: int
    latent: int
    variational: bool
    outputs_per_step: int


# Weights of Eq. 1's terms
LossConf = dataclasses.make_dataclass("LossConf", [(term, float) for term in LOSS_TERMS], frozen=True)
LossConf.__module__ = __name__  # so that worker processes can be handed a Conf


@dataclass(frozen=True)
class MeanTeacherConf:
    strong_clips: int
    weak_clips: int
    unlabeled_clips: int
    consistency: float
    warmup_epochs: int
    ema: float
    mixup: float
    mixup_beta: float


@dataclass(frozen=True)
class TrainConf:
    batch_size: int
    max_epochs: int
    epoch_steps: int | None
    learning_rate: float
    gradient_clip: float
    patience: int | None
    accelerator: str
    devices: int | None
    num_nodes: int
    strategy: str
    precision: str
    threads: int | None


@dataclass(frozen=True)
class PostprocessConf:
    median_filter: int
    threshold: float
    operating_points: int


@dataclass(frozen=True)
class EnergyConf:
    country_iso_code: str
    baseline_devtest_kwh: float | None
    baseline_eval_kwh: float | None


@dataclass(frozen=True)
class RunConf:
    """How one process takes part; no part of what the run is."""

    shard: str | None


@dataclass(frozen=True)
class Conf:
    system: str
    seed: int
    data: DataConf
    fetch: FetchConf
    mini: dict[str, int]
    features: FeatureConf
    tasks: tuple[str, ...]
    vae: VAEConf
    loss: LossConf
    mean_teacher: MeanTeacherConf
    train: TrainConf
    postprocess: PostprocessConf
    energy: EnergyConf
    run: RunConf

    def __post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise fail(f"system: expected one of {', '.join(SYSTEMS)}; got {self.system!r}")
        for key, known in (("prepare", PREPARE), ("synthetic", SYNTHETIC)):
            if (value := getattr(self.data, key)) not in known:
                raise fail(f"data.{key}: expected one of {', '.join(known)}; got {value!r}")
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown or len(set(self.tasks)) < len(self.tasks) or not with_head("strong", self.tasks):
            raise fail(f"tasks: expected some of {', '.join(TASKS)}, a strong one among them; got {list(self.tasks)}")
        if not set(needed := SYSTEMS[self.system].tasks) <= set(self.tasks):
            name, wanted = self.system.replace("_", " "), " and ".join(needed)
            raise fail(f"tasks: the {name} wants {wanted} among them; got {list(self.tasks)}")
        if self.data.table.separator not in SEPARATORS:
            raise fail(f"data.table.separator: expected tab or comma; got {self.data.table.separator!r}")
        if problem := out_of_range(dataclasses.asdict(self)):
            raise fail(problem)


def load_conf(*files: Path, settings: list[str] | None = None) -> Conf:
    """base.yaml, then `files` in order, then `key.path=value` settings (values are YAML).

    Raises RecipeError naming the file, line and key at fault.
    """
    content = read_yaml(CONF_DIR / "base.yaml")
    for file in files:
        merge(content, read_yaml(file), file)
    for setting in settings or []:
        merge(content, setting_delta(setting), "--set")
    return build(Conf, content)


def data_file(data: str) -> Path:
    """What `--data` names: mini, desed, or a YAML file."""
    return Path(data) if data.endswith((".yaml", ".yml")) else CONF_DIR / "data" / f"{data}.yaml"


def conf_from_dict(content: dict[str, Any]) -> Conf:
    """The Conf of a nested dict, such as a checkpoint's; keys that came after it was written are as in base.yaml."""
    if not isinstance(content, dict):
        raise fail(f"configuration: expected a mapping, got {content!r}")
    whole = read_yaml(CONF_DIR / "base.yaml")
    whole["data"]["splits"] = {}  # names of the user's, not keys of ours
    merge(whole, content, "configuration")
    return build(Conf, whole)


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
