"""The sections of the configuration: every key with its type and range. Defaults and units are in conf/."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from recipe_mtlvae.conf_files import shown
from recipe_mtlvae.conf_types import (
    MANY,
    SEEDS,
    Bool,
    Float,
    Int,
    Name,
    PathInRoot,
    Probability,
    Text,
    is_one_line,
    must,
    section,
)
from recipe_mtlvae.countries import COUNTRIES
from recipe_mtlvae.tasks import LOSS_TERMS, TASKS

SEPARATORS = {"tab": "\t", "comma": ","}
LABELS = ("none", "weak", "strong")  # each kind includes the information of the one before
EVALUATION = "evaluation"  # the name of the test split from data.evaluation
TRAINING = "training"  # an entry beside the splits in energy.json
YAMNET_WIDTH, YAMNET_RATE = 256 + 512 + 1024, 16_000  # values per output step; Hz


@section
class TableConf:
    """The format of metadata tables."""

    separator: Literal["tab", "comma"]
    header: Bool


def _are_class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse names that would break a table, the header of a score file or a page."""
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
class SplitConf:
    metadata: PathInRoot
    audio: PathInRoot
    labels: Literal["strong", "weak", "none"]
    role: Literal["train", "select", "test"]  # for training; to choose epoch and thresholds; neither
    task: str | None  # the task that a train split trains

    @model_validator(mode="after")
    def _trains_a_task(self) -> SplitConf:
        if self.role != "train":
            return self
        if self.task not in TASKS:
            raise ValueError(
                f"task: expected one of {', '.join(TASKS)}, which the split trains, got {shown(self.task)}"
            )
        needed = TASKS[self.task].labels
        if LABELS.index(self.labels) < LABELS.index(needed):
            raise ValueError(f"labels: expected {needed}, which task {self.task} learns from, got {self.labels}")
        return self


# Also the name of the split's files and folders
SplitName = Annotated[
    str,
    must(
        lambda name: name not in (EVALUATION, TRAINING) and re.fullmatch(r"\w[\w.-]{0,99}", name),
        f"a name of 1 to 100 letters, digits, '_', '-' and '.', other than {EVALUATION} and {TRAINING}",
    ),
]


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
    splits: dict[SplitName, SplitConf]


@section
class ArchiveConf:
    record: Int = Field(ge=0)
    file: Name


@section
class SplitOriginConf:
    metadata: str  # a key of fetch.archives
    audio: str  # a key of fetch.archives, or audioset


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


ScaleRange = Annotated[
    tuple[Float, Float],
    must(lambda ends: -MANY <= ends[0] < ends[1] <= MANY, "two numbers, the lower one first, as [-1, 1]"),
]


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
# Weights of the terms of Eq. 1; __module__ allows a Conf to be pickled for worker processes
LossConf = section(type("LossConf", (), {"__annotations__": dict.fromkeys(LOSS_TERMS, Weight), "__module__": __name__}))


@section
class AugmentConf:
    mixup: Probability
    mixup_beta: Float = Field(ge=0.01, le=1000)
    mix: Probability
    shift: Probability
    band_gain: Probability
    band_shift: Probability

    def require_no_bands(self, reason: str) -> None:
        """Raise ValueError if bands of the log-mel are to be changed, since the clip's embeddings would not change."""
        for key in ("band_gain", "band_shift"):
            if value := getattr(self, key):
                raise ValueError(f"augment.{key}: expected 0 where {reason}, got {value:g}")


@section
class EncoderConf:
    name: Literal["yamnet", "onnx", "toolkit"]
    weights: str | None
    width: Int = Field(ge=1, le=2**16)
    sample_rate: Int = Field(ge=1000, le=384000)
    frame_rate: Float | None = Field(gt=0, le=10_000)
    first_centre: Float | None = Field(ge=0, le=60)

    @model_validator(mode="after")
    def _is_described(self) -> EncoderConf:
        if self.name == "yamnet" and (self.width, self.sample_rate) != (YAMNET_WIDTH, YAMNET_RATE):
            what = f"expected {YAMNET_WIDTH} at {YAMNET_RATE} Hz, which are YAMNet's"
            raise ValueError(f"width: {what}, got {self.width} at {self.sample_rate} Hz")
        for key in {"onnx": ("weights", "frame_rate", "first_centre"), "toolkit": ("weights",)}.get(self.name, ()):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: expected a value with encoder.name={self.name}, got null")
        return self


@section
class BaselineCheckpointConf:
    scale_range: ScaleRange


Norm = Annotated[Float, must(lambda norm: norm == 0 or 1e-6 <= norm <= MANY, "0, for none, or 1e-06 to 1e+09")]


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
    gradient_clip: Norm
    patience: Int | None = Field(ge=1, le=MANY)
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Int | None = Field(ge=1, le=2**12)
    num_nodes: Int = Field(ge=1, le=2**12)
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    threads: Int | None = Field(ge=1, le=2**12)


@section
class PostprocessConf:
    median_filter: Annotated[Int, must(lambda steps: steps % 2, "an odd number of output steps")] = Field(ge=1, le=9999)
    threshold: Float = Field(gt=0, lt=1)
    method: Literal["median", "bounding_boxes"]
    operating_points: Int = Field(ge=1, le=1000)


@section
class EnergyConf:
    country_iso_code: Annotated[
        str, must(COUNTRIES.__contains__, "the three capital letters of a country (ISO 3166-1 alpha-3)")
    ]
    baseline_devtest_kwh: Float | None = Field(ge=0, le=MANY)
    baseline_eval_kwh: Float | None = Field(ge=0, le=MANY)
    baseline_training_kwh: Float | None = Field(ge=0, le=MANY)


@section
class RunConf:
    """Settings of one process, which are not part of the run's identity."""

    shard: Text | None
