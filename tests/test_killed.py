"""kill -9 at any moment of feature extraction: nothing is lost, and nothing is left half-written."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.children import LIMIT, python
from tests.feature_store import contents

MOMENTS = 6
BUILD = """
import sys
from pathlib import Path
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.inputs import extraction as extract
from recipe_mtlvae.inputs import store_parts
from recipe_mtlvae.corpus.metadata import Clip
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.inputs.store import StoreJob, build_stores
from recipe_mtlvae.shards import shard_of

if __name__ == "__main__":
    audio, store, shard = Path(sys.argv[1]), Path(sys.argv[2]), shard_of(sys.argv[3])
    store_parts.PART_BYTES, extract.FEW = 4 * 2 * 128 * 16, 0
    clips = [Clip(path.name, path, None, None) for path in sorted(audio.iterdir())]
    print("begun", flush=True)
    source = LogMelInput(load_conf(settings=["data.clip_seconds=0.25"]))
    print(build_stores([StoreJob(clips, store)], source, 1, shard)[0].clips)
"""


@pytest.fixture(scope="module")
def audio(tmp_path_factory) -> Path:
    """400 clips, which make 100 parts."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(400):
        soundfile.write(folder / f"{number:03d}.wav", np.random.default_rng(number).uniform(-0.1, 0.1, 4000), 16000)
    return folder


def start(audio: Path, store: Path, shard: str = "0/1") -> subprocess.Popen[str]:
    script = audio.parent / "build.py"
    script.write_text(BUILD)
    command = [sys.executable, str(script), str(audio), str(store), shard]
    return subprocess.Popen(command, env=python(), stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(audio, tmp_path_factory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    assert start(audio, store).communicate(timeout=LIMIT)[0] == "begun\n400\n"
    return contents(store)


def kill_after(process: subprocess.Popen[str], store: Path, written: int, seconds: float) -> None:
    """Kill the process with SIGKILL `seconds` after `written` parts exist, unless it has ended before."""
    assert process.stdout.readline() == "begun\n"
    deadline = time.monotonic() + 120
    while len(list(store.glob("part-*.npy"))) < written and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT)


@pytest.mark.slow
def test_extraction_killed_at_random_moments_ends_in_the_same_bytes(audio, undisturbed, tmp_path):
    chance = random.Random(1)
    for moment in range(MOMENTS):
        process = start(audio, tmp_path / "store")
        kill_after(process, tmp_path / "store", 15 * moment, chance.uniform(0, 0.02))
    assert start(audio, tmp_path / "store").communicate(timeout=LIMIT)[0] == "begun\n400\n"
    assert contents(tmp_path / "store") == undisturbed


@pytest.mark.slow
def test_of_three_parallel_shares_only_the_killed_one_is_repeated(audio, undisturbed, tmp_path):
    store = tmp_path / "store"
    first, second, third = (start(audio, store, f"{index}/3") for index in range(3))
    kill_after(second, store, 10, 0.0)
    ends = [process.communicate(timeout=LIMIT)[0] for process in (first, third)]
    assert ends == ["begun\n0\n", "begun\n0\n"]
    assert start(audio, store, "1/3").communicate(timeout=LIMIT)[0] == "begun\n400\n"
    assert contents(store) == undisturbed
