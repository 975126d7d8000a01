"""Studies: the rows of a study file, how they run in parallel and are not repeated, and their table."""

from __future__ import annotations

import json
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.study.rows import Study, StudyRow, flat, read_study, rows_of
from local.study.run import is_finished, run_all
from local.study.table import StudyTable, table_of
from recipe_mtlvae.conf import CONF_DIR
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.shards import Shard, shard_of
from tests.children import PROJECT, child, python, wait_for
from tests.simulated import simulated_run

FILE = """
seeds: [1, 2]
corpora:
  mini: {settings: {mini: {public: 30}}}
against: all
settings: {train: {max_epochs: 3}}
variants:
  all: {title: all four, published: "MTL-VAE, all four tasks"}
  real: {settings: {tasks: [strong_real], train: {max_epochs: 4}}, seeds: [1]}
"""


def study_of(folder: Path, text: str = FILE, soundbanks: tuple[Path, ...] = ()) -> Study:
    (folder / "two.yaml").write_text(text)
    return read_study(folder / "two.yaml", soundbanks)


def rows(folder: Path, text: str = FILE, *settings: str) -> list[StudyRow]:
    return rows_of(study_of(folder, text), settings, folder / "exp")


@pytest.mark.parametrize("file", sorted((CONF_DIR / "study").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_study_has_rows_whose_configurations_load(file, tmp_path):
    study = read_study(file)
    seeds = [len(variant.seeds or study.seeds) for variant in study.variants.values()]
    assert len(rows_of(study, [], tmp_path)) == len(study.corpora) * sum(seeds)


def test_each_variant_and_seed_is_a_row_with_its_own_tag(tmp_path):
    assert [row.folder.name for row in rows(tmp_path)] == ["two-mini-all-1", "two-mini-real-1", "two-mini-all-2"]


def test_settings_come_in_the_order_thread_study_corpus_variant_command_line(tmp_path):
    row = rows(tmp_path, FILE, "train.max_epochs=5")[1]
    assert [word.removeprefix("--set=") for word in row.command if word.startswith("--set=")] == [
        *("train.devices=1", "train.threads=1", "train.max_epochs=3", "mini.public=30"),
        *('tasks=["strong_real"]', "train.max_epochs=4", "train.max_epochs=5", "seed=1"),
    ]


def test_a_nested_mapping_becomes_one_setting_per_value():
    assert list(flat({"a": {"b": None, "c": {}}, "d": [1, "x"]})) == ["a.b=null", "a.c={}", 'd=[1, "x"]']


def test_a_soundbank_is_a_further_corpus_named_after_its_folder(tmp_path):
    (tmp_path / "birds").mkdir()
    study = study_of(tmp_path, soundbanks=(tmp_path / "birds",))
    last = rows_of(study, [], tmp_path)[-1]
    assert last.corpus == "birds" and f"--soundbank={tmp_path / 'birds'}" in last.command


def test_two_rows_with_the_same_tag_are_refused(tmp_path):
    """Variant x-all on mini, and variant all on mini-x."""
    text = FILE.replace("  mini: {", "  mini-x: {}\n  mini: {", 1).replace("  real: {", "  x-all: {")
    with pytest.raises(RecipeError, match="tag 'two-mini-x-all-1': two rows would have it; give other names"):
        rows(tmp_path, text)


def test_two_corpora_with_the_same_name_are_refused(tmp_path):
    folders = [tmp_path / name for name in ("mini", "a/birds", "b/birds")]
    for folder in folders:
        folder.mkdir(parents=True)
    for given in ((folders[0],), tuple(folders[1:])):
        with pytest.raises(RecipeError, match=f"--soundbank: a corpus is called {given[0].name} already"):
            study_of(tmp_path, soundbanks=given)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("against: all", "against: none", r"two\.yaml: against: expected one of all, real; got none"),
        ("[1, 2]", "[1, 1]", r"two\.yaml:2: configuration key 'seeds': expected each once"),
        ("max_epochs: 3", "epochs: 3", r"variant all on mini: .*unknown key 'train\.epochs'"),
        ("MTL-VAE, all", "VAE, all", r"variants\.all\.published: 'VAE, all four tasks' is not in conf/published\.yaml"),
        ("seeds: [1]}", "corpora: [maxi]}", r"variants\.real\.corpora: there is no maxi"),
        ("mini: {", "mini: {soundbank: gone, ", r"gone: corpora\.mini\.soundbank: no such folder"),
        ("real: {", "real: {title: all four, ", r"two\.yaml: variants: two are called 'all four' in the table"),
        ("max_epochs: 4", "max_epochs: 2026-11-26", r"variant real on mini: .*train\.max_epochs.*got '2026-11-26'"),
    ],
)
def test_a_faulty_study_is_refused_before_anything_runs(tmp_path, old, new, words):
    assert old in FILE
    with pytest.raises(RecipeError, match=words):
        rows(tmp_path, FILE.replace(old, new, 1))


