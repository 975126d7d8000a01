"""Run the rows of a study as processes: several side by side, each with its own log, all ended together."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from local.study.rows import StudyRow
from recipe_mtlvae.files import read_json, write_json
from recipe_mtlvae.shards import ARRAYS, ENVIRONMENTS

POLL = 0.2  # s
SHARES = {name for names in (*ENVIRONMENTS, *ARRAYS) for name in names}  # not passed on: a row is never divided


def is_finished(row: StudyRow) -> bool:
    """Whether the row has finished with the same inputs."""
    return read_json(_stamp(row)) == {"inputs": row.inputs}


def run_all(rows: Sequence[StudyRow], jobs: int) -> dict[StudyRow, str]:
    """Run the unfinished rows, `jobs` at a time. Return the rows that failed, with the reasons.

    If this function is interrupted, it also ends the rows that are running; run.sh resumes them the next time.
    """
    waiting = [row for row in rows if not is_finished(row)]
    running: dict[StudyRow, tuple[subprocess.Popen, float]] = {}
    failed: dict[StudyRow, str] = {}
    print(f"{len(rows)} rows, {len(rows) - len(waiting)} of them finished before", flush=True)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                row = waiting.pop(0)
                if process := _start(row):
                    running[row] = process, time.monotonic()
                else:
                    failed[row] = "another study is training it"
                    print(f"{row.name}: failed: {failed[row]}", flush=True)
            time.sleep(POLL)
            for row, (process, begun) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[row]
                if process.returncode == 0:
                    write_json(_stamp(row), {"inputs": row.inputs})
                else:
                    failed[row] = _reason(row, process.returncode)
                how = f"failed: {failed[row]}" if row in failed else "done"
                print(f"{row.name}: {how} ({time.monotonic() - begun:.0f} s), {len(waiting)} to begin", flush=True)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.wait()
    return failed


def _start(row: StudyRow) -> subprocess.Popen | None:
    """Start a row's process, which locks its log until it ends. Return None if another study's process has done so."""
    row.folder.mkdir(parents=True, exist_ok=True)
    with row.log.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError:  # a file system without locks
            pass
        log.truncate(0)
        return subprocess.Popen(
            row.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name not in SHARES} | {"OMP_NUM_THREADS": "1"},
            process_group=0,  # so that `run_all` alone passes on Ctrl-C, once
        )


def _reason(row: StudyRow, code: int) -> str:
    lines = row.log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith(("error: ", "run.sh: "))]
    return errors[0] if errors else f"signal {-code}" if code < 0 else f"exit code {code}"


def _stamp(row: StudyRow) -> Path:
    return row.folder / "stages" / "study.json"
