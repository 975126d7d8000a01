"""What every stage shares: the options, the resolved configuration, the folders, and what is already done."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from recipe_mtlvae.commands.option_types import add_settings
from recipe_mtlvae.conf import CONF_DIR, Conf, changed_keys, conf_from_dict, conf_to_dict, data_file, load_conf
from recipe_mtlvae.conf_files import read_yaml
from recipe_mtlvae.conf_types import name_problem
from recipe_mtlvae.corpus.splits import Corpus
from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import content_hash, read_json, write_json, write_text
from recipe_mtlvae.inputs.registry import input_names
from recipe_mtlvae.locks import locked
from recipe_mtlvae.machine import is_rank_zero
from recipe_mtlvae.shards import ALL, Shard, shard_of
from recipe_mtlvae.systems import SYSTEMS

PROJECT = CONF_DIR.parent
# Keys that training does not read: how data is fetched or made, where it lies, where the work runs, and what later
# stages do. They may change under a tag without a new training; a later stage runs again if its inputs' hash changes
NOT_TRAINED_ON = (
    *("fetch", "mini", "baseline_checkpoint", "postprocess", "energy", "submission"),
    *(f"data.{key}" for key in ("root", "prepare", "synthetic", "reuse", "evaluation")),
    "encoder.weights",  # a path; stores are named by the hash of the weights themselves
    "data.skip_bad",  # set once stage 0 has listed the faults; training itself refuses to continue with other clips
    *(f"train.{key}" for key in ("accelerator", "devices", "num_nodes", "strategy", "threads")),
)
# These may change too, and training continues: an equal_epochs baseline can become a converged one
LENGTH = ("train.max_epochs", "train.patience")
SHARDED = (0, 2)  # stages whose work run.shard divides
# How long --baseline trains the baseline
BASELINES = {
    "equal_epochs": ["train.max_epochs={max_epochs}"],
    "converged": ["train.max_epochs=200", "train.patience=20"],
}


@dataclass(frozen=True)
class Stage:
    """One stage of one run: its configuration and its folders."""

    number: int
    conf: Conf
    root: Path  # the corpus, in DESED's layout
    run_dir: Path  # <exp_dir>/<tag>
    official_checkpoint: Path | None = None  # predict with the toolkit's own weights, instead of the run's
    runs: tuple[str, ...] = ()  # tags that --run names, for the package
    shard: Shard = ALL  # this process's share of a stage in SHARDED

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus(self.conf, self.root)

    def done(self, inputs: Any) -> bool:
        """Whether this stage ran to its end with these same inputs (any JSON-able value)."""
        return read_json(self._stamp) == {"inputs": content_hash(inputs)}

    def mark_done(self, inputs: Any) -> None:
        write_json(self._stamp, {"inputs": content_hash(inputs)})

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Write conf.yaml to the run's folder, and keep other runs from writing there within the block.

        Shares of one stage, and processes that train together, count as one run. Raises RecipeError if another run
        holds the folder.
        """
        if self.shard.count == 1 and not is_rank_zero():  # the first of several processes holds the folder
            yield
            return
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with locked(self.run_dir / ".lock", self._is_busy, together=self.shard.count > 1):
            content = yaml.safe_dump(conf_to_dict(self.conf), sort_keys=False, allow_unicode=True)
            write_text(self.run_dir / "conf.yaml", content)
            yield

    def _is_busy(self, holder: str) -> None:
        raise fail(
            f"another run is at work here: {holder}", "wait for its end, or give --tag another name", self.run_dir
        )

    def system_dirs(self) -> dict[str, Path]:
        """Return the folder of each network's scores: the run's own for the first, one below it for a teacher."""
        first, *others = SYSTEMS[self.conf.system].networks
        return {first: self.run_dir} | {network: self.run_dir / network for network in others}

    @property
    def _stamp(self) -> Path:
        return self.run_dir / "stages" / f"{self.number}.json"


def trained_on(conf: Conf) -> dict[str, Any]:
    """Return the configuration without NOT_TRAINED_ON and the test splits, which training does not read."""
    return _trained_on(conf_to_dict(conf))


def open_stage(number: int, description: str, argv: list[str] | None = None) -> Stage:
    """Parse the options that all stages take, and return the stage.

    Nothing is written to the run's folder. Raises RecipeError with the keys that differ if the tag holds a run of
    another configuration.
    """
    options = _parser(description).parse_args(argv)
    conf = _resolve(options, Path(options.conf), options.settings)
    root = Path(options.data_root or conf.data.root or _made_root(conf)).resolve()
    tag = options.tag if options.tag is not None else f"{Path(options.conf).stem}-{conf.data.name}"
    for option, name in (("tag", tag), *(("run", name) for name in options.runs)):
        if problem := name_problem(name):
            raise fail(f"--{option} {name[:80]!r}: {problem}")
    if options.as_baseline:
        conf, tag = _baseline_of(conf, options), baseline_tag(tag)
    official = options.as_official and Path(options.as_official)
    if official:
        conf, tag = _baseline_of(conf, options), official_tag(tag)
    if conf.run.shard and number not in SHARDED:
        what = f"run.shard={conf.run.shard}: only stages 0 and 2 are done in shares"
        raise fail(what, "give it with --stage 0 --stop_stage 0, or 2; training takes train.devices")
    shard = shard_of(conf.run.shard) if number in SHARDED else ALL
    stage = Stage(number, conf, root, Path(options.exp_dir).resolve() / tag, official, tuple(options.runs), shard)
    _refuse_other_conf(stage)
    return stage


