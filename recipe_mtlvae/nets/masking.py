"""Hiding frames from the encoder, to be reconstructed from the frames around them, as in masked autoencoders."""

from __future__ import annotations

import torch
from torch import Tensor

SPAN = 32  # frames: half a second


def random_spans(clips: int, frames: int, share: float, device: torch.device | None = None) -> Tensor:
    """Return a mask of random spans of each clip: (clips, 1, frames), True within a span.

    The spans cover at most `share` of the frames, but there is at least one. They may overlap.
    """
    length = min(SPAN, frames)
    number = max(1, int(share * frames / length))
    begins = (torch.rand(clips, number, 1, device=device) * (frames - length + 1)).floor()
    place = torch.arange(frames, device=device)
    return ((begins <= place) & (place < begins + length)).any(dim=1, keepdim=True)


def hidden(log_mel: Tensor, mask: Tensor) -> Tensor:
    """Return `log_mel` (clips, mels, frames) with the frames in `mask` replaced by the mean of their clip."""
    return torch.where(mask, log_mel.mean(dim=(1, 2), keepdim=True), log_mel)
