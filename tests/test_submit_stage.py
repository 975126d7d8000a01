"""Stage 5: when it packs, and what it takes from the baseline trained beside the run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from local import submit
from local.stage import Stage
from local.submit import run_folders, with_baseline_energy
from recipe_mtlvae.conf import conf_to_dict
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.submission.profile import read_profile
from tests.packable import EVALUATION, make_run
from tests.tiny import SETTINGS, tiny_conf

PROFILE = read_profile()


@pytest.fixture
def stage(made, tmp_path) -> Stage:
    return Stage(5, tiny_conf(), made, tmp_path / "exp" / "run")


def write_energy(folder: Path, **phases: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy.json").write_text(json.dumps(phases))


def entry(kwh: float, machine: str = "here") -> dict:
    return {"kwh": kwh, "machine": machine, "codecarbon": "3.3.2"}


def test_the_baselines_energy_is_filled_in_only_if_it_was_measured_alike(stage):
    write_energy(stage.run_dir, validation=entry(1.0), evaluation=entry(2.0))
    write_energy(stage.run_dir.with_name("run-baseline"), validation=entry(30.0), evaluation=entry(40.0, "elsewhere"))
    energy = with_baseline_energy(stage, PROFILE).energy
    assert (energy.baseline_devtest_kwh, energy.baseline_eval_kwh) == (30.0, None)


def test_a_configured_figure_is_kept(stage, tmp_path):
    write_energy(stage.run_dir, validation=entry(1.0))
    write_energy(stage.run_dir.with_name("run-baseline"), validation=entry(30.0))
    given = Stage(5, tiny_conf("energy.baseline_devtest_kwh=7.0"), stage.root, stage.run_dir)
    assert with_baseline_energy(given, PROFILE).energy.baseline_devtest_kwh == 7.0


def test_without_a_baseline_nothing_is_filled_in(stage):
    write_energy(stage.run_dir, validation=entry(1.0))
    assert with_baseline_energy(stage, PROFILE).energy.baseline_devtest_kwh is None


def test_only_the_first_epochs_of_the_baselines_training_are_counted(stage):
    baseline = stage.run_dir.with_name("run-baseline")
    write_energy(stage.run_dir, training=entry(1.0))
    write_energy(baseline, training=entry(30.0))
    (baseline / "history.csv").write_text("epoch,seconds\n0,3\n1,1\n2,2\n")  # the first two: 4 of 6 s
    assert with_baseline_energy(
        stage, replace(PROFILE, baseline_epochs=2)
    ).energy.baseline_training_kwh == pytest.approx(20.0)
    assert with_baseline_energy(stage, replace(PROFILE, baseline_epochs=4)).energy.baseline_training_kwh is None
    assert with_baseline_energy(stage, PROFILE).energy.baseline_training_kwh == 30.0


def write_conf(folder: Path, *settings: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(tiny_conf(*settings))))


@pytest.mark.parametrize(
    ("named", "order"), [((), ["run"]), (("b",), ["run", "b"]), (("b", "run"), ["b", "run"])], ids=str
)
def test_a_package_holds_the_run_of_the_tag_and_those_of_the_option_run(stage, named, order):
    for tag, seed in (("run", 42), ("b", 43)):
        write_conf(stage.run_dir.with_name(tag), f"seed={seed}", f"train.max_epochs={seed}")
    given = Stage(5, stage.conf, stage.root, stage.run_dir, runs=named)
    assert [folder.name for folder in run_folders(given)] == order


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("lost",), "--run lost: no such run"),
        (("other",), r"--run other: another system: vae\.hidden"),
        (("b", "b"), "a tag is given twice"),
    ],
    ids=str,
)
def test_runs_of_a_package_must_be_different_trainings_of_one_system(stage, named, words):
    write_conf(stage.run_dir)
    write_conf(stage.run_dir.with_name("b"), "seed=43")
    write_conf(stage.run_dir.with_name("other"), "vae.hidden=4")
    with pytest.raises(RecipeError, match=words):
        run_folders(Stage(5, stage.conf, stage.root, stage.run_dir, runs=named))


def test_without_anything_to_pack_stage_5_is_skipped_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("local.stage.PROJECT", tmp_path)
    settings = [part for setting in [*SETTINGS, "data.splits.public=null"] for part in ("--set", setting)]
    monkeypatch.setattr(
        "sys.argv", ["submit", "--data", "desed", "--data_root", str(tmp_path), "--tag", "t", *settings]
    )
    submit.main()
    shown = capsys.readouterr().out
    assert shown.startswith("stage 5: left out: no evaluation audio") and len(shown.splitlines()) == 1


def test_stage_5_packs_once_and_again_when_the_figures_change(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.stage.PROJECT", tmp_path)
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    monkeypatch.setattr("sys.argv", ["submit", "--data", "desed", "--data_root", str(stored), "--tag", "t", *settings])
    run = tmp_path / "exp" / "t"
    make_run(run, tiny_conf(), "evaluation", EVALUATION)
    (run / "conf.yaml").unlink()
    submit.main()
    shown = capsys.readouterr().out
    assert "stage 5: packed the output on 3 clips of 'evaluation'" in shown
    assert "baseline devtest not measured" in shown
    assert "ok as a rehearsal: " in shown and "REHEARSAL, not for submission: " in shown
    submit.main()
    assert "is up to date" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, "psds1": 0.75}))
    submit.main()
    assert "PSDS1 0.75," in capsys.readouterr().out


def test_stage_5_packs_into_the_run_of_its_tag_for_any_order_of_the_option_run(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.stage.PROJECT", tmp_path)
    options = ["--tag", "t", "--run", "other", "--run", "t", "--submission", "dcase2024", "--data_root", str(stored)]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    monkeypatch.setattr("sys.argv", ["submit", "--data", "desed", *options, *settings])
    for tag in ("t", "other"):
        make_run(tmp_path / "exp" / tag, tiny_conf(), "evaluation", EVALUATION)
    for end in ("ok as a rehearsal: ", "is up to date"):
        submit.main()
        assert end in capsys.readouterr().out
    assert len([*tmp_path.glob("exp/t/submission/*/*.zip")]) == 1 and not (tmp_path / "exp/other/submission").exists()
