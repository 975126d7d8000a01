"""A study: the YAML that names variants, seeds and corpora, and the rows that follow from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from local.stage import PROJECT
from recipe_mtlvae.conf import CONF_DIR, conf_to_dict, data_file, load_conf
from recipe_mtlvae.conf_files import read_yaml
from recipe_mtlvae.conf_types import SEEDS, Int, Name, Text, build, must, name_problem, section
from recipe_mtlvae.errors import RecipeError, fail
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.report.runs import read_published

ONE_THREAD = {"train": {"devices": 1, "threads": 1}}  # the figures are the same for any number of rows side by side


Seed = Annotated[Int, Field(ge=0, le=SEEDS)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), must(lambda them: len(set(them)) == len(them), "each once")]
Settings = dict[str, Any]  # a delta over conf/base.yaml


@section
class CorpusOptions:
    """Options of run.sh with the same names. Paths are relative to the study's file."""

    data: Text = "mini"
    data_root: Text | None = None
    soundbank: Text | None = None
    settings: Settings = Field(default_factory=dict)


@section
class Variant:
    title: Text | None = None  # in the table; None: its name
    conf: Text | None = None  # a configuration, relative to the study's file; None: the study's
    settings: Settings = Field(default_factory=dict)
    published: Text | None = None  # the system of conf/published.yaml whose figures stand in parentheses
    seeds: Seeds | None = None  # None: the study's
    corpora: tuple[Name, ...] | None = None  # None: all


@section
class Study:
    name: Name  # stem of the YAML file
    folder: Text  # of the YAML file
    seeds: Seeds
    corpora: dict[Name, CorpusOptions] = Field(min_length=1)
    variants: dict[Name, Variant] = Field(min_length=1)
    against: Name  # the variant that the others are compared with
    conf: Text | None = None  # None: conf/mtlvae.yaml
    settings: Settings = Field(default_factory=dict)  # of all rows

    def title(self, variant: str) -> str:
        return self.variants[variant].title or variant


@dataclass(frozen=True)
class StudyRow:
    """One run of run.sh."""

    corpus: str
    variant: str
    seed: int
    command: tuple[str, ...]
    folder: Path
    inputs: str  # hash of run.sh's options, the seed and the configuration

    @property
    def name(self) -> str:
        return f"{self.corpus}, {self.variant}, seed {self.seed}"

    @property
    def log(self) -> Path:
        return self.folder / "study.log"


def read_study(file: Path, soundbanks: Sequence[Path] = ()) -> Study:
    """Read a study; each folder in `soundbanks` adds a corpus. Raises RecipeError if the study is not valid."""
    content = read_yaml(file)
    study = build(Study, {**content, "name": file.stem, "folder": str(file.resolve().parent)}, [(file, content)])
    published = {system.name for system in read_published()}
    for name, variant in study.variants.items():
        if variant.published is not None and variant.published not in published:
            raise fail(f"variants.{name}.published: {variant.published!r} is not in conf/published.yaml", path=file)
        if unknown := set(variant.corpora or ()) - study.corpora.keys():
            raise fail(f"variants.{name}.corpora: there is no {', '.join(sorted(unknown))}", path=file)
    if study.against not in study.variants:
        raise fail(f"against: expected one of {', '.join(study.variants)}; got {study.against}", path=file)
    titles = [study.title(name) for name in study.variants]
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        raise fail(f"variants: two are called {twice!r} in the table", "runs of one title would be taken as one", file)
    corpora = dict(study.corpora)
    for folder in (folder.resolve() for folder in soundbanks):
        if folder.name in corpora:
            raise fail(f"--soundbank: a corpus is called {folder.name} already", "rename the folder", folder)
        corpora[folder.name] = CorpusOptions(soundbank=str(folder))
    return replace(study, corpora=corpora)


def rows_of(study: Study, settings: Sequence[str], exp_dir: Path) -> list[StudyRow]:
    """Return all rows, grouped by corpus and seed. `settings` are those of --set, which override the file's.

    Raises RecipeError if a folder is missing or a configuration does not load, before anything is trained.
    """
    options = {
        (corpus, name): _options(study, corpus, name, settings)
        for corpus in study.corpora
        for name, variant in study.variants.items()
        if variant.corpora is None or corpus in variant.corpora
    }
    seeds = dict.fromkeys(seed for v in study.variants.values() for seed in v.seeds or study.seeds)
    rows: dict[str, StudyRow] = {}  # by tag
    for corpus in study.corpora:
        for seed in seeds:
            for name, variant in study.variants.items():
                if (corpus, name) in options and seed in (variant.seeds or study.seeds):
                    words, known = options[corpus, name]
                    tag = f"{study.name}-{corpus}-{name}-{seed}"
                    if problem := name_problem(tag):
                        raise fail(f"tag {tag[:80]!r}: {problem}", "give shorter names")
                    if tag in rows:
                        raise fail(f"tag {tag!r}: two rows would have it", "give other names")
                    own = (f"--set=seed={seed}", f"--tag={tag}")
                    command = (str(PROJECT / "run.sh"), "--stop_stage=3", *words, *own, f"--exp_dir={exp_dir}")
                    rows[tag] = StudyRow(corpus, name, seed, command, exp_dir / tag, content_hash(words, seed, known))
    return list(rows.values())


def _options(study: Study, corpus: str, name: str, given: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return run.sh's options for a variant on a corpus, and the configuration that results from them."""
    where, variant = study.corpora[corpus], study.variants[name]
    data = _path(study, where.data) if where.data.endswith((".yaml", ".yml")) else where.data
    conf = Path(_path(study, variant.conf or study.conf or str(CONF_DIR / "mtlvae.yaml")))
    folders = {key: getattr(where, key) for key in ("data_root", "soundbank")}
    folders = {key: _path(study, folder) for key, folder in folders.items() if folder is not None}
    if (soundbank := folders.get("soundbank")) and not Path(soundbank).is_dir():
        raise fail(f"corpora.{corpus}.soundbank: no such folder", path=soundbank)
    deltas = (ONE_THREAD, study.settings, where.settings, variant.settings)
    settings = [*(setting for delta in deltas for setting in flat(delta)), *given]
    try:
        known = conf_to_dict(load_conf(data_file(data), conf, settings=settings))
    except RecipeError as error:
        raise fail(f"variant {name} on {corpus}: {error}") from None
    options = {"conf": conf, "data": data, **folders}
    return [*(f"--{key}={value}" for key, value in options.items()), *(f"--set={one}" for one in settings)], known


def _path(study: Study, path: str) -> str:
    return str(Path(study.folder, path).resolve())


def flat(delta: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a nested mapping as key.path=value. Values are JSON, which YAML reads; dates become text."""
    for key, value in delta.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value, default=str)}"
