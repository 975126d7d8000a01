"""Synthetic soundscapes generated from DESED's soundbank instead of fetched."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from local.desed.occurrences import main_event
from recipe_mtlvae.corpus.metadata import read_events
from tests.misbehaving_server import Site
from tests.tiny_desed import FIGURES, RECORDS, add_soundbank, generation, tree

TRAIN = "audio/train/synthetic21_train/soundscapes"
TRAIN_TSV = "metadata/train/synthetic21_train/soundscapes.tsv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "tree"


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one process: each worker would import scaper, which takes longer than ten soundscapes."""
    monkeypatch.setattr("recipe_mtlvae.processes.cores", lambda: 1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first test that needs a generated tree keeps one for the others; not to be changed."""
    return tmp_path_factory.mktemp("kept") / "tree"


@pytest.fixture
def made(fetch_tree: Callable, root: Path, site: Site, kept: Path) -> Path:
    add_soundbank(site)
    if not kept.exists():
        code, said = fetch_tree(*generation(site), root=kept)
        assert code == 0, said
    return shutil.copytree(kept, root, symlinks=True)


def test_the_requested_number_of_soundscapes_is_made_with_their_truth(made: Path) -> None:
    assert {path.name for path in (made / TRAIN).iterdir()} == {f"{i}.wav" for i in range(10)}
    events = read_events(made / TRAIN_TSV, ["Cat", "Dog"])
    assert set(events) == {f"{i}.wav" for i in range(10)}
    assert all(events.values())  # none is free of events
    assert len(list((made / "audio/validation/synthetic21_validation/soundscapes").iterdir())) == 3


@pytest.mark.parametrize("content", [b"sound\n1.wav\n", b"PK\xff"])
def test_a_list_of_validation_sounds_without_its_column_is_named(
    fetch_tree: Callable, site: Site, content: bytes
) -> None:
    add_soundbank(site)
    site.add(RECORDS["soundbank"], "soundbank_validation.tsv", content)
    code, said = fetch_tree(*generation(site))
    assert code == 1
    assert "expected a table with the column filepath; correct fetch.archives.soundbank_validation" in said


def test_main_events_have_the_shares_of_the_occurrences_file(made: Path) -> None:
    """Cat is the main event of 60 % of the clips and Dog without an offset of 40 %; clips of Dog hold only Dog."""
    assert Counter(main_event(FIGURES, i, 10) for i in range(10)) == {"Cat": 6, "Dog_nOff": 4}
    labels = {name: {event.label for event in found} for name, found in read_events(made / TRAIN_TSV, None).items()}
    assert all("Cat" in labels[f"{i}.wav"] for i in range(6))
    assert all(labels[f"{i}.wav"] == {"Dog"} for i in range(6, 10))


def test_the_soundbank_is_divided_as_published(made: Path) -> None:
    bank = made / "soundbank" / "audio"
    assert {path.name for path in (bank / "train/soundbank/foreground/Cat").iterdir()} == {"0.wav", "1.wav", "2.wav"}
    assert {path.name for path in (bank / "validation/soundbank/foreground/Cat").iterdir()} == {"3.wav"}


def test_a_complete_tree_is_left_alone_and_other_settings_are_refused(
    made: Path,
    fetch_tree: Callable,
    site: Site,
) -> None:
    site.requests.clear()
    assert (fetch_tree(*generation(site))[0], site.requests) == (0, [])
    code, said = fetch_tree(*generation(site), "fetch.soundscapes.synthetic_train=11")
    assert (code, "split 'synthetic_train' was generated with clips 10, not 11" in said) == (1, True)
    table, marker = made / TRAIN_TSV, (made / TRAIN_TSV).with_suffix(".generated.json")
    assert f"; move {made / TRAIN}, {table} and {marker} away" in said
    code, said = fetch_tree(*generation(site), "data.synthetic=download")
    assert (code, "split 'synthetic_train' holds soundscapes that were generated" in said) == (1, True)


def test_soundscapes_that_were_fetched_are_not_mixed_with_generated_ones(
    fetch_tree: Callable,
    root: Path,
    site: Site,
) -> None:
    add_soundbank(site)
    fetch_tree("data.splits=[synthetic_train]")
    for _ in range(2):  # with the audio, and with the table alone, which describes other sounds
        code, said = fetch_tree(*generation(site))
        assert (code, "holds soundscapes that were not generated here" in said) == (1, True)
        shutil.rmtree(root / TRAIN, ignore_errors=True)
    (root / TRAIN_TSV).unlink()
    assert fetch_tree(*generation(site))[0] == 0


def test_a_lost_clip_is_made_again_identically_and_another_soundbank_is_refused(
    made: Path,
    fetch_tree: Callable,
    site: Site,
) -> None:
    before = tree(made)
    (made / TRAIN / "7.wav").unlink()
    assert fetch_tree(*generation(site))[0] == 0
    assert tree(made) == before
    (made / TRAIN / "7.wav").unlink()
    shutil.rmtree(made / "soundbank/audio/train/soundbank/foreground/Dog")
    code, said = fetch_tree(*generation(site))
    assert (code, "was begun with other sounds or co-occurrence figures" in said) == (1, True)


def test_a_class_without_sounds_and_missing_backgrounds_are_named(
    fetch_tree: Callable,
    site: Site,
    tmp_path: Path,
) -> None:
    add_soundbank(site)
    for part in ("train", "validation"):
        (tmp_path / "bank" / part / "foreground" / "Cat").mkdir(parents=True)
        (tmp_path / "bank" / part / "foreground" / "Cat" / "1.wav").write_bytes(b"")
    code, said = fetch_tree(*generation(site), f"data.soundbank={tmp_path / 'bank'}")
    assert code == 1
    assert "no sounds of 'Dog'; fetch.occurrences asks for them" in said
    assert "no background sounds; add some as background/<label>/*.wav" in said


@pytest.mark.parametrize("figures", [{}, [], {"Cat": {"proba": 1.0}}, {"Cat": {**FIGURES["Cat"], "proba": 0}}])
def test_an_occurrences_file_of_another_form_is_refused(
    figures: object,
    fetch_tree: Callable,
    site: Site,
) -> None:
    add_soundbank(site)
    site.files["/occurrences.json"] = json.dumps(figures).encode()
    code, said = fetch_tree(*generation(site))
    assert (code, "occurrences.json: expected {folder: {proba" in said) == (1, True)
