"""`python -m recipe_mtlvae compare`: the page and the figures that it writes, and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recipe_mtlvae.commands import compare
from recipe_mtlvae.errors import RecipeError
from tests.simulated import simulated_run

pytestmark = pytest.mark.usefixtures("few_resamples")


def test_teacher_in_a_runs_folder_is_a_system_of_its_own(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    simulated_run(run / "teacher", seed=2)
    compare.main([str(run), "--out", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]
    assert list(content["systems"]) == ["run", "run, teacher"] and "sed_scores_eval" in content["versions"]


def test_command_writes_page_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = simulated_run(tmp_path / "a" / "run"), simulated_run(tmp_path / "b" / "run", seed=2)
    compare.main([str(a), str(b), "--run", f"named={b}", "--out", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]
    assert list(content["systems"]) == ["a/run", "b/run", "named"]
    assert len(content["differences"]) == 3
    page = (tmp_path / "out" / "report.html").read_text()
    for system in content["systems"].values():
        assert f'<data value="{system["psds1"]}">' in page
    assert "a/run minus b/run" in capsys.readouterr().out


def test_runs_of_one_name_and_parent_stay_systems_of_their_own(tmp_path: Path) -> None:
    runs = [simulated_run(tmp_path / folder / "exp" / "run", seed) for seed, folder in enumerate("xy", start=1)]
    compare.main([*map(str, runs), "--out", str(tmp_path / "out")])
    systems = json.loads((tmp_path / "out" / "comparison.json").read_text())["validation"]["systems"]
    assert {name: system["runs"] for name, system in systems.items()} == {"x/exp/run": 1, "y/exp/run": 1}


def test_run_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run")
    for sources in ([str(run), f"{run}/../run"], ["--run", f"a={run}", "--run", f"a={run}"]):
        with pytest.raises(RecipeError, match=r"given twice as (run|a): it would count as two runs; give it once"):
            compare.main([*sources, "--out", str(tmp_path / "out")])


def test_a_name_that_is_also_that_of_another_run_is_refused(tmp_path: Path) -> None:
    """Two runs of one name would count as one system; for a RUN, whose name is not given, nobody means that."""
    a, b = simulated_run(tmp_path / "a"), simulated_run(tmp_path / "b", seed=2)
    with pytest.raises(RecipeError, match=rf"--run a=...: this name is also that of {a}; give it another name"):
        compare.main([str(a), "--run", f"a={b}", "--out", str(tmp_path / "out")])


def test_page_of_one_clip_states_what_it_lacks(tmp_path: Path) -> None:
    scores = simulated_run(tmp_path / "run") / "scores" / "validation"
    (tmp_path / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\nclip0.wav\t1.0\t2.0\tDog\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\nclip0.wav\t10.0\n")
    given = ["--ground_truth", str(tmp_path / "truth.tsv"), "--durations", str(tmp_path / "durations.tsv")]
    compare.main(["--run", f"alone={scores}", *given, "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Truth, 1 clip<" in page and "in 1 clip<" in page
    assert '<th scope="row">Classes without truth, truth</th><td>Cat, Speech</td>' in page
    assert "no truth" in page  # in place of their bars
    assert '<th scope="row">Energy, training</th><td>not measured</td>' in page
    assert "How it was trained, its energy and its size are not known" in page


@pytest.mark.parametrize("argv", [[], ["--out", "x"], ["run"], ["--run", "nameless", "--out", "x"]], ids=str)
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        compare.main(argv)
    assert exit_info.value.code == 2


def test_a_fault_gives_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "recipe_mtlvae",
        "compare",
        str(tmp_path / "nothing"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/nothing: no such folder") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