def stand_in(folder: Path, name: str, code: str) -> StudyRow:
    """Return a row whose command is a line of Python."""
    return StudyRow("mini", name, 1, (sys.executable, "-c", code), folder / name, "inputs")


def test_a_finished_row_is_run_again_only_with_other_inputs(tmp_path):
    row = stand_in(tmp_path, "once", "open('ran', 'a').write('x')".replace("ran", str(tmp_path / "ran")))
    changed = StudyRow(row.corpus, row.variant, 1, row.command, row.folder, "other inputs")
    for one in (row, row, changed):
        assert run_all([one], 1) == {}
    assert is_finished(changed) and (tmp_path / "ran").read_text() == "xx"


def test_a_failed_row_is_named_with_its_error_and_the_others_go_on(tmp_path, capsys):
    bad = stand_in(tmp_path, "bad", "import sys; sys.exit(print('error: no clips') or 1)")
    good, killed = stand_in(tmp_path, "good", ""), stand_in(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)")
    assert run_all([bad, killed, good], 1) == {bad: "no clips", killed: "signal 9"}
    assert is_finished(good) and not is_finished(bad)
    assert "mini, bad, seed 1: failed: no clips" in capsys.readouterr().out


def test_a_row_that_another_study_is_training_is_named_and_keeps_its_log(tmp_path):
    code = "import os, time\nprint('epoch 1', flush=True)\n"
    code += "for _ in range(3000): os.path.exists({!r}) or time.sleep(0.01)"
    row = stand_in(tmp_path, "both", code.format(str(tmp_path / "seen")))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run_all, [row], 1)
        while not (row.log.exists() and row.log.read_text()):
            time.sleep(0.01)
        second = run_all([row], 1)
        (tmp_path / "seen").touch()
    assert (first.result(), second) == ({}, {row: "another study is training it"})
    assert row.log.read_text() == "epoch 1\n"


def test_jobs_run_in_parallel_on_one_thread_each(tmp_path):
    """Each row waits for the file that the other one writes."""
    code = "import os, sys, time\nopen({0!r}, 'w')\nwhile not os.path.exists({1!r}): time.sleep(0.01)\n"
    code += "sys.exit(os.environ['OMP_NUM_THREADS'] != '1')"
    files = [str(tmp_path / name) for name in ("a", "b")]
    pair = [stand_in(tmp_path, name, code.format(*order)) for name, order in (("x", files), ("y", files[::-1]))]
    assert run_all(pair, 2) == {}


def test_a_row_does_not_take_the_share_of_the_job_array_that_runs_the_study(tmp_path, monkeypatch):
    array = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "3"}
    for name, value in {**array, "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_STEP": "1"}.items():
        monkeypatch.setenv(name, value)
    assert shard_of(None) == Shard(1, 4)
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from recipe_mtlvae.shards import ALL, shard_of; "
    assert run_all([stand_in(tmp_path, "whole", code + "sys.exit(shard_of(None) != ALL)")], 1) == {}


def test_an_interrupted_study_ends_its_rows(tmp_path):
    code = f"""
import sys
from pathlib import Path
from local.study.rows import StudyRow
from local.study.run import run_all
from recipe_mtlvae.errors import exit_code_of
sleep = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
row = StudyRow("mini", "long", 1, (sys.executable, "-c", sleep), Path({str(tmp_path)!r}, "long"), "")
sys.exit(exit_code_of(lambda: run_all([row], 1)))
"""
    log = tmp_path / "long" / "study.log"
    with child(sys.executable, "-c", code, env=python()) as process:
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1
        assert process.stderr.read() == "error: interrupted; run the same command again to continue\n"
    assert not Path("/proc", log.read_text().strip()).exists()


