"""What several test files start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny import make_tiny_corpus, tiny_conf


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus without stores; not to be changed."""
    return make_tiny_corpus(tmp_path_factory.mktemp("made"), tiny_conf(), stores=False)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus, to be damaged."""
    return shutil.copytree(made, tmp_path / "corpus")
