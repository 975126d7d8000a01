"""Augmentation of training batches, on their device, before scaling: one function each.

To add one: its function here, its name in AUGMENTATIONS, its key in conf/base.yaml and conf_sections.py: the
probability with which it is done, 0 for off. An augmentation that is off draws no random number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.inputs.registry import inputs_of

MIX_DB = 6.0  # largest level of the second clip above or below the first
GAIN_DB, GAIN_POINTS = 6.0, 6  # largest gain of a band, up or down; points over the bands, linear in between
SHIFT_BANDS = 6  # most bands that a clip is moved by


def augment(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Change a batch in place by what the configuration's `augment` switches on.

    The caller seeds torch for the step. `labels`: strong, weak or none, of the clips of each key of batch.spans.
    """
    active = [function for name, function in AUGMENTATIONS.items() if getattr(conf.augment, name) > 0]
    if active:
        batch.inputs = {name: values.float() for name, values in batch.inputs.items()}
    for function in active:
        function(batch, conf, labels)


def mixup(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """In some batches, each labelled set's clips mixed among themselves, with soft targets, as the baseline does.

    One ratio from Beta(mixup_beta, mixup_beta) a set and one order, for all inputs alike.
    """
    if torch.rand(()) >= conf.augment.mixup:
        return
    for kind, rows in _labelled(batch, labels):
        ratio = torch.distributions.Beta(conf.augment.mixup_beta, conf.augment.mixup_beta).sample().item()
        order = torch.randperm(rows.stop - rows.start, device=batch.weak.device)
        targets = batch.weak if kind == "weak" else batch.strong
        for name, source in inputs_of(conf).items():
            values = batch.inputs[name]
            values[rows] = source.mix(values[rows], values[rows][order], ratio, 1.0 - ratio)
        targets[rows] = ratio * targets[rows] + (1.0 - ratio) * targets[rows][order]


def mix(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """In some batches, each labelled set's clips get another one of the set added, up to MIX_DB louder or softer.

    Amplitudes are added, labels united.
    """
    if torch.rand(()) >= conf.augment.mix:
        return
    for _, rows in _labelled(batch, labels):
        clips = rows.stop - rows.start
        if clips < 2:
            continue
        other = torch.randint(1, clips, ()).item()  # so many places before, round about
        level = MIX_DB * (2.0 * torch.rand(clips, 1, 1, device=batch.weak.device) - 1.0)
        for name, source in inputs_of(conf).items():
            values = batch.inputs[name]
            values[rows] = source.mix(values[rows], source.gain(values[rows].roll(other, 0), level))
        for targets in (batch.strong, batch.weak):
            targets[rows] = torch.maximum(targets[rows], targets[rows].roll(other, 0))


def shift(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """In some batches, all clips and their strong labels turned round by one number of output steps.

    Values beyond the last whole step (2 frames of the 626 of 10 s) stay where they are: they have no labels.
    """
    if torch.rand(()) >= conf.augment.shift:
        return
    steps = torch.randint(batch.strong.shape[1], ()).item()
    for name, source in inputs_of(conf).items():
        values, each = batch.inputs[name], source.per_step
        whole = batch.strong.shape[1] * each
        batch.inputs[name] = torch.cat([values[:, :, :whole].roll(steps * each, 2), values[:, :, whole:]], dim=2)
    batch.strong = batch.strong.roll(steps, 1)


def band_gain(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Some clips' log-mel gets a gain that runs smoothly over the bands, up to GAIN_DB up or down."""
    clips, device = len(batch), batch.weak.device
    chosen = torch.rand(clips, 1, 1, device=device) < conf.augment.band_gain
    points = GAIN_DB * (2.0 * torch.rand(clips, GAIN_POINTS, device=device) - 1.0)
    log_mel = batch.inputs["log_mel"]
    batch.inputs["log_mel"] = log_mel + chosen * gains(points, log_mel.shape[1])


def band_shift(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Some clips' log-mel moved by up to SHIFT_BANDS bands, up or down, the outermost one repeated: another pitch."""
    clips, device, log_mel = len(batch), batch.weak.device, batch.inputs["log_mel"]
    chosen = torch.rand(clips, 1, device=device) < conf.augment.band_shift
    moved = torch.randint(-SHIFT_BANDS, SHIFT_BANDS + 1, (clips, 1), device=device) * chosen
    source = (torch.arange(log_mel.shape[1], device=device) - moved).clamp(0, log_mel.shape[1] - 1)  # (clips, bands)
    batch.inputs["log_mel"] = log_mel.gather(1, source[:, :, None].expand_as(log_mel))


# In the order in which they are done
AUGMENTATIONS: dict[str, Callable[[Batch, Conf, Mapping[str, str]], None]] = {
    "mixup": mixup,
    "mix": mix,
    "shift": shift,
    "band_gain": band_gain,
    "band_shift": band_shift,
}


def gains(points: Tensor, bands: int) -> Tensor:
    """(clips, points) in dB, the first at the lowest band, the last at the highest one -> (clips, bands, 1)"""
    return functional.interpolate(points[:, None], size=bands, mode="linear", align_corners=True).transpose(1, 2)


def _labelled(batch: Batch, labels: Mapping[str, str]) -> Iterator[tuple[str, slice]]:
    """Kind of labels and rows of the labelled sets, in the order of `labels`."""
    if unknown := batch.spans.keys() - labels.keys():
        raise ValueError(
            f"expected sets of clips whose labels are known, {', '.join(labels)}; got {', '.join(unknown)}"
        )
    return ((kind, batch.spans[name]) for name, kind in labels.items() if kind != "none" and name in batch.spans)
