"""Frames that the encoder is not shown, and is to reconstruct from those around them, as masked autoencoders do."""

from __future__ import annotations

import torch
from torch import Tensor

SPAN = 32  # frames: half a second


def random_spans(clips: int, frames: int, share: float, device: torch.device | None = None) -> Tensor:
    """Some spans of each clip, at random: (clips, 1, frames), True within. At most `share` of the frames, one span at
    least; spans may overlap."""
    length = min(SPAN, frames)
    number = max(1, int(share * frames / length))
    begins = (torch.rand(clips, number, 1, device=device) * (frames - length + 1)).floor()
    place = torch.arange(frames, device=device)
    return ((begins <= place) & (place < begins + length)).any(dim=1, keepdim=True)


def hidden(log_mel: Tensor, mask: Tensor) -> Tensor:
    """`log_mel` (clips, mels, frames) with the clip's mean in the place of the frames in `mask`."""
    return torch.where(mask, log_mel.mean(dim=(1, 2), keepdim=True), log_mel)
