"""Style of all files, and run.sh: options, stages, exit codes, and folders, with stand-ins for set-up and stages."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.children import LIMIT, PROJECT, child

SHELL_FILES = [
    PROJECT / ".ci" / "run",
    PROJECT / "run.sh",
    PROJECT / "tests" / "run.sh",
    *(PROJECT / "local").glob("*.sh"),
]

SET_UP = """
set_up() { echo "set-up $*" >>"$LOG"; PYTHON=$STAND_IN; }
"""
PYTHON = """#!/usr/bin/env bash
{ echo "$*"; pwd; echo "$PYTHONPATH"; echo "$OMP_WAIT_POLICY"; } >>"$LOG"
[[ $2 != "${FAILING:-}" ]] || exit 7
"""


def test_python_files_pass_ruff() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", PROJECT], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_shell_files_pass_shellcheck() -> None:
    tool = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert tool, "no shellcheck here; ./tests/run.sh installs it (tests/requirements.txt)"
    command = [tool, "--external-sources", "--source-path=SCRIPTDIR", *SHELL_FILES]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_commands_are_executable() -> None:
    for name in ("run.sh", "tests/run.sh", ".ci/run"):
        assert os.access(PROJECT / name, os.X_OK), name


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A folder with a space in its name that holds run.sh, and a set-up that only records its call."""
    folder = tmp_path / "a recipe"
    (folder / "local").mkdir(parents=True)
    for name in ("run.sh", "local/parse_options.sh", "local/run_child.sh"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / "local" / "setup.sh").write_text(SET_UP)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def run(recipe: Path, *options: str, command: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run run.sh from another folder; <recipe>/log records what it called."""
    elsewhere = recipe.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_WAIT_POLICY")}
    kept |= {"LOG": str(recipe / "log"), "STAND_IN": str(recipe / "python")} | variables
    return subprocess.run(
        [command or recipe / "run.sh", *options], cwd=elsewhere, env=kept, capture_output=True, text=True
    )


def calls(recipe: Path) -> list[str]:
    return [line for line in (recipe / "log").read_text().splitlines() if line.startswith("-m")]


def test_all_stages_run_in_order_without_options(recipe: Path) -> None:
    assert run(recipe).returncode == 0
    names = ["prepare", "train", "predict", "score", "compare", "submit"]
    assert calls(recipe) == [f"-m local.{name}" for name in names]


def test_stage_and_stop_stage_choose_the_stages(recipe: Path) -> None:
    run(recipe, "--stage", "2", "--stop_stage=3")
    assert calls(recipe) == ["-m local.predict", "-m local.score"]


def test_options_reach_the_stage_as_they_are(recipe: Path) -> None:
    run(recipe, "--stop_stage", "0", "--set", "a.b=c d", "--set=e=--f", "--tag", "-x", "--baseline", "none")
    assert calls(recipe) == ["-m local.prepare --set=a.b=c d --set=e=--f --tag=-x"]


def test_the_options_submission_and_run_reach_the_stage(recipe: Path) -> None:
    run(recipe, "--stage", "5", "--submission", "dcase2024", "--run", "a", "--run=b")
    assert calls(recipe) == ["-m local.submit --submission=dcase2024 --run=a --run=b"]


def test_a_stage_runs_in_the_callers_folder_and_imports_from_the_recipe(recipe: Path) -> None:
    run(recipe, "--stop_stage", "0", PYTHONPATH="/other")
    log = (recipe / "log").read_text().splitlines()
    assert log[2:] == [str(recipe.parent / "elsewhere"), f"{recipe}:/other", "PASSIVE"]


def of_one_srun(recipe: Path, *options: str, **variables: str) -> list[int]:
    """Run run.sh in parallel as two tasks of srun, and return their exit codes."""
    variables |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}
    variables |= {"LOG": str(recipe / "log"), "STAND_IN": str(recipe / "python")}
    with contextlib.ExitStack() as stack:
        tasks = [
            stack.enter_context(
                child(recipe / "run.sh", *options, env={**os.environ, **variables, "SLURM_PROCID": rank})
            )
            for rank in "01"
        ]
        for task in tasks:
            task.communicate(timeout=LIMIT)
        return [task.returncode for task in tasks]


def test_of_several_srun_tasks_only_the_first_runs_stages_that_have_no_shares(recipe: Path) -> None:
    assert of_one_srun(recipe, "--stop_stage", "3") == [0, 0]
    names = ["prepare", "prepare", "train", "predict", "predict", "score"]
    assert calls(recipe) == [f"-m local.{name}" for name in names]
    assert list((recipe / "exp").iterdir()) == []


def test_if_one_srun_task_fails_the_others_end_too(recipe: Path) -> None:
    assert of_one_srun(recipe, FAILING="local.train") == [7, 1]
    assert calls(recipe)[-1] == "-m local.train"


def test_omp_wait_policy_is_kept_if_it_is_set(recipe: Path) -> None:
    run(recipe, "--stop_stage", "0", OMP_WAIT_POLICY="ACTIVE")
    assert (recipe / "log").read_text().endswith("ACTIVE\n")


def test_run_sh_works_through_a_symbolic_link(recipe: Path) -> None:
    link = recipe.parent / "link"
    link.symlink_to(recipe / "run.sh")
    assert run(recipe, "--stop_stage", "0", command=link).returncode == 0
    assert calls(recipe) == ["-m local.prepare"]


def test_a_failing_stage_ends_the_run_with_its_exit_code(recipe: Path) -> None:
    result = run(recipe, FAILING="local.predict")
    assert result.returncode == 7
    assert calls(recipe)[-1] == "-m local.predict"
    assert result.stderr == ""  # the stage itself prints what is wrong, in one line


def test_each_stage_shows_its_name_and_time(recipe: Path) -> None:
    result = run(recipe, "--stage", "4", "--stop_stage", "4")
    assert result.stdout.splitlines() == ["== stage 4: compare", "== stage 4: compare done in 0 s"]


def test_help_needs_no_set_up(recipe: Path) -> None:
    result = run(recipe, "--tag", "x", "--help")
    assert result.returncode == 0 and "--stop_stage" in result.stdout
    assert not (recipe / "log").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stages", "1"], "unknown option --stages"),
        (["train"], "unknown option train"),
        (["--stage", "6"], "--stage 6: expected a number from 0 to 5"),
        (["--stage", "3", "--stop_stage", "2"], "--stage 3 comes after --stop_stage 2"),
        (["--conf"], "--conf needs a value"),
        (["--soundbank", ""], "--soundbank needs a value"),  # not sounds that are synthesised instead
        (["--data_root="], "--data_root needs a value"),
        (["--baseline", "huge"], "--baseline huge: expected none"),
        (["--baseline_checkpoint", "none.ckpt"], "--baseline_checkpoint none.ckpt: expected a file that can be read"),
        (["--baseline_checkpoint", "/"], "--baseline_checkpoint /: expected a file that can be read"),
    ],
)
def test_wrong_usage_gives_one_line_and_exit_code_2_before_set_up(recipe: Path, options: list[str], words: str) -> None:
    result = run(recipe, *options)
    assert result.returncode == 2
    assert words in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (recipe / "log").exists()
