"""The recurrent VAE with the network interface of the baseline's toolkit (DCASE-REPO/DESED_task).

It takes the place of the toolkit's CRNN. The syntax is that of Python 3.8, on which the toolkit runs.
This file and those that it imports need no package but torch.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional  # noqa: UP035  Python 3.8

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipe_mtlvae.nets.losses import kl_per_dimension, reconstruction_mse
from recipe_mtlvae.nets.vae import MTLVAE, VAEOutput
from recipe_mtlvae.tasks import TOOLKIT_TASKS, inference_head


class ToolkitOutput(NamedTuple):
    """Probabilities in [0, 1]; unpacks as the toolkit's (strong, weak)."""

    strong: Tensor  # (batch, classes, steps)
    weak: Tensor  # (batch, classes)


class ToolkitMTLVAE(nn.Module):
    """MTLVAE with the toolkit's call signature and output.

    It expects log-mel scaled to [-1, 1], as in the toolkit since its commit 471c35a of May 2024 and in
    `features.scale_range` by default. The toolkit of 2021 to April 2024 scales to [0, 1], with which the network must
    then have been trained.

    Args:
        net: the network to wrap; of its strong heads, the strong-real one is used if there is one.
            None: a new network of the default size, with one strong head, for the ten DESED classes
    Attributes:
        output: VAEOutput of the last call (mu, logvar, reconstruction ...); None before the first call
    """

    def __init__(self, net: Optional[MTLVAE] = None) -> None:  # noqa: UP045
        super().__init__()
        self.net = MTLVAE(tasks=TOOLKIT_TASKS) if net is None else net
        self.output: Optional[VAEOutput] = None  # noqa: UP045
        self._features: Optional[Tensor] = None  # noqa: UP045

    def forward(
        self,
        x: Tensor,
        pad_mask: Optional[Tensor] = None,  # noqa: UP045
        embeddings: Optional[Tensor] = None,  # noqa: UP045
        classes_mask: Optional[Tensor] = None,  # noqa: UP045
    ) -> ToolkitOutput:
        """Return probabilities for log-mel (batch, mels, frames) scaled as in training.

        The number of steps is frames // frames_per_step.

        pad_mask: (batch, 1, steps) bool, True at padding, which then does not count in the clip probability.
        embeddings: (batch, width, any number of frames) of a pretrained encoder, spread evenly over the clip as in
            the toolkit; ignored by a network that does not use them.
        classes_mask: (batch, classes) bool, False for classes that a clip's data set does not label; they get 0.
        """
        output = self.net(x, embeddings=self._on_grid(x, embeddings))
        self.output, self._features = output, x
        strong = torch.sigmoid(output.heads[inference_head("strong", output.heads)])  # (batch, steps, classes)
        weak = self._weak(output, strong, pad_mask)  # (batch, classes)
        if self.net.clip_gate and not self.training:  # for detection, not for the loss
            strong = strong * weak.unsqueeze(1)
        if classes_mask is not None:
            strong = strong.masked_fill(~classes_mask.unsqueeze(1), 0.0)
            weak = weak.masked_fill(~classes_mask, 0.0)
        return ToolkitOutput(strong=strong.transpose(1, 2), weak=weak)

    def _on_grid(self, x: Tensor, embeddings: Optional[Tensor]) -> Optional[Tensor]:  # noqa: UP045
        """The embeddings' means over each output step, (batch, width, steps), as in the toolkit; None if unused."""
        if self.net.projection is None or embeddings is None:
            return None
        return functional.adaptive_avg_pool1d(embeddings, x.shape[2] // self.net.frames_per_step)

    def loss_terms(self, unlabeled: slice) -> Dict[str, Tensor]:  # noqa: UP006
        """Return the terms of the last call that the toolkit's training step lacks, unweighted.

        reconstruction: mean squared error of the clips `unlabeled` (a slice of the batch), as in the report;
        kld: mean over all clips, steps and latent dimensions; absent if the network is deterministic.
        """
        if self.output is None or self._features is None:
            raise RuntimeError("loss_terms: call the network first, its terms are those of the last batch")
        terms = {}
        if self.output.reconstruction is not None:
            features = self._features[unlabeled]
            if len(features) == 0:
                raise ValueError(f"loss_terms: no clip of the {len(self._features)} in the batch is in {unlabeled}")
            terms["reconstruction"] = reconstruction_mse(self.output.reconstruction[unlabeled], features)
        if self.net.variational:
            terms["kld"] = kl_per_dimension(self.output.mu, self.output.logvar).mean()
        return terms

    def _weak(self, output: VAEOutput, strong: Tensor, pad_mask: Optional[Tensor]) -> Tensor:  # noqa: UP045
        """Clip probabilities (batch, classes): of the weak head, or the maximum of `strong` without that head."""
        if output.weak is None:
            kept = strong if pad_mask is None else strong.masked_fill(pad_mask.transpose(1, 2), 0.0)
            return kept.amax(dim=1)
        if pad_mask is None:
            return torch.sigmoid(output.weak)
        decoded = self.net.decode(output.z)  # (batch, steps, 2 * hidden)
        head = self.net.heads["weak"]
        each = self.net.outputs_per_step
        outputs = functional.pad(pad_mask[:, 0].float(), (0, -pad_mask.shape[2] % each), value=1.0)
        padding = outputs.unflatten(1, (-1, each)).amin(dim=2) > 0  # (batch, recurrent steps)
        kept = [clip[~padded].unsqueeze(0) for clip, padded in zip(decoded, padding)]  # noqa: B905
        logits = [head(clip, steps=clip.shape[1]) for clip in kept]
        return torch.sigmoid(torch.cat(logits))

    def __getstate__(self) -> Dict[str, object]:  # noqa: UP006
        """Leave out the last call's tensors, since the toolkit copies its student and a graph cannot be copied."""
        return {**self.__dict__, "output": None, "_features": None}
