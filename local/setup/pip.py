"""Run pip so that torch is the right build, interrupted runs are completed and builds are repeatable."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import urllib.request
from pathlib import Path

from local.setup import build_tools
from local.setup.packages import CONSTRAINTS, TORCH, Need, added, limits, made_here, read_needs

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyPI's torch adds GBs of CUDA, even without a GPU
CPU_INDEX_SECONDS = 8  # the longest wait for its answer
BUILD_PACKAGES = ("setuptools", "pybind11")  # pinned in pip's isolated builds; newer versions may not build old code


def say(line: str) -> None:
    print(f"set-up: {line}", file=sys.stderr, flush=True)


def pip_install(arguments: list[str], constraints: list[str], loud: bool = False) -> bool:
    """Run `pip install` with these constraints. Return whether it succeeded."""
    building = all(argument.startswith(tuple(build_tools.NEEDED)) for argument in arguments)
    builds = [pin.spec for pin in read_needs(CONSTRAINTS) if pin.name in BUILD_PACKAGES]
    with tempfile.TemporaryDirectory() as folder:
        limits_file, builds_file = Path(folder, "limits.txt"), Path(folder, "builds.txt")
        limits_file.write_text("\n".join(constraints))
        builds_file.write_text("\n".join(builds))
        # --user would install outside the environment. Isolated builds read only variables, whose name depends on pip
        variables = build_tools.variables() | {"PIP_USER": "0", "PIP_ROOT_USER_ACTION": "ignore"}
        if building:
            variables |= {"PIP_CONSTRAINT": str(builds_file), "PIP_BUILD_CONSTRAINT": str(builds_file)}
        command = [sys.executable, "-P", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        command += [] if loud else ["-qq"]  # errors only
        command += ["--no-warn-script-location", "--constraint", str(limits_file)]
        return subprocess.run([*command, *arguments], env=variables).returncode == 0


def install_needs(needs: list[Need]) -> bool:
    """Install the tested versions.

    If these conflict with what is installed, fall back to any version in range, unless set-up made the environment.
    """
    specs = [need.spec for need in needs]
    if not specs or pip_install(specs, limits(tested=True)):
        return True
    if made_here():
        return False
    say("the tested versions conflict with installed packages; trying others")
    return pip_install(specs, limits(tested=False))


def install_torch(needs: list[Need]) -> bool:
    """Install torch and torchaudio without their dependencies, which come later from the default index."""
    specs = [need.spec for need in needs if need.name in TORCH]
    return not specs or _from_torch_index(["--no-deps", *specs], limits(tested=True))


def finish_interrupted() -> bool:
    """Reinstall packages that an interrupted pip left incomplete. Return whether that succeeded.

    pip writes RECORD last, and does not check for it later. Other installers, such as conda, may write none; INSTALLER
    then names them, and their packages are left alone.
    """
    for folder in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for found in sorted(folder.glob("*.dist-info")):
            installer = found / "INSTALLER"
            if (found / "RECORD").exists() or (installer.exists() and installer.read_text().strip() != "pip"):
                continue
            name, _, version = found.name.removesuffix(".dist-info").rpartition("-")
            again = ["--ignore-installed", "--no-deps", f"{name}=={version}"]
            say(f"{name} was left half installed; installing it again")
            if not (_from_torch_index(again, []) if name in TORCH else pip_install(again, [])):
                return False
    return True


def repair_torchaudio() -> None:
    """Delete torchaudio's compiled part if torchaudio cannot be imported and set-up has added it.

    On PyPI that part is a CUDA build, which does not load beside a CPU torch. It holds only forced alignment and RNN-T,
    and torchaudio documents that it runs without.
    """
    if _imports("torchaudio"):
        return
    if "torchaudio" in added():
        folder = importlib.metadata.distribution("torchaudio").locate_file("torchaudio/lib")
        for library in Path(str(folder)).glob("*.so"):
            library.unlink()
    if not _imports("torchaudio"):
        say("torchaudio cannot be imported: it was built for another torch; install one that fits yours")


def _imports(module: str) -> bool:
    return subprocess.run([sys.executable, "-P", "-c", f"import {module}"], capture_output=True).returncode == 0


def _from_torch_index(arguments: list[str], constraints: list[str]) -> bool:
    loud = sys.stderr.isatty()  # the largest download: show a progress bar on a terminal
    index = _torch_index()
    if index and pip_install([*index, *arguments], constraints, loud):
        return True
    return pip_install(arguments, constraints, loud)


def _torch_index() -> list[str]:
    """Return pip's option for PyTorch's CPU index if there is no NVIDIA GPU and the index answers in time; else []."""
    if sys.platform != "linux":  # wheels for other systems include no CUDA
        return []
    if shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0:
        return []
    answers: list[int] = []

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError):
            request = urllib.request.Request(f"{CPU_INDEX}/torch/", method="HEAD")
            with urllib.request.urlopen(request, timeout=CPU_INDEX_SECONDS) as answer:
                answers.append(answer.status)

    thread = threading.Thread(target=ask, daemon=True)  # name resolution has no timeout of its own
    thread.start()
    thread.join(CPU_INDEX_SECONDS)
    return ["--index-url", CPU_INDEX] if answers == [200] else []