def baseline_tag(tag: str) -> str:
    """The tag of the baseline that --baseline trains beside the run `tag`."""
    return f"{tag}-baseline"


def official_tag(tag: str) -> str:
    """The tag of the official checkpoint that --baseline_checkpoint scores beside the run `tag`."""
    return f"{tag}-official"


def _parser(description: str) -> argparse.ArgumentParser:
    epilog = "./run.sh --help describes the options that run.sh passes to every stage."
    parser = argparse.ArgumentParser(description=description, epilog=epilog, allow_abbrev=False)
    parser.add_argument("--conf", default=str(CONF_DIR / "mtlvae.yaml"))
    parser.add_argument("--data", default="mini")
    parser.add_argument("--exp_dir", default=str(PROJECT / "exp"))
    for option in ("--data_root", "--soundbank", "--tag", "--submission"):
        parser.add_argument(option)
    parser.add_argument("--run", dest="runs", action="append", default=[], metavar="TAG")
    parser.add_argument("--as_baseline", choices=tuple(BASELINES), help="the same stage for the baseline of this run")
    parser.add_argument("--as_official", metavar="FILE", help="the same stage for the toolkit's own checkpoint")
    add_settings(parser)
    return parser


def _baseline_of(conf: Conf, options: argparse.Namespace) -> Conf:
    """Return the configuration of the system's baseline on the same data, trained as long as --as_baseline says."""
    length = [setting.format(max_epochs=conf.train.max_epochs) for setting in BASELINES.get(options.as_baseline, [])]
    return _resolve(options, CONF_DIR / f"{SYSTEMS[conf.system].baseline}.yaml", [*options.settings, *length])


def _resolve(options: argparse.Namespace, delta: Path, settings: list[str]) -> Conf:
    """Return the configuration of the options and the file `delta`. `settings` override these, except --submission."""
    if options.soundbank:
        folder = Path(options.soundbank).resolve()
        if not folder.is_dir():
            raise fail("--soundbank: no such folder", path=options.soundbank)
        # the classes of this corpus are the recordings' labels, not those of the synthesised sounds
        soundbank = [
            f"data.soundbank={json.dumps(str(folder))}",
            f"data.name={json.dumps(folder.name)}",
            "data.classes=null",
        ]
        settings = [*soundbank, *settings]
    if options.submission:
        is_file = options.submission.endswith((".yaml", ".yml"))
        named = str(Path(options.submission).resolve()) if is_file else options.submission
        settings = [*settings, f"submission={json.dumps(named)}"]
    conf = load_conf(data_file(options.data), delta, settings=settings)
    if "embeddings" in input_names(conf):
        conf = replace(conf, encoder=replace(conf.encoder, weights=str(_encoder_weights(conf))))
    return conf


def _encoder_weights(conf: Conf) -> Path:
    if conf.encoder.weights is not None:
        return Path(conf.encoder.weights).resolve()
    from local.encoder_weights import yamnet_weights

    return yamnet_weights(PROJECT / "data" / "encoders" / conf.encoder.name)


def _made_root(conf: Conf) -> Path:
    if conf.data.prepare != "mini":
        raise fail(f"--data {conf.data.name} needs the folder of the corpus", "give --data_root DIR")
    from local.mini.corpus import corpus_key  # only where a corpus is made

    return PROJECT / "data" / f"{conf.data.name}-{corpus_key(conf)}"


def _refuse_other_conf(stage: Stage) -> None:
    """Raise RecipeError if the tag holds checkpoints or scores of another configuration."""
    file = stage.run_dir / "conf.yaml"
    begun = (stage.run_dir / "checkpoints").exists() or (stage.run_dir / "scores").exists()
    if begun and file.exists():
        earlier = conf_to_dict(conf_from_dict(read_yaml(file), file))  # keys added since then have their defaults
        changed = changed_keys(*(_without(LENGTH, _trained_on(conf)) for conf in (earlier, conf_to_dict(stage.conf))))
        if changed:
            what = f"this tag holds a run with another {', '.join(changed)}"
            raise fail(what, "give --tag another name, or move the folder away", stage.run_dir)


def _without(keys: Collection[str], content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dict without these dotted keys."""
    return {
        name: _without(keys, value, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in content.items()
        if prefix + name not in keys
    }


def _trained_on(content: dict[str, Any]) -> dict[str, Any]:
    tests = [f"data.splits.{name}" for name, split in content["data"]["splits"].items() if split["role"] == "test"]
    return _without((*NOT_TRAINED_ON, *tests), content)
