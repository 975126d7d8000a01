"""Augmentation of training batches, against hand-computed clips."""

import math

import pytest
import torch

from recipe_mtlvae.conf import CONF_DIR, load_conf
from recipe_mtlvae.inputs import augment as augmentations
from recipe_mtlvae.inputs.augment import AUGMENTATIONS, augment, gains
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.inputs.log_mel import LogMelInput
from recipe_mtlvae.submission.meta_values import data_augmentation
from tests.tiny import tiny_conf

LABELS = {"strong_synth": "strong", "weak": "weak", "reconstruction": "none"}
SPANS = {"strong_synth": slice(0, 2), "weak": slice(2, 4), "reconstruction": slice(4, 6)}


def batch(frames: int = 10, bands: int = 1) -> Batch:
    """Return six clips of two steps of four frames, and two more frames. Frame f of clip c has 100 c + f dB."""
    features = 100.0 * torch.arange(6)[:, None, None] + torch.arange(frames).float()
    strong, weak = torch.zeros(6, 2, 2), torch.zeros(6, 2)
    strong[0, 0, 0] = strong[1, 1, 1] = weak[0, 0] = weak[1, 1] = weak[2, 0] = weak[3, 1] = 1.0
    return Batch({"log_mel": features.expand(6, bands, frames).clone()}, strong, weak, dict(SPANS))


def augmented(clips: Batch, *settings: str) -> Batch:
    augment(clips, tiny_conf(*settings), LABELS)
    return clips


def test_by_default_nothing_is_changed_and_no_random_number_is_drawn():
    clips, before = batch(), torch.get_rng_state()
    features = clips.inputs["log_mel"]
    augmented(clips)
    assert torch.equal(torch.get_rng_state(), before)
    assert clips.inputs["log_mel"] is features and torch.equal(clips.strong, batch().strong)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_repeats_with_a_seed_and_differs_between_seeds(name):
    def features(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        clips = batch(frames=626, bands=8)
        clips.inputs["log_mel"] += torch.arange(8.0)[:, None]
        return augmented(clips, f"augment.{name}=1.0").inputs["log_mel"]

    assert torch.equal(features(1), features(1))
    assert any(not torch.equal(features(1), features(seed)) for seed in range(2, 9))


def test_clips_are_mixed_as_amplitudes_not_as_decibels():
    """0 dB is amplitude 1, 20 dB is amplitude 10: a quarter and three quarters give 7.75, and the sum is 11."""
    one, other = torch.tensor(0.0), torch.tensor(20.0)
    mixed = LogMelInput(tiny_conf()).mix
    assert mixed(one, other, 0.25, 0.75).item() == pytest.approx(20 * math.log10(7.75))
    assert mixed(one, other).item() == pytest.approx(20 * math.log10(11))


def test_mixup_mixes_labelled_clips_within_their_own_set(monkeypatch):
    """A quarter of each clip is mixed with three quarters of the other clip of its set, which is 100 dB away."""
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.25))
    monkeypatch.setattr(torch, "randperm", lambda clips, device: torch.arange(clips).flip(0))
    clips = augmented(batch(), "augment.mixup=1.0")
    expected = 20 * math.log10(0.25 + 0.75 * 10**5)  # clip 0 at frame 0: 0 dB and 100 dB
    assert clips.inputs["log_mel"][0, 0, 0].item() == pytest.approx(expected)
    assert clips.strong[0].tolist() == [[0.25, 0.0], [0.0, 0.75]]
    assert clips.weak[2].tolist() == [0.25, 0.75]
    assert torch.equal(clips.inputs["log_mel"][4:], batch().inputs["log_mel"][4:])


