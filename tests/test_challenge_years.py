"""The years of the challenge: the year of a package, the unconfirmed rules of 2023, and a user's own year."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recipe_mtlvae.submission.found_profile import found_profile
from recipe_mtlvae.submission.profile import profile_file, read_profile
from tests.package_2022 import LABEL, META, write
from tests.package_2024 import (
    check,
    good,
    meta,
    output,
    profile_of,
    scores,
    without,
)


def test_a_package_of_2023_passes_with_the_notice_that_its_rules_are_unconfirmed(tmp_path: Path) -> None:
    files = {name.replace("task4", "task4a"): text.replace("task4", "task4a") for name, text in good().items()}
    classes = read_profile(profile_file("dcase2023")).rules.classes
    files = {name: scores(classes=classes) if ".tsv" in name else text for name, text in files.items()}
    content = meta(LABEL.replace("task4", "task4a"))
    content["system"]["complexity"]["MACS"] = 2.5e8
    content["system"]["energy_consumption"]["evaluation"] = 0.1
    content["results"] = {"development_dataset": {"overall": {"PSDS1": 0.3, "PSDS2": 0.5}}}
    files[META.replace("task4", "task4a")] = yaml.safe_dump(content)
    files = {name: text for name, text in files.items() if "emissions" not in name}
    report = check(tmp_path, files, profile_of("2023", clips=None))
    assert report.faults == ()
    assert report.lines(Path("p.zip"))[0].startswith(
        "not verified: no public validator or package confirms these rules"
    )
    assert found_profile(tmp_path / "package.zip")[0] == "dcase2023"


@pytest.mark.parametrize("lost", ["nothing", "run2", META, "_run"])
def test_the_year_is_found_from_the_content_of_the_package(tmp_path: Path, lost: str) -> None:
    assert found_profile(write(tmp_path / "package.zip", without(lost)))[0] == "dcase2024"


def test_a_users_own_year_is_one_yaml_file(tmp_path: Path) -> None:
    content = yaml.safe_load(profile_file("dcase2024").read_text())
    content["challenge"], content["rules"]["classes"], content["rules"]["clips"] = "DCASE 2031", ["Rain"], 1
    content["package"] |= {"events": "{label}/all.tsv", "runs": 1, "unprocessed": None, "energy": None}
    content["package"]["columns"] = ["filename", "onset", "offset", "event_label"]
    file = tmp_path / "dcase2031.yaml"
    file.write_text(yaml.safe_dump(content))
    files = {"r.pdf": "%PDF", META: good()[META], f"{LABEL}/all.tsv": "filename\tonset\toffset\tevent_label\n"}
    files[output(1, 0)] = scores(classes=("Rain",))
    assert check(tmp_path, files, read_profile(profile_file(str(file)))).faults == ()
