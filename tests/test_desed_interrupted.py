"""Stage 0 for DESED killed at random moments, on a full disk, and twice at once: nothing is lost or half-written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.desed.complete import WORK, complete
from recipe_mtlvae.conf import CONF_DIR, Conf, load_conf
from recipe_mtlvae.errors import RecipeError
from tests.misbehaving_server import Site
from tests.tiny_desed import EVAL, PUBLIC, REAL, add_soundbank, generation, settings, tree


def conf_for(site: Site, *more: str) -> Conf:
    return load_conf(CONF_DIR / "data" / "desed.yaml", settings=[*settings(site), *more])


def start(action: Callable[[], object]) -> int:
    """Run `action` in a forked process and return its process ID. The exit code is 0 if the action returns."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def kill_after(seconds: float, action: Callable[[], object]) -> bool:
    """Start `action`, kill it with SIGKILL after `seconds`, and return whether it was still at work."""
    pid = start(action)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def whole(site: Site, root: Path, conf: Conf) -> tuple[dict[str, str], float]:
    """Return the tree of an undisturbed run, and the seconds that it took."""
    begin = time.monotonic()
    root.mkdir()
    complete(conf, root)
    return tree(root), time.monotonic() - begin


@pytest.mark.slow
def test_a_download_killed_at_random_moments_ends_in_the_same_tree_to_the_byte(site: Site, tmp_path: Path) -> None:
    del site.files[f"/youtube/{REAL['validation'][0][1:12]}"]
    site.always |= {path: "slow" for path in site.files if not path.startswith("/youtube/")}
    site.pause = 0.01  # s per 4 kB, so that the archives take more than a second
    conf = conf_for(site, "fetch.clips_per_second=20", "fetch.clips_at_once=2")
    complete(conf_for(site, "data.splits=[weak]"), _made(tmp_path / "imports"))
    expected, seconds = whole(site, tmp_path / "undisturbed", conf)
    moments = random.Random(0)
    trial = at_work = 0
    while at_work < 10:
        trial += 1
        assert trial <= 20, "it ended before most of the kills"
        root = _made(tmp_path / str(trial))
        for _ in range(2):
            at_work += kill_after(moments.uniform(0, seconds), lambda root=root: complete(conf, root))
        complete(conf, root)
        assert tree(root) == expected
        assert not (root / WORK).exists()


@pytest.mark.slow
def test_a_generation_killed_at_random_moments_ends_in_the_same_tree_to_the_byte(site: Site, tmp_path: Path) -> None:
    add_soundbank(site)
    conf = conf_for(site, *generation(site), "fetch.soundscapes.synthetic_train=40")
    expected, seconds = whole(site, tmp_path / "undisturbed", conf)
    moments = random.Random(0)
    trial = at_work = 0
    while at_work < 2:
        trial += 1
        assert trial <= 6, "it ended before most of the kills"
        root = _made(tmp_path / str(trial))
        at_work += kill_after(moments.uniform(0.2, 0.95) * seconds, lambda root=root: complete(conf, root))
        complete(conf, root)
        assert tree(root) == expected


def _made(root: Path) -> Path:
    root.mkdir()
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    root = _made(tmp_path / "disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield root
    subprocess.run(["umount", str(root)], check=True)


# the archive has about 60 kB, and so have its unpacked files
@pytest.mark.parametrize(("free", "part"), [(30_000, True), (90_000, False)], ids=["download", "unpacking"])
def test_a_full_disk_is_reported_in_one_line_and_the_next_run_resumes(
    free: int, part: bool, site: Site, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "local.desed.complete.require_room", lambda root, needed: None
    )  # as if others filled the disk later
    conf = conf_for(site, "data.splits=[public]")
    (small_disk / "filler").write_bytes(bytes(2**20 - free - 2**13))
    with pytest.raises(RecipeError, match="the disk is full; make room and run the same command again; no file"):
        complete(conf, small_disk)
    assert bool(list((small_disk / WORK).glob("*.part"))) == part
    (small_disk / "filler").unlink()
    site.requests.clear()
    complete(conf, small_disk)
    assert len(tree(small_disk)) == len(PUBLIC) + 1
    ranges = [asked for path, asked in site.requests if path == EVAL]
    assert len(ranges) == part and all(ranges)  # the rest of the download, or nothing


def test_of_two_runs_at_once_the_second_waits_and_fetches_nothing(
    fetch_tree: Callable,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def first_run() -> None:  # shares pytest's file of output, and must not read that of the second run
        monkeypatch.setattr(capfd, "readouterr", lambda: SimpleNamespace(out="", err=""))
        fetch_tree("data.splits=[public]")

    site.always[EVAL], site.pause = "slow", 0.05
    first = start(first_run)
    while not any(path == EVAL for path, _ in site.requests):
        time.sleep(0.01)
    code, said = fetch_tree("data.splits=[public]")
    assert os.waitpid(first, 0)[1] == 0
    assert code == 0, said
    assert "another run is preparing" in said
    assert [path for path, _ in site.requests].count(EVAL) == 1
