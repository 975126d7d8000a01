"""Fixtures that several test files share."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from markupsafe import Markup

import local.stage
from local import prepare
from recipe_mtlvae import __main__ as command_line
from recipe_mtlvae.errors import exit_code_of
from recipe_mtlvae.report import data_plots
from recipe_mtlvae.report.comparison import measuring
from recipe_mtlvae.submission.profile import Profile
from tests.fake_tracker import FakeTracker
from tests.misbehaving_server import Site, serve
from tests.packable import filled_profile
from tests.reported import html_conf, make_run
from tests.stage0 import Outcome, options
from tests.tiny import make_tiny_corpus, recording, save_tiny_checkpoint, tiny_conf
from tests.tiny_desed import YoutubeDL, make_site, settings

# A shell starts background jobs with these signals ignored, and their children inherit that. With a handler here, the
# signals have their default action in the children.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the archives with Ray and kills, which take minutes on two cores, unless `-m slow_archive` is given."""
    if "slow_archive" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if "slow_archive" in item.keywords])
        items[:] = [item for item in items if "slow_archive" not in item.keywords]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus without stores; not to be changed."""
    return make_tiny_corpus(tmp_path_factory.mktemp("made"), tiny_conf(), stores=False)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus with its features; not to be changed."""
    return make_tiny_corpus(tmp_path_factory.mktemp("stored"), tiny_conf())


@pytest.fixture(scope="session")
def html_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus with its features, with a class name that is HTML; not to be changed."""
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), html_conf())


@pytest.fixture(scope="session")
def html_run(html_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on html_corpus that can be reported; not to be changed."""
    return make_run(tmp_path_factory.mktemp("exp") / "my <b>run", html_corpus)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus, to be damaged."""
    return shutil.copytree(made, tmp_path / "corpus")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights for the tiny corpus; not to be changed."""
    return save_tiny_checkpoint(tmp_path_factory.mktemp("run") / "best.ckpt")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of YAMNet's weights, random ones; not to be changed."""
    import torch

    from recipe_mtlvae.inputs.encoders.yamnet import YAMNet
    from tests.test_yamnet import keras_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "yamnet.h5"
    keras_file(path, YAMNet())
    return path


@pytest.fixture
def scan(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run detect-archive into tmp_path / "out" and return the exit code; every class is found everywhere."""

    def run(*arguments: object, checkpoint: Path = checkpoint) -> int:
        options = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--threshold", "0.1", *arguments]
        monkeypatch.setattr(sys, "argv", ["recipe_mtlvae", "detect-archive", *map(str, options)])
        return command_line.main()

    return run


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three recordings of 1, 2 and 3 s."""
    for number in (1, 2, 3):
        recording(tmp_path / "in" / f"{number}.wav", number)
    return tmp_path / "in"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the charts of a data report by their titles: laying them out takes most of the time of stage 0."""
    monkeypatch.setattr(data_plots, "svg", lambda figure, title: Markup("<svg>{}</svg>").format(title))


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace codecarbon's tracker by FakeTracker, or by the class that the fixture is called with; unset all ranks."""
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.delenv(name, raising=False)

    def install(cls: type = FakeTracker) -> None:
        monkeypatch.setitem(sys.modules, "codecarbon", SimpleNamespace(OfflineEmissionsTracker=cls))

    install()
    return install


@pytest.fixture
def energy_file(tmp_path: Path) -> Path:
    """The path to which the energy of a run's phases is written; the file does not exist yet."""
    return tmp_path / "run" / "energy.json"


@pytest.fixture
def profile() -> Profile:
    """The shipped submission profile, filled in for the tiny corpus."""
    return filled_profile()


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute intervals from 200 resamples instead of 1000, for speed; test_intervals.py tests their widths."""
    monkeypatch.setattr(measuring, "draw", partial(measuring.draw, samples=200))


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Headless Chromium; tests that use it are skipped if it is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (tests/requirements.txt)")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments.append("--autoplay-policy=no-user-gesture-required")
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def published() -> Site:
    """A tiny DESED as it is on the internet; not to be changed."""
    return make_site()


@pytest.fixture
def site(published: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a copy of `published`, which the test may damage."""
    fresh = Site(files=dict(published.files), records={n: dict(files) for n, files in published.records.items()})
    with serve(fresh):
        monkeypatch.setenv("TINY_YOUTUBE", fresh.address)
        monkeypatch.setattr("yt_dlp.YoutubeDL", YoutubeDL)
        yield fresh


@pytest.fixture
def fetch_tree(
    site: Site, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run stage 0 for DESED on tmp_path/tree, with more settings; return the exit code and all that was printed."""
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path / "project")

    def run(*more: str, root: Path | None = None) -> tuple[int, str]:
        chosen = [f"--set={setting}" for setting in (*settings(site), *more)]
        arguments = ["--data", "desed", "--data_root", str(root or tmp_path / "tree"), "--tag", "t", *chosen]
        monkeypatch.setattr(sys, "argv", ["prepare", *arguments])
        capfd.readouterr()
        code = exit_code_of(prepare.main)
        said = capfd.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def stage0(
    tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run stage 0 on a corpus, with more settings."""
    monkeypatch.setattr(local.stage, "PROJECT", tmp_path / "project")

    def run(root: Path, *settings: str, tag: str = "t") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["prepare", *options(root, *settings, tag=tag)])
        capsys.readouterr()
        code = exit_code_of(prepare.main)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err.replace("\r", "\n").splitlines())

    return run