@pytest.fixture
def finished(tmp_path) -> tuple[Study, list[StudyRow]]:
    """Runs of simulated scores: two seeds of all (equal scores) and one of real; 0.036 kWh for seed 1, 0.018 for 2."""
    study, found = study_of(tmp_path), rows(tmp_path)
    for row in found:
        simulated_run(row.folder, seed=1 if row.variant == "all" else 2)
        (row.folder / "energy.json").write_text(json.dumps({"training": {"kwh": 0.036 / row.seed}}))
        (row.folder / "model.json").write_text(json.dumps({"training": {"seconds": 60 * row.seed}}))
    return study, found


def test_the_table_has_means_and_paired_differences_for_each_variant(finished):
    study, found = finished
    ((title, (head, *lines)),) = table_of(study, found, None).sections
    assert title == "mini: Validation, 12 clips"
    assert head == ("", "runs", "PSDS1", "PSDS2", "EB-F1 %", "SB-F1 %", "IB-F1 %", "kWh", "time")
    assert [(line[0], line[1], *line[-2:]) for line in lines] == [
        ("all four", "2", "0.027", "1 min 30 s"),  # (36 + 18) / 2 and (60 + 120) / 2
        ("real", "1", "0.036", "1 min 0 s"),
        ("", "", "", ""),
    ]
    measured = table_of(study, found, None).content["mini"]
    event = [measured["validation"]["systems"][name]["event_f1"] for name in ("all four", "real")]
    assert lines[0][4] == f"{100 * event[0]:.1f} ± 0.0 (32.5)"
    assert lines[1][4] == f"{100 * event[1]:.1f}"
    (pair,) = measured["validation"]["differences"]
    low, high = pair["event_f1"]["interval"]  # all four minus real
    star = "*" * (low > 0 or high < 0)
    assert lines[2][4] == f"{100 * (event[1] - event[0]):+.1f} [{-100 * high:+.1f}, {-100 * low:+.1f}]{star}"
    assert measured["training"]["all four"] == {"kwh": pytest.approx(0.027), "seconds": 90.0}


def test_the_table_can_be_limited_to_select_splits(finished):
    study, found = finished
    for row in found:
        for kind in ("scores", "truth"):
            source = row.folder / (f"{kind}_validation.json" if kind == "truth" else "scores/validation")
            source.rename(source.with_name(source.name.replace("validation", "synthetic_validation")))
    assert [title for title, _ in table_of(study, found, "select").sections] == [
        "mini: Synthetic validation (selection), 12 clips"
    ]
    assert table_of(study, found, "test").sections == ()


def test_markdown_has_one_table_per_split(finished):
    head, rule, first, *_ = table_of(*finished, None).markdown().splitlines()[2:]
    assert head.startswith("|  | runs | PSDS1 |") and rule == "| --- |" + " ---: |" * 8
    assert first.startswith("| all four | 2 |")


def test_a_title_stays_in_its_cell_of_the_markdown_table():
    table = StudyTable((("mini", (("", "runs"), ("with | without", "1"))),), "note", {})
    assert r"| with \| without | 1 |" in table.markdown()


@pytest.mark.slow
def test_the_command_trains_writes_its_table_and_names_what_failed(tmp_path):
    from tests.tiny import make_tiny_corpus, tiny_conf

    make_tiny_corpus(tmp_path / "root", tiny_conf(), stores=False)
    text = """
seeds: [1]
corpora:
  tiny: {data_root: root, settings: {data: {name: tiny, prepare: none, classes: [Beep, Hum], clip_seconds: 2.0}}}
settings: {vae: {hidden: 8}, train: {batch_size: 8, max_epochs: 1, epoch_steps: 1}, postprocess: {median_filter: 3}}
against: all
variants:
  all: {}
  real: {settings: {tasks: [strong_real]}}
"""
    (tmp_path / "two.yaml").write_text(text)
    command = [PROJECT / "local" / "study.sh", "two.yaml", "--exp_dir", "exp", "--jobs", "2"]
    with child(*command, cwd=tmp_path, env=python()) as process:
        out, errors = process.communicate(timeout=400)
    assert process.returncode == 1
    assert "tiny, all, seed 1: done" in out and "1 of 2 rows are finished" in out
    assert "tiny, real, seed 1 failed: no whole batch: the sets have {'strong_real': 6} clips" in errors
    assert "| all | 1 |" in (tmp_path / "exp" / "two.md").read_text()
    assert json.loads((tmp_path / "exp" / "two.json").read_text())["tiny"]["validation"]["role"] == "test"
