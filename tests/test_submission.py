"""The package that is made out of a run: its files, its figures, and events that come from the run's scores."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from local import submit
from recipe_mtlvae.conf import Conf, conf_to_dict
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.labels import Event
from recipe_mtlvae.report.runs import open_run
from recipe_mtlvae.scoring.postprocess import median_filter, to_events
from recipe_mtlvae.scoring.reference import Reference, write_reference
from recipe_mtlvae.scoring.scores import read_scores, write_scores
from recipe_mtlvae.submission.check import check_package
from recipe_mtlvae.submission.meta_values import embeddings, external_data, meta_values
from recipe_mtlvae.submission.package import build_submission
from recipe_mtlvae.submission.profile import Author, Profile, fill, plain, profile_file, read_profile, thresholds_of
from tests.tiny import SETTINGS, make_tiny_corpus, tiny_conf

STEP = 0.064
LABEL = "Doe-Muller_TUX_task4_1"
EVALUATION = [f"any name {i}.wav" for i in range(3)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"), tiny_conf())


@pytest.fixture
def profile() -> Profile:
    """The shipped profile, filled in, for the tiny corpus's classes."""
    shipped = read_profile()
    affiliation = dataclasses.replace(shipped.authors[0].affiliation, abbreviation="TUX")
    authors = (
        Author(lastname="Roe", firstname="Al", email=None, corresponding=False, affiliation=affiliation),
        dataclasses.replace(
            shipped.authors[0], lastname="Doe-Müller", firstname="Jo", email="jo@tux.org", affiliation=affiliation
        ),
    )
    return dataclasses.replace(
        shipped, authors=authors, rules=dataclasses.replace(shipped.rules, classes=("Beep", "Hum"))
    )


def make_run(run_dir: Path, conf: Conf, split: str, names: list[str], seed: int = 0) -> Path:
    """A run as stages 1 to 3 leave it, with smooth random scores."""
    rng = np.random.default_rng(seed)
    for name in names:
        scores = np.cumsum(rng.normal(0, 0.3, (31, 2)), axis=0)
        write_scores(run_dir / "scores" / split, Path(name).stem, 1 / (1 + np.exp(-scores)), STEP, ("Beep", "Hum"))
    score = {"psds1": 0.1234567, "psds2": 0.5, "event_f1": 0.321, "segment_f1": 0.5, "intersection_f1": 0.4}
    absent = dict.fromkeys(score)
    phase = {"kwh": 0.00123456789, "mode": "CPU estimated (constant)", "codecarbon": "3.3", "cpu_model": "A CPU"}
    contents = {
        "metrics.json": {"split": "validation", **score, "per_class": {"Beep": score, "Hum": absent}},
        "model.json": {"parameters": 1234567, "macs_10s": 250000000},
        "energy.json": {"training": phase, "validation": {**phase, "kwh": 2e-05}, split: {**phase, "kwh": 3e-05}},
    }
    for name, content in contents.items():
        (run_dir / name).write_text(json.dumps(content))
    (run_dir / "conf.yaml").write_text(yaml.safe_dump(conf_to_dict(conf), sort_keys=False))
    return run_dir


