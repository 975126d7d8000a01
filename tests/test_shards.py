"""Work shared by processes: the share of each, and that all together write the same as one process."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from local import predict
from local.prediction import shares
from local.stage import Stage, open_stage
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.store import Store, StoreJob, StoreReport, build_stores
from recipe_mtlvae.nets.checkpoint import build_network, recipe_entry
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from recipe_mtlvae.shards import ALL, Shard, shard_of
from tests.feature_store import contents
from tests.tiny import make_tiny_corpus, tiny_conf

TORCHRUN = {"RANK": "2", "WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}


def test_shares_are_disjoint_complete_and_even():
    shares = [Shard(index, 3).take(range(8)) for index in range(3)]
    assert [list(share) for share in shares] == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_the_setting_overrides_the_environment():
    assert shard_of("3/16", TORCHRUN | SRUN) == Shard(3, 16)


def test_the_share_follows_from_the_variables_of_torchrun_or_srun():
    assert shard_of(None, TORCHRUN) == Shard(2, 4)
    assert shard_of(None, SRUN) == Shard(5, 8)


def test_without_setting_and_variables_the_share_is_everything():
    assert shard_of(None, {}) == ALL == Shard(0, 1)


def array(*values: int, count: int | None = None) -> dict[str, str]:
    names = dict(zip(("ID", "MIN", "MAX", "STEP"), map(str, values), strict=True))
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in (names | {"COUNT": str(count)}).items()}


def test_a_task_of_a_job_array_is_a_share():
    assert shard_of(None, array(5, 1, 9, 2, count=5)) == Shard(2, 5)
    engine = {"SGE_TASK_ID": "3", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "16", "SGE_TASK_STEPSIZE": "1"}
    assert shard_of(None, engine) == Shard(2, 16)
    assert shard_of(None, dict.fromkeys(engine, "undefined")) == ALL  # a job that is no array


def test_processes_of_a_task_of_a_job_array_divide_its_share():
    shares = [
        shard_of(None, array(task, 0, 1, 1, count=2) | {"RANK": rank, "WORLD_SIZE": "3"})
        for task in (0, 1)
        for rank in "012"
    ]
    assert shares == [Shard(index, 6) for index in range(6)]


def test_a_task_that_is_submitted_again_alone_does_all_that_is_missing():
    assert shard_of(None, array(5, 5, 5, 1, count=1)) == ALL


def test_a_job_array_with_holes_is_refused_unless_run_shard_is_given():
    with pytest.raises(RecipeError, match="a job array with holes"):
        shard_of(None, array(3, 1, 7, 1, count=3))
    assert shard_of("0/1", array(3, 1, 7, 1, count=3)) == ALL


def test_a_batch_script_outside_srun_is_no_share_even_with_many_tasks():
    assert shard_of(None, {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}) == ALL


@pytest.mark.parametrize("text", ["16/16", "3", "3/0", "-1/4", "a/b", "1/2/3", ""])
def test_an_invalid_share_is_refused(text):
    with pytest.raises(RecipeError, match=r"run\.shard: expected i/n with i from 0 to n - 1, such as 3/16; got"):
        shard_of(text, {})


# ---- the feature store ----


@pytest.fixture
def clips(tmp_path, monkeypatch) -> list[Clip]:
    """20 clips, three in each part."""
    monkeypatch.setattr(store_parts, "PART_BYTES", 3 * 2 * 128 * 16)
    (tmp_path / "audio").mkdir()
    found = []
    for number in range(20):
        path = tmp_path / "audio" / f"{number:02d}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(4000), 16000)
        found.append(Clip(path.name, path, None, None))
    return found


def build(clips: list[Clip], folder: Path, shard: Shard = ALL) -> StoreReport:
    source = LogMelInput(load_conf(settings=["data.clip_seconds=0.25"]))
    return build_stores([StoreJob(clips, folder)], source, 1, shard)[0]


def test_shares_of_a_store_make_the_bytes_of_one_process_and_the_last_writes_the_index(clips, tmp_path):
    build(clips, tmp_path / "one")
    reports = [build(clips, tmp_path / "many", Shard(index, 3)) for index in (2, 0, 1)]
    assert [report.waiting for report in reports] == [14, 6, 0]  # parts 2 and 5; 0, 3 and 6; 1 and 4
    assert [report.clips for report in reports] == [0, 0, 20]
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_only_a_lost_share_is_repeated_and_nothing_else_is_written(clips, tmp_path):
    build(clips, tmp_path / "one")
    for index in (0, 2):
        build(clips, tmp_path / "many", Shard(index, 3))
    (tmp_path / "many" / ".part-00001.npy.lost").write_bytes(b"half")  # left by the killed share
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "many").glob("part-*")}
    assert build(clips, tmp_path / "many", Shard(1, 3)).clips == 20
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_a_share_keeps_the_file_that_another_is_writing(clips, tmp_path):
    (tmp_path / "many").mkdir()
    theirs = tmp_path / "many" / ".part-00001.npy.live"
    theirs.write_bytes(b"half")
    build(clips, tmp_path / "many", Shard(0, 3))
    assert theirs.exists()


def test_a_call_without_shares_does_what_shares_have_left(clips, tmp_path):
    build(clips, tmp_path / "one")
    build(clips, tmp_path / "many", Shard(1, 3))
    assert build(clips, tmp_path / "many").clips == 20
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_another_number_of_shares_continues_with_the_existing_parts(clips, tmp_path):
    build(clips, tmp_path / "one")
    build(clips, tmp_path / "many", Shard(1, 3))
    for index in range(2):
        report = build(clips, tmp_path / "many", Shard(index, 2))
    assert report.clips == 20
    one, many = Store.open(tmp_path / "one"), Store.open(tmp_path / "many")
    np.testing.assert_array_equal(one.read(range(20)), many.read(range(20)))


def test_shares_are_even_over_all_the_stores_of_a_corpus(clips, tmp_path):
    """Five stores of four clips have two parts each; every share writes three or four of the ten parts."""
    jobs = [StoreJob(clips[start : start + 4], tmp_path / str(start)) for start in range(0, 20, 4)]
    written = []
    for index in range(3):
        build_stores(jobs, LogMelInput(load_conf(settings=["data.clip_seconds=0.25"])), 1, Shard(index, 3))
        written.append(len(list(tmp_path.glob("*/part-*.npy"))))
    assert written == [4, 7, 10]


def test_a_bad_clip_is_reported_by_its_share_and_by_the_final_call(clips, tmp_path):
    clips[4].path.write_text("no audio")
    reports = [build(clips, tmp_path / "many", Shard(index, 3)) for index in range(3)]
    assert [len(report.faults) for report in reports] == [0, 1, 0]
    report = build(clips, tmp_path / "many")
    assert (report.clips, len(report.faults)) == (0, 1)


def test_a_part_that_does_not_belong_to_its_rows_is_made_again(clips, tmp_path):
    build(clips, tmp_path / "one")
    whole = contents(tmp_path / "one")
    build(clips[3:], tmp_path / "other")
    crossed = tmp_path / "one" / "part-00000.npy"
    crossed.write_bytes((tmp_path / "other" / "part-00000.npy").read_bytes())
    (tmp_path / "one" / "index.json").unlink()
    build(clips, tmp_path / "one")
    assert contents(tmp_path / "one") == whole


# ---- score folders ----


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Stage:
    """A run with a checkpoint on a corpus of 40 validation clips, which are two blocks."""
    folder = tmp_path_factory.mktemp("run")
    conf = tiny_conf()
    root = make_tiny_corpus(folder / "corpus", conf, counts={"validation": 40})
    net = build_network(conf, len(conf.data.classes))
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    recipe = recipe_entry(conf, conf.data.classes)
    (folder / "exp").mkdir()
    torch.save({"state_dict": weights, "epoch": 0, "global_step": 1, "recipe": recipe}, folder / "exp" / "best.ckpt")
    return Stage(2, conf, root, folder / "exp")


def run_stage_2(stage: Stage, shard: Shard, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run stage 2 in `folder`, with the checkpoint of the run."""
    folder.mkdir(exist_ok=True)
    if not (folder / "best.ckpt").exists():
        os.link(stage.run_dir / "best.ckpt", folder / "best.ckpt")
    monkeypatch.setattr(predict, "open_stage", lambda number, description: replace(stage, run_dir=folder, shard=shard))
    predict.main()


