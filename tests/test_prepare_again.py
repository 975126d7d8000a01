"""Stage 0 run a second time, beside another run, and where it cannot write."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recipe_mtlvae.locks import locked
from tests.children import LIMIT, python
from tests.stage0 import options
from tests.tiny import AUDIO, RATE, VALIDATION, append

CLIP = f"{AUDIO}/validation_1.wav"


def test_a_second_run_does_nothing_and_reports_that(root, stage0):
    stage0(root)
    before = {path: path.stat().st_mtime_ns for path in root.glob("features/**/*")}
    outcome = stage0(root)
    assert outcome.code == 0
    assert "is prepared already" in outcome.out
    assert {path: path.stat().st_mtime_ns for path in root.glob("features/**/*")} == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: append(root / VALIDATION, "validation_1.wav\t1.5\t1.75\tHum"),
        lambda root: soundfile.write(root / CLIP, np.ones(RATE), RATE),
        lambda root: soundfile.write(root / "audio/eval/evaluation/new.wav", np.ones(RATE), RATE),
        lambda root: next(root.glob("features/*/weak/index.json")).unlink(),
    ],
)
def test_a_run_after_a_change_is_not_skipped(root, stage0, change):
    stage0(root)
    change(root)
    outcome = stage0(root)
    assert outcome.code == 0
    assert "is prepared already" not in outcome.out


def in_another_process(root: Path, tmp_path: Path, prelude: str = "") -> subprocess.Popen[str]:
    """Start stage 0 in a separate process, after the Python lines `prelude`."""
    code = f"""
import sys
from pathlib import Path
import local.stage
from local import prepare
from recipe_mtlvae.errors import exit_code_of
local.stage.PROJECT = Path({str(tmp_path)!r}) / "project"
{prelude}
sys.exit(exit_code_of(prepare.main))
"""
    command = [sys.executable, "-c", code, *options(root)]
    return subprocess.Popen(command, env=python(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_file_that_cannot_be_completed_is_reported_in_one_line_and_removed(root, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))"
    process = in_another_process(root, tmp_path, limit)
    err = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 1
    errors = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {root}/features/")
    assert errors[0].endswith("part-00000.npy: File too large")
    assert "Traceback" not in err
    assert [path for path in root.glob("features/**/*") if path.is_file()] == []


def test_a_full_disk_is_reported_in_one_line_and_the_next_run_succeeds(root, tmp_path, stage0):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        (root / "features").symlink_to(disk)
        outcome = stage0(root)
        assert outcome.code == 1
        (error,) = outcome.errors
        assert error.startswith(f"{root}/features/")
        assert error.endswith(": No space left on device")
        assert [path for path in disk.glob("**/.*")] == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert stage0(root).code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(root, tmp_path, stage0):
    (root / "features").write_text("a file where the folder should be")
    (error,) = stage0(root).errors
    assert error.startswith(f"{root}/features")
    assert "ot a directory" in error or "File exists" in error


def test_a_second_run_on_the_same_corpus_waits_and_reports_that(root, tmp_path):
    with locked(root / ".lock"):
        process = in_another_process(root, tmp_path)
        line = process.stderr.readline()
        me = rf"process {os.getpid()} on {re.escape(platform.node())} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
        assert re.fullmatch(rf"another run is preparing {re.escape(str(root))} \({me}\): waiting for it to end\n", line)
        time.sleep(0.2)
        assert process.poll() is None
        assert not (root / "features").exists()
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert (root / "features").exists()