def read_zip(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def with_report(profile: Profile, tmp_path: Path) -> Profile:
    report = tmp_path / "report.pdf"
    report.write_bytes(b"%PDF-1.4\n%%EOF\n")
    return dataclasses.replace(profile, report=str(report))


def test_a_package_of_the_evaluation_set_passes_the_check(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, corpus, profile)
    assert submission.path == tmp_path / "submission" / "Doe-Muller_TUX_task4.zip"
    assert (submission.label, submission.split, submission.clips, submission.rehearsal) == (LABEL, "evaluation", 3, ())
    report = check_package(submission.path, profile)
    assert (report.faults, report.rehearsal) == ((), None)


def test_the_package_holds_the_files_of_the_challenge(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    files = read_zip(build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, corpus, profile).path)
    points = {f"{LABEL}/operating_points/predictions_th_{(2 * i + 1) / 100:.2f}.tsv" for i in range(50)}
    others = {f"{LABEL}/{LABEL}.meta.yaml", f"{LABEL}/{LABEL}.output.tsv", "Doe-Muller_TUX_task4.technical_report.pdf"}
    assert files.keys() == points | others


def test_events_come_from_the_filtered_scores_at_every_threshold(
    corpus: Path, profile: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    files = read_zip(build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, corpus, profile).path)
    scores = read_scores(tmp_path / "scores" / "evaluation")
    named = {f"{LABEL}/{LABEL}.output.tsv": 0.5, f"{LABEL}/operating_points/predictions_th_0.01.tsv": 0.01}
    named[f"{LABEL}/operating_points/predictions_th_0.37.tsv"] = 0.37
    for file, threshold in named.items():
        expected = "filename\tonset\toffset\tevent_label\n"
        for name in EVALUATION:
            edges, clip = scores.clips[Path(name).stem]
            for event in to_events(median_filter(clip, 3), edges, scores.classes, threshold):
                expected += f"{name}\t{event.onset:.3f}\t{event.offset:.3f}\t{event.label}\n"
        assert files[file] == expected


def test_events_end_with_their_clip(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    for name in EVALUATION:  # 2 s of sound, 2.24 s of scores: one event across the end, one beyond it
        scores = np.zeros((35, 2))
        scores[28:, 0], scores[32:, 1] = 0.9, 0.9
        write_scores(run / "scores" / "evaluation", Path(name).stem, scores, STEP, ("Beep", "Hum"))
    files = read_zip(build_submission([run], conf, corpus, profile).path)
    rows = files[f"{LABEL}/{LABEL}.output.tsv"].splitlines()[1:]
    assert rows == [f"{name}\t1.792\t2.000\tBeep" for name in EVALUATION]


def test_everything_measured_is_filled_in(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf("energy.baseline_devtest_kwh=0.03")
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, corpus, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert meta["submission"]["label"] == LABEL
    assert "notes" not in meta["submission"]
    assert meta["system"]["complexity"] == {"total_parameters": 1234567, "MACS": 250000000}
    assert meta["system"]["energy_consumption"] == {
        "training": 0.00123457,
        "devtest": 2e-05,
        "evaluation": 3e-05,
        "baseline_devtest": 0.03,
        "baseline_evaluation": None,
        "measured_by": "codecarbon 3.3, CPU estimated (constant), A CPU",
    }
    assert meta["results"]["development_dataset"] == {
        "overall": {"PSDS1": 0.1235, "PSDS2": 0.5, "F-score": 32.1},
        "class_wise": {"Beep": {"F-score": 32.1}, "Hum": {"F-score": None}},
    }
    description = meta["system"]["description"]
    assert description["input_sampling_rate"] == 16
    assert description["post-processing"] == "median filtering (192 ms)"
    assert description["decision_making"] == "threshold 0.5"
    assert meta["system"]["external_data"] == ["AudioSet strong"]


def test_only_the_corresponding_author_is_marked(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    submission = build_submission([make_run(tmp_path, conf, "evaluation", EVALUATION)], conf, corpus, profile)
    authors = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])["submission"]["authors"]
    assert [author["lastname"] for author in authors] == ["Roe", "Doe-Müller"]
    assert "corresponding" not in authors[0]
    assert authors[1]["corresponding"] is True and authors[1]["email"] == "jo@tux.org"


def test_the_same_run_gives_the_same_bytes(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    first = build_submission([run], conf, corpus, profile).path.read_bytes()
    assert build_submission([run], conf, corpus, profile).path.read_bytes() == first


def test_without_an_evaluation_set_public_is_packed_as_a_rehearsal(profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    root = make_tiny_corpus(tmp_path / "corpus", conf)
    evaluation = root / "audio" / "eval" / "evaluation"
    evaluation.rename(tmp_path / "elsewhere")
    names = [f"public_{i}.wav" for i in range(3)]
    submission = build_submission([make_run(tmp_path, conf, "public", names)], conf, root, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert submission.split == "public"
    assert meta["submission"]["notes"].startswith("REHEARSAL, not for submission: there is no evaluation set")
    report = check_package(submission.path, profile)
    assert report.faults == ()
    assert ["no technical report" in str(fault) for fault in report.left] == [True]


def test_the_shipped_example_makes_a_rehearsal_that_passes(corpus: Path, tmp_path: Path) -> None:
    conf = tiny_conf("data.prepare=mini", "mini.weak=1")
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    submission = build_submission([run], conf, corpus, read_profile())
    assert submission.label == "Lastname_Institute_task4_1"
    expected = ("made corpus 'tiny'", "classes are not the challenge's", "still the example's")
    assert all(part in reason for part, reason in zip(expected, submission.rehearsal, strict=True))
    report = check_package(submission.path, read_profile())
    assert report.faults == ()
    assert len(report.left) == 2  # the authors and the report


def test_what_was_not_measured_is_left_open_never_zero(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf, profile = tiny_conf(), with_report(profile, tmp_path)
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    (run / "energy.json").write_text(json.dumps({"training": {"kwh": None, "mode": None, "reason": "no tracker"}}))
    submission = build_submission([run], conf, corpus, profile)
    meta = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])
    assert set(meta["system"]["energy_consumption"].values()) == {None}
    faults = [str(fault) for fault in check_package(submission.path, profile).faults]
    assert len(faults) == 3 and all("got nothing" in fault for fault in faults)


def test_a_clip_without_scores_is_named_and_nothing_is_written(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    run = make_run(tmp_path, conf, "evaluation", EVALUATION[:2])
    with pytest.raises(RecipeError, match=r"any name 2\.wav: this clip has no scores; run stage 2"):
        build_submission([run], conf, corpus, profile)
    assert not (run / "submission").exists()


def test_missing_scores_and_a_missing_report_are_named(corpus: Path, profile: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    with pytest.raises(RecipeError, match="no scores of 'evaluation'; run stage 2"):
        build_submission([make_run(tmp_path, conf, "public", ["public_0.wav"])], conf, corpus, profile)
    run = make_run(tmp_path, conf, "evaluation", EVALUATION)
    missing = dataclasses.replace(profile, report=str(tmp_path / "none.pdf"))
    with pytest.raises(RecipeError, match=r"none\.pdf: no such file; correct `report`"):
        build_submission([run], conf, corpus, missing)


def test_fifty_thresholds_are_odd_hundredths() -> None:
    assert [f"{threshold:.2f}" for threshold in thresholds_of(50)] == [f"0.{i:02d}" for i in range(1, 100, 2)]


def test_labels_are_plain_ascii() -> None:
    assert plain("De la Peña-Ørsted") == "DelaPena-Orsted"


def test_a_name_that_the_profile_misspells_is_an_error() -> None:
    assert fill({"a": "{x}", "b": ["{x} of {y}"]}, {"x": 1, "y": 2}) == {"a": 1, "b": ["1 of 2"]}
    with pytest.raises(RecipeError, match=r"nothing is called \{z\}; the names are: x, y"):
        fill("{z}", {"x": 1, "y": 2})


def test_a_profile_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dcase.yaml"
    file.write_text((Path(__file__).parent.parent / "conf/submission/dcase2022.yaml").read_text() + "\nauthor: me\n")
    with pytest.raises(RecipeError, match=r"dcase\.yaml:122: unknown key 'author'"):
        read_profile(file)


def test_a_profile_needs_one_corresponding_author(tmp_path: Path) -> None:
    file = tmp_path / "dcase.yaml"
    shipped = (Path(__file__).parent.parent / "conf/submission/dcase2022.yaml").read_text()
    file.write_text(shipped.replace("corresponding: true", "corresponding: false"))
    with pytest.raises(RecipeError, match=r"dcase\.yaml: authors: expected exactly one with `corresponding: true`"):
        read_profile(file)


def test_stage_5_packs_once_and_again_when_the_figures_change(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.stage.PROJECT", tmp_path)
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    monkeypatch.setattr("sys.argv", ["submit", "--data", "desed", "--data_root", str(corpus), "--tag", "t", *settings])
    run = tmp_path / "exp" / "t"
    make_run(run, tiny_conf(), "evaluation", EVALUATION)
    (run / "conf.yaml").unlink()
    submit.main()
    shown = capsys.readouterr().out
    assert "stage 5: packed the output on 3 clips of 'evaluation'" in shown
    assert "baseline devtest not measured" in shown
    assert "ok as a rehearsal: " in shown and "REHEARSAL, not for submission: " in shown
    submit.main()
    assert "is there already" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, "psds1": 0.75}))
    submit.main()
    assert "PSDS1 0.75," in capsys.readouterr().out


def test_stage_5_packs_into_the_run_of_its_tag_whatever_the_order_of_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.stage.PROJECT", tmp_path)
    options = ["--tag", "t", "--run", "other", "--run", "t", "--submission", "dcase2024", "--data_root", str(corpus)]
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    monkeypatch.setattr("sys.argv", ["submit", "--data", "desed", *options, *settings])
    for tag in ("t", "other"):
        make_run(tmp_path / "exp" / tag, tiny_conf(), "evaluation", EVALUATION)
    for end in ("ok as a rehearsal: ", "is there already"):
        submit.main()
        assert end in capsys.readouterr().out
    assert len([*tmp_path.glob("exp/t/submission/*/*.zip")]) == 1 and not (tmp_path / "exp/other/submission").exists()


# --- several runs of one system, score folders: the years after 2022


@pytest.fixture
def profile_2024(profile: Profile, tmp_path: Path) -> Profile:
    """The shipped one of 2024, filled in, of three clips and two classes of which the network knows the first two."""
    shipped = read_profile(profile_file("dcase2024"))
    rules = dataclasses.replace(shipped.rules, clips=3, classes=("Beep", "Hum", "car"))
    filled = dataclasses.replace(shipped, authors=profile.authors, rules=rules, figures={"mpauc": 0.5})
    return with_report(filled, tmp_path)


def make_runs(folder: Path, conf: Conf) -> list[Path]:
    """Three runs, of 1, 2 and 3 kWh; the second one's training was continued once."""
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
    """Two clips of ten seconds: one with an event that is found, one without any event and a false alarm throughout."""
    classes = ("Beep", "Hum")
    for clip, score in (("found", 0.9), ("empty", 0.95)):
        scores = np.full((10, 2), 0.1)
        scores[:, 0] = score
        write_scores(run / "scores" / "validation", clip, scores, 1.0, classes)
    truth = {"found": [Event(0.0, 10.0, "Beep")], "empty": []}
    write_reference(run / "truth_validation.json", Reference(truth, {"found": 10.0, "empty": 10.0}, 2))


def test_three_runs_make_a_package_of_2024_that_passes(corpus: Path, profile_2024: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    submission = build_submission(make_runs(tmp_path, conf), conf, corpus, profile_2024)
    assert submission.path == tmp_path / "seed1" / "submission" / "dcase2024" / "Doe-Muller_TUX_task4.zip"
    report = check_package(submission.path, profile_2024)
    assert (report.faults, report.rehearsal) == ((), None)
    assert [str(warning).partition(": ")[2] for warning in report.warnings] == [
        "2 measurements: right for a training that was continued; codecarbon appends when a run is repeated: "
        "one file a run"
    ] * 2
    folders = {f"{LABEL}_run{r}{kind}.output" for r in (1, 2, 3) for kind in ("", "_unprocessed")}
    names = read_zip(submission.path).keys()
    assert {name.split("/")[1] for name in names if name.endswith(".tsv")} == folders


def test_score_files_are_each_runs_own_with_the_classes_that_its_network_lacks(
    corpus: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    submission = build_submission(runs, conf, corpus, profile_2024)
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


def test_figures_of_several_runs_are_their_means(corpus: Path, profile_2024: Profile, tmp_path: Path) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    for number, run in enumerate(runs, start=1):
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | {"psds1": number / 10}))
    values = build_submission(runs, conf, corpus, profile_2024).values
    assert values["psds1"] == 0.2
    assert (values["kwh_training"], values["kwh_devtest"]) == (2.0, 2.0)


def test_all_that_measured_the_energy_of_several_runs_is_named(
    corpus: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf = tiny_conf()
    runs = make_runs(tmp_path, conf)
    for run, model in zip(runs, ("A GPU", "B GPU", "A GPU"), strict=True):
        energy = json.loads((run / "energy.json").read_text())
        energy["training"] |= {"codecarbon": "3.3", "gpu_model": model}
        (run / "energy.json").write_text(json.dumps(energy))
    values = build_submission(runs, conf, corpus, profile_2024).values
    assert values["energy_measured_by"] == "codecarbon 3.3, A GPU; codecarbon 3.3, B GPU"


def test_psds_of_2024_is_that_of_the_clips_with_events(corpus: Path, profile_2024: Profile, tmp_path: Path) -> None:
    # the false alarm lies higher than what is right: it counts in ours, and is gone with its clip
    submission = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), corpus, profile_2024)
    results = yaml.safe_load(read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"])["results"]
    assert results == {"devtest": {"desed": {"PSDS1": 1.0}, "maestro": {"mPAUC": 0.5}}}
    assert submission.values["clips_with_events"] == 1


def test_codecarbons_records_are_a_csv_a_phase_and_run(corpus: Path, profile_2024: Profile, tmp_path: Path) -> None:
    files = read_zip(build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), corpus, profile_2024).path)
    tables = {name.partition("_run")[2]: text for name, text in files.items() if name.endswith(".csv")}
    assert tables.keys() == {f"{r}_{phase}.emissions.csv" for r in (1, 2, 3) for phase in ("training", "devtest")}
    assert tables["2_training.emissions.csv"] == "run_id,energy_consumed\nr2,2.0\nr2,2.0\n"


def test_an_own_figure_that_is_not_given_is_nan_and_makes_a_rehearsal(
    corpus: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    profile = dataclasses.replace(profile_2024, figures={"mpauc": None})
    submission = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), corpus, profile)
    assert submission.rehearsal == ("mpauc is not given (`figures` in the profile)",)
    assert "mPAUC: .nan" in read_zip(submission.path)[f"{LABEL}/{LABEL}.meta.yaml"]


def test_fewer_runs_or_other_clips_make_a_rehearsal_and_more_runs_are_refused(
    corpus: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    conf, runs = tiny_conf(), make_runs(tmp_path, tiny_conf())
    profile = dataclasses.replace(profile_2024, rules=dataclasses.replace(profile_2024.rules, clips=2200))
    assert build_submission(runs[:2], conf, corpus, profile).rehearsal == (
        "3 clips, not the challenge's 2200",
        "2 of 3 runs (--run)",
    )
    with pytest.raises(RecipeError, match="4 runs: a package of DCASE 2024 Task 4 holds 3; give fewer --run"):
        build_submission([*runs, runs[0]], conf, corpus, profile)


def test_a_character_that_the_years_reader_does_not_take_is_found_in_what_was_packed_by_its_key(
    corpus: Path, profile_2024: Profile, tmp_path: Path
) -> None:
    first, second = profile_2024.authors
    lab = dataclasses.replace(first, affiliation=dataclasses.replace(first.affiliation, institute="Lab #1"))
    profile = dataclasses.replace(profile_2024, authors=(lab, second), source_code="https://x.org/#readme")
    package = build_submission(make_runs(tmp_path, tiny_conf()), tiny_conf(), corpus, profile).path
    assert [fault.what.partition(":")[0] for fault in check_package(package, profile).faults] == [
        "submission.authors.1.affiliation.institute",
        "system.source_code",
    ]


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        ((), "data_augmentation", None),
        (("augment.mixup=0.5",), "data_augmentation", "mixup"),
        (("augment.shift=0.5", "augment.band_shift=1"), "data_augmentation", "shift, band shift"),
        (("postprocess.median_filter=1",), "post_processing", None),
        (("postprocess.median_filter=5",), "post_processing", "median filtering (320 ms)"),
        (
            ("vae.clip_gate=true", "postprocess.median_filter=5"),
            "post_processing",
            "multiplication by clip probabilities, median filtering (320 ms)",
        ),
        (("tasks=[strong_synth]",), "external_data", None),
        (("tasks=[strong_synth]",), "machine_learning_semi_supervised", None),
        ((), "machine_learning_semi_supervised", "reconstruction of unlabeled clips"),
        (
            ("loss.consistency=2", "train.weight_average=0.9"),
            "machine_learning_semi_supervised",
            "reconstruction of unlabeled clips, mean-teacher student",
        ),
        (
            ("loss.consistency=2", "train.weight_average=0.9", "loss.reconstruction=0"),
            "machine_learning_semi_supervised",
            "mean-teacher student",
        ),
        (("data.soundbank=/x/my birds",), "external_data", ["AudioSet strong", "recordings of my birds"]),
    ],
    ids=str,
)
def test_what_the_meta_file_says_of_a_system_comes_from_its_configuration(
    profile: Profile, tmp_path: Path, settings: tuple[str, ...], key: str, value: object
) -> None:
    conf = tiny_conf(*settings)
    run = open_run(make_run(tmp_path, conf, "evaluation", EVALUATION))
    assert meta_values([run], conf, profile, "evaluation")[key] == value


def test_pretrained_embeddings_are_named_and_count_as_external(profile: Profile) -> None:
    conf = tiny_conf("tasks=[strong_synth]", "vae.sees=[embeddings]")
    assert embeddings(conf) == "yamnet"
    assert external_data(conf, profile) == ["pretrained weights of yamnet"]