def scores_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "scores").rglob("*.tsv"))}


def test_shares_of_a_prediction_write_the_bytes_of_one_process(trained, tmp_path, monkeypatch):
    run_stage_2(trained, ALL, tmp_path / "one", monkeypatch)
    for index in (1, 2, 0):
        assert not (tmp_path / "many" / "scores" / "validation").exists()
        run_stage_2(trained, Shard(index, 3), tmp_path / "many", monkeypatch)
    assert scores_of(tmp_path / "many") == scores_of(tmp_path / "one")
    assert len(read_scores(tmp_path / "many" / "scores" / "validation").clips) == 40
    for name in ("model.json", "latents.npz", "stages/2.json"):
        assert (tmp_path / "many" / name).exists()


def test_only_a_share_that_failed_is_repeated(trained, tmp_path, monkeypatch):
    run_stage_2(trained, ALL, tmp_path / "one", monkeypatch)
    run_stage_2(trained, Shard(1, 2), tmp_path / "many", monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "many").rglob("*.tsv")}
    assert len(before) == 8  # the second block of validation
    with monkeypatch.context() as broken:
        broken.setattr(shares, "write_scores", failing_after(20))
        with pytest.raises(OSError, match="No space left"):
            run_stage_2(trained, Shard(0, 2), tmp_path / "many", broken)
    assert not [path for path in (tmp_path / "many" / "scores").iterdir() if not path.name.startswith(".")]
    run_stage_2(trained, Shard(0, 2), tmp_path / "many", monkeypatch)
    assert scores_of(tmp_path / "many") == scores_of(tmp_path / "one")
    kept = tmp_path / "many" / "scores" / "validation"
    assert {(kept / path.name).stat().st_mtime_ns for path in before} == set(before.values())


