"""All stages as a user runs them, on a small mini corpus made with desed and scaper."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local.stage import PROJECT
from local.training.history import read_history

pytestmark = pytest.mark.slow

TAG = "test-end-to-end"
SIZES = {"synthetic_train": 12, "strong_real": 10, "weak": 20, "unlabeled": 10, "synthetic_validation": 4}
SIZES |= {"validation": 8, "public": 4, "evaluation": 4}
SMALL = ["vae.hidden=16", "vae.latent=8", "train.batch_size=8", "train.epoch_steps=2", "train.max_epochs=2"]
SETTINGS = [*SMALL, *(f"mini.{split}={clips}" for split, clips in SIZES.items())]


def run_sh(folder: Path, root: Path, *options: str) -> subprocess.CompletedProcess:
    """Run ./run.sh from another folder, with a relative path to the data."""
    command = [str(PROJECT / "run.sh"), "--tag", TAG, "--exp_dir", "my runs", "--data_root", root.name]
    for setting in SETTINGS:
        command += ["--set", setting]
    command += options  # the last setting of a key counts
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caller with spaces")
    result = run_sh(folder, folder / "my data")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result


@pytest.fixture(scope="module")
def run_dir(finished) -> Path:
    return finished[0] / "my runs" / TAG


def test_all_six_stages_run_and_report_their_end(finished):
    _, result = finished
    for number, name in enumerate(["prepare", "train", "predict", "score", "compare", "submit"]):
        assert f"== stage {number}: {name} done" in result.stdout


def test_the_scores_are_written_with_their_coverage_and_versions(finished, run_dir):
    for file in ("metrics.json", "metrics_public.json"):
        metrics = json.loads((run_dir / file).read_text())
        assert {"psds1", "psds2", "event_f1", "segment_f1", "intersection_f1", "per_class"} <= set(metrics)
        assert set(metrics["tuned"]["thresholds"]) == set(metrics["per_class"])
        assert metrics["coverage"]["scored"] == metrics["coverage"]["expected"]
        assert "sed_scores_eval" in metrics["versions"]


def test_training_and_each_prediction_have_their_own_energy(finished, run_dir):
    energy = json.loads((run_dir / "energy.json").read_text())
    assert set(energy) == {"training", "validation", "public", "evaluation", "synthetic_validation"}
    assert all(phase["kwh"] is None or phase["kwh"] > 0 for phase in energy.values())


def test_the_page_needs_nothing_from_outside(finished, run_dir):
    page = (run_dir / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page


def test_the_package_holds_the_evaluation_set(finished, run_dir):
    package = next((run_dir / "submission").glob("*.zip"))
    with zipfile.ZipFile(package) as content:
        output = next(name for name in content.namelist() if name.endswith(".output.tsv"))
        assert content.read(output).startswith(b"filename\tonset\toffset\tevent_label")
        assert sum("predictions_th_" in name for name in content.namelist()) == 50


def test_a_second_run_repeats_nothing(finished, run_dir):
    folder, _ = finished
    before = {
        path: path.stat().st_mtime_ns
        for path in (run_dir / "best.ckpt", run_dir / "metrics.json", run_dir / "report.html")
    }
    result = run_sh(folder, folder / "my data")
    assert result.returncode == 0, result.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_configuration_under_the_same_tag_is_refused(finished):
    folder, _ = finished
    result = run_sh(folder, folder / "my data", "--set", "train.learning_rate=0.1")
    assert result.returncode == 1
    assert "another train.learning_rate" in result.stderr and "Traceback" not in result.stderr


def test_more_epochs_continue_the_run(finished, run_dir):
    folder, _ = finished
    assert len(read_history(run_dir / "history.csv")) == 2
    result = run_sh(folder, folder / "my data", "--stage", "1", "--stop_stage", "1", "--set", "train.max_epochs=3")
    assert result.returncode == 0, result.stderr
    assert len(read_history(run_dir / "history.csv")) == 3


def test_detect_scores_new_recordings_with_the_runs_checkpoint(finished, run_dir):
    folder, _ = finished
    clips = folder / "my data" / "audio" / "eval" / "evaluation"

    command = [
        sys.executable,
        "-m",
        "recipe_mtlvae",
        "detect",
        "--checkpoint",
        str(run_dir / "best.ckpt"),
        "--out",
        "found",
    ]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [*command, str(clips)], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr
    assert len(list((folder / "found" / "scores").glob("*.tsv"))) == SIZES["evaluation"]
