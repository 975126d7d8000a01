"""Set-up: which environment is used, what is installed into it, and what is left unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.setup import build_tools, packages, pip
from tests.children import LIMIT, PROJECT


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A stand-in for a Python environment: {package: version}. It is not one of ours without the file `made-here`."""
    there: dict[str, str] = {}

    def distributions() -> list[SimpleNamespace]:
        return [SimpleNamespace(metadata={"Name": name}, version=version) for name, version in there.items()]

    monkeypatch.setattr(packages, "STATE", tmp_path)
    monkeypatch.setattr(packages, "installed", there.get)
    monkeypatch.setattr(packages.importlib.metadata, "distributions", distributions)
    return there


@pytest.fixture
def ours(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "made-here").touch()
    return environment


def needs(tmp_path: Path, *lines: str) -> list[packages.Need]:
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(lines))
    return packages.read_needs(file)


@pytest.mark.parametrize("file", [*packages.SETS.values(), packages.CONSTRAINTS], ids=lambda file: file.name)
def test_every_requirement_has_a_reason(file: Path) -> None:
    assert [need.spec for need in packages.read_needs(file) if not need.reason] == []


def test_every_requirement_is_pinned_within_its_range() -> None:
    pins = {
        pin.name: next(iter(pin.requirement.specifier)).version for pin in packages.read_needs(packages.CONSTRAINTS)
    }
    wanted = [need for file in packages.SETS.values() for need in packages.read_needs(file)]
    assert [need.spec for need in wanted if not need.accepts(pins.get(need.name))] == []


def test_another_environment_gets_only_what_is_missing(environment: dict[str, str], tmp_path: Path) -> None:
    environment.update(pandas="3.0.1", scipy="1.12.0")
    wanted = packages.to_install(needs(tmp_path, "pandas>=2.2,<3", "scipy>=1.11", "tqdm"))
    assert [need.name for need in wanted] == ["tqdm"]


def test_our_environment_gets_the_tested_versions(ours: dict[str, str], tmp_path: Path) -> None:
    ours.update(pandas="2.2.0", pyyaml="6.0.3")  # both are in range, but pandas is not the tested version
    wanted = packages.to_install(needs(tmp_path, "pandas>=2.2,<3", "pyyaml>=6"))
    assert [need.name for need in wanted] == ["pandas"]


def test_a_torch_in_range_is_kept(ours: dict[str, str], tmp_path: Path) -> None:
    ours.update(torch="2.12.0+cu130")
    assert packages.to_install(needs(tmp_path, "torch>=2.11,<2.14")) == []
    assert "torch==2.12.0+cu130" in packages.limits(tested=True)


def test_conflicts_are_named_with_their_reason(environment: dict[str, str], tmp_path: Path) -> None:
    environment.update(pandas="3.0.1", scipy="1.12.0")
    found = packages.conflicts(needs(tmp_path, "pandas<3 # copies on write", "scipy>=1.11"))
    assert found == ["pandas 3.0.1 is left as it is, but the recipe wants pandas<3 (copies on write)"]


def test_pip_must_keep_all_that_is_in_another_environment(environment: dict[str, str]) -> None:
    environment.update(NumPy="1.24.4", attrs="20.1.0")
    limits = packages.limits(tested=True)
    assert {"numpy==1.24.4", "attrs==20.1.0"} <= set(limits)
    assert "numpy==1.26.4" not in limits
    assert "pandas==2.3.3" in limits  # a missing package gets the tested version


def test_an_old_setuptools_is_replaced_and_a_too_new_one_is_kept(environment: dict[str, str]) -> None:
    environment.update(setuptools="65.5.0")  # what Python 3.11 puts into a new environment; torch wants 77
    assert "setuptools==65.5.0" not in packages.limits(tested=True)
    environment.update(setuptools="82.0.1")
    assert "setuptools==82.0.1" in packages.limits(tested=True)