def failing_after(calls: int):
    left = iter(range(calls))

    def write(*arguments) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        write_scores(*arguments)

    return write


def test_a_share_at_work_is_waited_for_and_its_energy_is_counted(trained, tmp_path, monkeypatch):
    run_stage_2(trained, Shard(0, 2), tmp_path / "many", monkeypatch)
    for folder in (tmp_path / "many" / "scores").glob(".*"):
        (folder / ".busy-1-2").touch()
    run_stage_2(trained, Shard(0, 2), tmp_path / "many", monkeypatch)
    assert not (tmp_path / "many" / "model.json").exists()
    run_stage_2(trained, Shard(1, 2), tmp_path / "many", monkeypatch)
    energy = json.loads((tmp_path / "many" / "energy.json").read_text())
    assert energy["validation"]["seconds"] > 0
    assert (tmp_path / "many" / "model.json").exists()


def test_a_killed_final_step_is_completed_by_a_call_without_shares(trained, tmp_path, monkeypatch):
    run_stage_2(trained, ALL, tmp_path / "one", monkeypatch)
    scores = tmp_path / "one" / "scores" / "public"
    key = (scores / ".inputs").read_text()
    whole = scores_of(tmp_path / "one")
    scores.rename(scores.with_name(f".public-{key}.whole"))
    (tmp_path / "one" / "stages" / "2.json").unlink()
    run_stage_2(trained, ALL, tmp_path / "one", monkeypatch)
    assert scores_of(tmp_path / "one") == whole


def test_scores_of_other_inputs_are_replaced_and_leave_nothing(trained, tmp_path, monkeypatch):
    stale = tmp_path / "one" / "scores" / ".public-0123456789ab"
    begun = tmp_path / "one" / "scores" / ".public-2-0123456789ab"  # of another split
    for folder in (stale, begun):
        folder.mkdir(parents=True)
    (tmp_path / "one" / "scores" / "public").mkdir()
    (tmp_path / "one" / "scores" / "public" / "old.tsv").touch()
    run_stage_2(trained, ALL, tmp_path / "one", monkeypatch)
    assert sorted(path.name for path in (tmp_path / "one" / "scores").iterdir()) == [
        begun.name,
        "evaluation",
        "public",
        "synthetic_validation",
        "validation",
    ]
    assert not (tmp_path / "one" / "scores" / "public" / "old.tsv").exists()


def test_only_stages_0_and_2_are_done_in_shares(tmp_path):
    with pytest.raises(RecipeError, match=r"run\.shard=0/2: only stages 0 and 2 are done in shares"):
        open_stage(1, "", ["--data_root", str(tmp_path), "--set", "run.shard=0/2"])