def test_mix_adds_another_clip_of_the_same_set_at_a_random_level_and_unites_the_labels(monkeypatch):
    """The level is 6 (2 * 0.75 - 1) = 3 dB. To clip 2, 200 dB at frame 0, clip 3 is added, 300 dB, 3 dB louder."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size if size != ((),) else (), 0.75))
    clips = augmented(batch(), "augment.mix=1.0")
    log_mel = clips.inputs["log_mel"]
    assert log_mel[2, 0, 0].item() == pytest.approx(20 * math.log10(10**10 + 10 ** (303 / 20)))
    assert log_mel[3, 0, 9].item() == pytest.approx(20 * math.log10(10 ** (309 / 20) + 10 ** (212 / 20)))
    assert clips.strong[:2].tolist() == [[[1.0, 0.0], [0.0, 1.0]]] * 2
    assert clips.weak[:4].tolist() == [[1.0, 1.0]] * 4
    assert torch.equal(clips.inputs["log_mel"][4:], batch().inputs["log_mel"][4:])  # no labels, not mixed
    assert clips.strong[2:].sum() == 0  # never across sets


def test_shift_rotates_clips_with_their_strong_labels_but_not_the_frames_after_the_last_step(monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda *bounds: torch.tensor(1))
    clips = augmented(batch(), "augment.shift=1.0")
    assert clips.inputs["log_mel"][1, 0].tolist() == [104, 105, 106, 107, 100, 101, 102, 103, 108, 109]
    assert clips.strong[0].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert clips.strong[1].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert torch.equal(clips.weak, batch().weak)


def test_shift_keeps_labels_on_their_sound():
    """The loud frames of each clip are those of its labelled steps, before and after any shift."""
    torch.manual_seed(0)
    clips = batch(frames=626)
    clips.strong = (torch.rand(6, 156, 2) < 0.5).float()
    clips.inputs["log_mel"][:, :, :624] = clips.strong[:, :, 0].repeat_interleave(4, 1)[:, None]
    before = clips.strong
    augmented(clips, "augment.shift=1.0")
    assert not torch.equal(clips.strong, before)
    assert torch.equal(clips.inputs["log_mel"][:, 0, :624:4], clips.strong[:, :, 0])


def test_band_gain_is_linear_between_its_points():
    """Six points lie at bands 0, 2, 4, 6, 8 and 10 of 11."""
    points = torch.tensor([[0.0, 6.0, -6.0, 0.0, 3.0, 3.0]])
    assert gains(points, 11)[0, :, 0].tolist() == pytest.approx([0, 3, 6, 0, -6, -3, 0, 1.5, 3, 3, 3], abs=1e-6)


def test_band_gain_changes_the_chosen_clips_alike_at_all_frames(monkeypatch):
    """Every draw is 1/4: at 0.5, all clips are chosen and each point is 6 (2 / 4 - 1) = -3 dB; at 0.2, no clip is."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, 0.25))
    clips = augmented(batch(bands=7), "augment.band_gain=0.5")
    torch.testing.assert_close(clips.inputs["log_mel"], batch(bands=7).inputs["log_mel"] - 3.0)
    clips = augmented(batch(bands=7), "augment.band_gain=0.2")
    assert torch.equal(clips.inputs["log_mel"], batch(bands=7).inputs["log_mel"])


@pytest.mark.parametrize(("moved", "expected"), [(2, [0, 0, 0, 1, 2]), (-1, [1, 2, 3, 4, 4]), (0, [0, 1, 2, 3, 4])])
def test_band_shift_moves_a_clip_and_repeats_its_outermost_band(moved, expected, monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda low, high, size, device: torch.full(size, moved))
    clips = batch(bands=5)
    clips.inputs["log_mel"][:] = torch.arange(5.0)[:, None]  # each band holds its number
    strong = clips.strong.clone()
    augmented(clips, "augment.band_shift=1.0")
    assert clips.inputs["log_mel"][3, :, 7].tolist() == expected
    assert torch.equal(clips.strong, strong)


def test_band_shift_is_drawn_for_each_clip(monkeypatch):
    """The draws for the six clips are 0, 0.2, 0.4 ...: the three below 0.5 are moved."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.arange(6.0)[:, None] / 5)
    monkeypatch.setattr(torch, "randint", lambda low, high, size, device: torch.full(size, 1))
    clips = batch(bands=5)
    clips.inputs["log_mel"][:] = torch.arange(5.0)[:, None]
    augmented(clips, "augment.band_shift=0.5")
    assert clips.inputs["log_mel"][:, 4, 0].tolist() == [3, 3, 3, 4, 4, 4]


def test_the_value_of_a_key_is_the_probability_per_batch(monkeypatch):
    turned = []
    monkeypatch.setattr(augmentations.torch, "rand", lambda *size, **_: torch.tensor(0.3))
    for value in ("0.2", "0.3", "0.4"):
        monkeypatch.setattr(
            augmentations.torch, "randint", lambda *bounds, v=value: turned.append(v) or torch.tensor(1)
        )
        augmented(batch(), f"augment.shift={value}")
    assert turned == ["0.4"]


def test_a_submission_names_the_augmentations_that_are_on():
    conf = load_conf(CONF_DIR / "mean_teacher.yaml", settings=["augment.band_gain=0.5"])
    assert data_augmentation(conf) == "mixup, band gain"
    assert data_augmentation(load_conf()) is None