def test_half_installed_packages_are_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {
        "whole-1.0": {"INSTALLER": "pip", "RECORD": ""},
        "half_done-2.1": {"METADATA": ""},
        "others-3.0": {"INSTALLER": "conda"},
    }
    for name, files in left.items():
        (tmp_path / f"{name}.dist-info").mkdir()
        for file, text in files.items():
            (tmp_path / f"{name}.dist-info" / file).write_text(text)
    called: list[str] = []
    monkeypatch.setattr(pip.sysconfig, "get_path", lambda kind: str(tmp_path))
    monkeypatch.setattr(pip, "pip_install", lambda arguments, constraints: called.extend(arguments) or True)
    assert pip.finish_interrupted()
    assert called == ["--ignore-installed", "--no-deps", "half_done==2.1"]


def test_without_sox_only_desed_is_left_out(tmp_path: Path) -> None:
    lacks = build_tools.lacking(["desed", "sed_scores_eval", "scipy"], search=[tmp_path])
    assert "sox.h" in lacks["desed"]
    assert "sox.h" not in lacks.get("sed_scores_eval", [])


def test_without_a_compiler_neither_desed_nor_sed_scores_eval_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sox.h").touch()
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    lacks = build_tools.lacking(["desed", "sed_scores_eval"], search=[tmp_path])
    assert {name: "a C++ compiler" in things for name, things in lacks.items()} == {
        "desed": True,
        "sed_scores_eval": True,
    }


def test_what_is_left_out_is_reported_in_one_line_with_the_packages_to_install() -> None:
    line = build_tools.off_line({"desed": ["sox.h"]})
    assert "\n" not in line
    for words in ("making soundscapes", "apt: libsox-dev", "dnf: sox-devel", "brew: sox", "conda: sox"):
        assert words in line


def set_up(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the set-up in which every Python of the machine reports version 3.9.2."""
    shutil.copytree(PROJECT / "local", tmp_path / "local", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("bin/python3", "bin/python3.11", "bin/python3.12", "bin/python3.13", "env/bin/python"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\necho 3.9.2\n")
        file.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    kept |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"} | variables
    return subprocess.run(["bash", tmp_path / "local" / "setup.sh"], env=kept, capture_output=True, text=True)


def test_another_python_is_refused_in_one_line_that_names_it(tmp_path: Path) -> None:
    result = set_up(tmp_path)
    assert result.returncode == 1
    assert "python3 is 3.9.2" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv" / "bin").exists()


def test_an_environment_that_others_made_in_our_place_is_left_unchanged(tmp_path: Path) -> None:
    """An example is one made by `conda create -p .venv`, which has no pyvenv.cfg."""
    for name in ("bin/python", "conda-meta/history", "mine.txt"):
        (tmp_path / ".venv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".venv" / name).write_text("#!/bin/sh\necho 3.9.2\n")
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    result = set_up(tmp_path, CONDA_PREFIX=str(tmp_path / ".venv"))
    assert result.returncode == 1
    assert f"{tmp_path / '.venv'} has 3.9.2" in result.stderr
    assert (tmp_path / ".venv" / "mine.txt").exists()


def test_if_no_lock_can_be_made_the_set_up_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # in place of a read-only folder, because root may write everywhere
    script = f'set -e; source "{PROJECT}/local/setup.sh"; ENVIRONMENT="{tmp_path}/file/env"; _alone echo went on'
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "went on\n")


def test_python_is_started_without_the_modules_of_the_callers_folder(tmp_path: Path) -> None:
    """`python -m venv` would run a venv.py in that folder."""
    (tmp_path / "python3.11").write_text('#!/bin/sh\necho "$1" >>"$LOG"\necho 3.11.7\n')
    (tmp_path / "python3.11").chmod(0o755)
    (tmp_path / "env" / ".recipe_mtlvae").mkdir(parents=True)
    script = f'source "{PROJECT}/local/setup.sh"; ENVIRONMENT="{tmp_path}/env"; _make_environment'
    variables = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    subprocess.run(["bash", "-c", script], env=variables, capture_output=True, check=True, timeout=LIMIT)
    assert set((tmp_path / "log").read_text().split()) == {"-I"}


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_active_environment_of_another_python_is_refused(tmp_path: Path, variable: str) -> None:
    result = set_up(tmp_path, **{variable: str(tmp_path / "env")})
    assert result.returncode == 1
    assert f"{tmp_path / 'env'} has 3.9.2" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()
