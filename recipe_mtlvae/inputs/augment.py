"""Augmentation of training batches, on the batch's device and before scaling: one function for each augmentation.

To add one, write its function here, list it in AUGMENTATIONS, and add its key to conf/base.yaml and conf_sections.py.
The value of the key is a probability; 0 switches the augmentation off. It then draws no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from recipe_mtlvae.conf import Conf
from recipe_mtlvae.inputs.batches import Batch
from recipe_mtlvae.inputs.registry import inputs_of

MIX_DB = 6.0  # largest gain of the added clip, up or down
GAIN_DB, GAIN_POINTS = 6.0, 6  # largest gain of a band, up or down; random points over the bands, linear in between
SHIFT_BANDS = 6  # largest shift, up or down


def augment(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Apply the augmentations that are switched on in the configuration's section `augment`, in place.

    The caller seeds torch for each step. labels: for each key of batch.spans, the kind of labels that its clips have:
    strong, weak or none.
    """
    active = [function for name, function in AUGMENTATIONS.items() if getattr(conf.augment, name) > 0]
    if active:
        batch.inputs = {name: values.float() for name, values in batch.inputs.items()}
    for function in active:
        function(batch, conf, labels)


def mixup(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Mix the clips of each labelled set with each other, with soft targets, as the baseline does.

    A batch is chosen with probability `augment.mixup`. Each set draws one mixing ratio from
    Beta(mixup_beta, mixup_beta) and one permutation, which all its inputs share.
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
    """Add to each clip of a labelled set another clip of the set, up to MIX_DB louder or softer.

    A batch is chosen with probability `augment.mix`. Amplitudes are added; the targets are the union of both clips'.
    """
    if torch.rand(()) >= conf.augment.mix:
        return
    for _, rows in _labelled(batch, labels):
        clips = rows.stop - rows.start
        if clips < 2:
            continue
        other = torch.randint(1, clips, ()).item()  # each clip gets the clip this many rows before it, cyclically
        level = MIX_DB * (2.0 * torch.rand(clips, 1, 1, device=batch.weak.device) - 1.0)
        for name, source in inputs_of(conf).items():
            values = batch.inputs[name]
            values[rows] = source.mix(values[rows], source.gain(values[rows].roll(other, 0), level))
        for targets in (batch.strong, batch.weak):
            targets[rows] = torch.maximum(targets[rows], targets[rows].roll(other, 0))


def shift(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Roll all clips and their strong labels in time by the same random number of output steps.

    A batch is chosen with probability `augment.shift`. Values after the last whole step (2 of the 626 frames of 10 s)
    have no labels and stay in place.
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
    """Add a gain that varies smoothly over the bands, from -GAIN_DB to GAIN_DB, to the log-mel of some clips.

    Each clip is chosen with probability `augment.band_gain`.
    """
    clips, device = len(batch), batch.weak.device
    chosen = torch.rand(clips, 1, 1, device=device) < conf.augment.band_gain
    points = GAIN_DB * (2.0 * torch.rand(clips, GAIN_POINTS, device=device) - 1.0)
    log_mel = batch.inputs["log_mel"]
    batch.inputs["log_mel"] = log_mel + chosen * gains(points, log_mel.shape[1])


def band_shift(batch: Batch, conf: Conf, labels: Mapping[str, str]) -> None:
    """Shift the log-mel of some clips by up to SHIFT_BANDS bands, up or down, which changes the pitch.

    Each clip is chosen with probability `augment.band_shift`. The outermost band is repeated.
    """
    clips, device, log_mel = len(batch), batch.weak.device, batch.inputs["log_mel"]
    chosen = torch.rand(clips, 1, device=device) < conf.augment.band_shift
    moved = torch.randint(-SHIFT_BANDS, SHIFT_BANDS + 1, (clips, 1), device=device) * chosen
    source = (torch.arange(log_mel.shape[1], device=device) - moved).clamp(0, log_mel.shape[1] - 1)  # (clips, bands)
    batch.inputs["log_mel"] = log_mel.gather(1, source[:, :, None].expand_as(log_mel))


# In the order in which they are applied
AUGMENTATIONS: dict[str, Callable[[Batch, Conf, Mapping[str, str]], None]] = {
    "mixup": mixup,
    "mix": mix,
    "shift": shift,
    "band_gain": band_gain,
    "band_shift": band_shift,
}


def gains(points: Tensor, bands: int) -> Tensor:
    """Interpolate gains in dB over the bands: (clips, points), the first at the lowest band -> (clips, bands, 1)."""
    return functional.interpolate(points[:, None], size=bands, mode="linear", align_corners=True).transpose(1, 2)


def _labelled(batch: Batch, labels: Mapping[str, str]) -> Iterator[tuple[str, slice]]:
    """Return the kind of labels and the rows of each labelled set, in the order of `labels`."""
    if unknown := batch.spans.keys() - labels.keys():
        raise ValueError(
            f"expected sets of clips whose labels are known, {', '.join(labels)}; got {', '.join(unknown)}"
        )
    return ((kind, batch.spans[name]) for name, kind in labels.items() if kind != "none" and name in batch.spans)
