"""The package of three runs that the years after 2022 require: score folders, means, and codecarbon's records."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.scoring.postprocess import median_filter
from recipe_mtlvae.scoring.reference import Reference, write_reference
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.package import build_submission
from recipe_mtlvae.submission.profile import Profile, profile_file, read_profile
from tests.packable import EVALUATION, LABEL, make_run, read_zip, with_report
from tests.tiny import tiny_conf


@pytest.fixture
def profile_2024(profile: Profile, tmp_path: Path) -> Profile:
    """The shipped profile of 2024, filled in, for three clips and three classes; the network knows the first two."""
    shipped = read_profile(profile_file("dcase2024"))
    rules = dataclasses.replace(shipped.rules, clips=3, classes=("Beep", "Hum", "car"))
    filled = dataclasses.replace(shipped, authors=profile.authors, rules=rules, figures={"mpauc": 0.5})
    return with_report(filled, tmp_path)


def make_runs(folder: Path, conf: Conf) -> list[Path]:
    """Make three runs of 1, 2 and 3 kWh; the training of the second was continued once."""
    runs = []
    for number in (1, 2, 3):
        run = make_run(folder / f"seed{number}", conf, "evaluation", EVALUATION, seed=number)
        record = {"run_id": f"r{number}", "energy_consumed": float(number)}
        entry = {"kwh": float(number), "records": [record] * (2 if number == 2 else 1)}
        (run / "energy.json").write_text(json.dumps({"training": entry, "validation": entry}))
        make_validation(run)
        runs.append(run)
    return runs


def make_validation(run: Path) -> None:
    """Write two clips of ten seconds: one with an event that is found, one without events but with a false alarm."""
    classes = ("Beep", "Hum")
    for clip, score in (("found", 0.9), ("empty", 0.95)):
        scores = np.full((10, 2), 0.1)
        scores[:, 0] = score
        write_scores(run / "scores" / "validation", clip, scores, 1.0, classes)
    truth = {"found": [Event(0.0, 10.0, "Beep")], "empty": []}
    write_reference(run / "truth_validation.json", Reference(truth, {"found": 10.0, "empty": 10.0}, 2))


def test_three_runs_make_a_package_of_2024_that_passes(stored: Path, profile_2024: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    submission = build_submission(make_runs(tmp_path, conf), conf, stored, profile_2024)
    assert submission.path == tmp_path / "seed1" / "submission" / "dcase2024" / "Doe-Muller_TUX_task4.zip"
    report = check_package(submission.path, profile_2024)
    assert (report.faults, report.rehearsal) == ((), None)
    assert [str(warning).partition(": ")[2] for warning in report.warnings] == [
        "2 measurements: correct only for a training that was resumed; codecarbon appends when a run is repeated: "
        "one file a run"
    ] * 2
    folders = {f"{LABEL}_run{r}{kind}.output" for r in (1, 2, 3) for kind in ("", "_unprocessed")}
    names = read_zip(submission.path).keys()
    assert {name.split("/")[1] for name in names if name.endswith(".tsv")} == folders


def test_each_run_has_its_own_scores_with_zeros_for_classes_that_its_network_lacks(
    stored: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    submission = build_submission(runs, conf, stored, profile_2024)
    assert submission.filled == ("car",)
    with zipfile.ZipFile(submission.path) as archive:
        archive.extractall(tmp_path / "package")
    for number, run in enumerate(runs, start=1):
        raw = read_scores(run / "scores" / "evaluation")
        for kind, steps in (("_unprocessed", 1), ("", 3)):
            packed = read_scores(tmp_path / "package" / LABEL / f"{LABEL}_run{number}{kind}.output")
            assert packed.classes == ("Beep", "Hum", "car")
            for clip, (edges, scores) in raw.clips.items():
                np.testing.assert_array_equal(packed.clips[clip].edges, edges)
                np.testing.assert_array_equal(packed.clips[clip].scores[:, :2], median_filter(scores, steps))
                assert not packed.clips[clip].scores[:, 2].any()


def test_figures_of_several_runs_are_their_means(stored: Path, profile_2024: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    for number, run in enumerate(runs, start=1):
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | {"psds1": number / 10}))
    values = build_submission(runs, conf, stored, profile_2024).values
    assert values["psds1"] == 0.2
    assert (values["kwh_training"], values["kwh_devtest"]) == (2.0, 2.0)


def test_every_device_that_measured_the_energy_of_several_runs_is_named(
    stored: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    for run, model in zip(runs, ("A GPU", "B GPU", "A GPU"), strict=True):
        energy = json.loads((run / "energy.json").read_text())
        energy["training"] |= {"codecarbon": "3.3", "gpu_model": model}
        (run / "energy.json").write_text(json.dumps(energy))
    values = build_submission(runs, conf, stored, profile_2024).values
    assert values["energy_measured_by"] == "codecarbon 3.3, A GPU; codecarbon 3.3, B GPU"


def test_psds_of_2024_is_that_of_the_clips_with_events(stored: Path, profile_2024: Profile, tmp_path: Path) -> None:
    # The false alarm scores higher than the hit. It would lower PSDS, but its clip has no events and is dropped
    submission = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), stored, profile_2024)
    results = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])["results"]
    assert results == {"devtest": {"desed": {"PSDS1": 1.0}, "maestro": {"mPAUC": 0.5}}}
    assert submission.values["clips_with_events"] == 1


def test_codecarbons_records_are_one_csv_per_phase_and_run(stored: Path, profile_2024: Profile, tmp_path: Path) -> None:
    files = read_zip(build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), stored, profile_2024).path)
    tables = {name.partition("_run")[2]: text for name, text in files.items() if name.endswith(".csv")}
    assert tables.keys() == {f"{r}_{phase}.emissions.csv" for r in (1, 2, 3) for phase in ("training", "devtest")}
    assert tables["2_training.emissions.csv"] == "run_id,energy_consumed\nr2,2.0\nr2,2.0\n"


def test_a_users_figure_that_is_not_given_is_nan_and_makes_a_rehearsal(
    stored: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    profile = dataclasses.replace(profile_2024, figures={"mpauc": None})
    submission = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), stored, profile)
    assert submission.rehearsal == ("mpauc is not given (`figures` in the profile)",)
    assert "mPAUC: .nan" in read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"]


def test_fewer_runs_or_other_clips_make_a_rehearsal_and_more_runs_are_refused(
    stored: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf, runs = tiny_conf(), make_runs(tmp_path, tiny_conf())
    profile = dataclasses.replace(profile_2024, rules=dataclasses.replace(profile_2024.rules, clips=2200))
    assert build_submission(runs[:2], conf, stored, profile).rehearsal == (
        "3 clips, not the challenge's 2200",
        "2 of 3 runs (--run)",
    )
    with pytest.raises(RecipeError, match="4 runs: a package of DCASE 2024 Task 4 holds 3; give fewer --run"):
        build_submission([*runs, runs[0]], conf, stored, profile)


def test_a_character_that_the_reader_of_2024_cannot_take_is_reported_with_its_key(
    stored: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    first, second = profile_2024.authors
    lab = dataclasses.replace(first, affiliation=dataclasses.replace(first.affiliation, institute="Lab #1"))
    profile = dataclasses.replace(profile_2024, authors=(lab, second), source_code="https://x.org/#readme")
    package = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), stored, profile).path
    assert [fault.what.partition(":")[0] for fault in check_package(package, profile).faults] == [
        "submission.authors.1.affiliation.institute",
        "system.source_code",
    ]
