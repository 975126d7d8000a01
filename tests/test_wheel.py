"""The wheel: its content, its metadata, and that it detects with only its own dependencies."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import soundfile

from tests.children import LIMIT, PROJECT
from tests.tiny import RATE, save_tiny_checkpoint

pytestmark = pytest.mark.slow

# Import names of packages that are not in `dependencies` of pyproject.toml
FORBIDDEN = ("matplotlib", "PIL", "sed_scores_eval", "pandas", "onnx", "onnxruntime", "h5py", "pytorch_lightning")
FORBIDDEN += ("desed", "codecarbon", "tensorboard", "torchaudio", "pyarrow", "ray", "local", "tests")
BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FORBIDDEN!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with the installed setuptools."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "recipe_mtlvae", "conf"):
        (source / name).symlink_to(PROJECT / name)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True, timeout=LIMIT)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel, which sees all packages of this one except FORBIDDEN."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=LIMIT)
    command = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--no-deps"]
    subprocess.run([*command, "--no-index", "-q", wheel], check=True, timeout=LIMIT)
    folder = next(environment.glob("lib/python*/site-packages"))
    seen = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (folder / "others.pth").write_text("\n".join(["import block", *seen]) + "\n")
    (folder / "block.py").write_text(BLOCK)
    return environment / "bin"


def run(installed: Path, folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    words = [installed / str(command[0]), *command[1:]]
    return subprocess.run(words, cwd=folder, env={}, capture_output=True, text=True, timeout=LIMIT)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        return message_from_bytes(content.read(next(n for n in content.namelist() if n.endswith("/METADATA"))))


def test_every_package_is_listed():
    listed = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = (file.parent for file in (PROJECT / "recipe_mtlvae").rglob("__init__.py"))
    there = {".".join(folder.relative_to(PROJECT).parts) for folder in folders}
    assert sorted(listed) == sorted(there | {"recipe_mtlvae.shipped_conf"})


def test_the_configuration_travels_in_the_wheel(wheel):
    there = {file.relative_to(PROJECT / "conf").as_posix() for file in (PROJECT / "conf").rglob("*.yaml")}
    with zipfile.ZipFile(wheel) as content:
        names = [name.partition("shipped_conf/")[2] for name in content.namelist()]
        assert "recipe_mtlvae/py.typed" in content.namelist()
    assert {name for name in names if name} == there


def test_the_pages_templates_travel_in_the_wheel(wheel):
    files = [file for kind in ("html", "css", "js") for file in (PROJECT / "recipe_mtlvae").rglob(f"*.{kind}")]
    with zipfile.ZipFile(wheel) as content:
        assert {file.relative_to(PROJECT).as_posix() for file in files} - set(content.namelist()) == set()
    assert len(files) >= 8


def test_the_wheel_names_its_dependencies_and_extras(wheel):
    needed = metadata(wheel).get_all("Requires-Dist")
    light = {need.partition(">")[0].partition("<")[0] for need in needed if "extra ==" not in need}
    assert light == {"torch", "numpy", "scipy", "soundfile", "pyyaml", "pydantic", "jinja2", "tqdm"}
    extras = set(metadata(wheel).get_all("Provides-Extra"))
    assert {"plot", "score", "onnx", "embeddings", "recipe"} <= extras


def test_it_detects_outside_the_checkout_with_only_its_own_dependencies(installed, tmp_path):
    checkpoint = save_tiny_checkpoint(tmp_path / "best.ckpt")
    soundfile.write(tmp_path / "a.wav", [0.1, -0.1] * RATE, RATE)
    done = run(installed, tmp_path, "recipe-mtlvae", "detect", "--checkpoint", checkpoint, "--out", "out", "a.wav")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "scores" / "a.tsv").is_file()


def test_a_command_that_needs_an_extra_names_it(installed, tmp_path):
    done = run(installed, tmp_path, "python", "-m", "recipe_mtlvae", "compare", "none", "--out", "page")
    assert done.returncode == 1
    assert done.stderr.startswith("error: this needs the package") and done.stderr.endswith(
        "install recipe_mtlvae with its extra [score]\n"
    )
