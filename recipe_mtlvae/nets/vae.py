"""The shared recurrent VAE of the technical report (section 2.1, Figure 1).

One recurrent encoder, one posterior and one recurrent decoder serve all tasks; after the decoder
stands one head a task. The syntax is Python 3.8's, so that the file also runs inside the toolkit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, NamedTuple, Optional, Sequence  # noqa: UP035  Python 3.8

import torch
from torch import Tensor, nn

from recipe_mtlvae.nets.front_end import ConvolutionFrontEnd
from recipe_mtlvae.nets.gru import BidirectionalGRU
from recipe_mtlvae.nets.prediction import Prediction
from recipe_mtlvae.tasks import TASKS, inference_head, with_head

PROJECTED = 256  # values that embeddings are brought to
LOGVAR_RANGE = (-8.0, 8.0)  # keeps exp(logvar) finite in float16


@dataclass
class VAEOutput:
    """What one forward pass gives. `output.weak` is `output.heads["weak"]`, or None where that head was not run."""

    heads: Dict[str, Tensor]  # noqa: UP006  by task, of the clips that the head was run on, in its own shape
    mu: Tensor  # (batch, recurrent steps, latent)
    logvar: Tensor  # (batch, recurrent steps, latent)
    z: Tensor  # (batch, recurrent steps, latent)

    def __getattr__(self, name: str) -> Optional[Tensor]:  # noqa: UP045
        if name in TASKS:
            return self.heads.get(name)
        raise AttributeError(name)


class HeadSizes(NamedTuple):
    """What the size of a head depends on."""

    width: int  # of the decoder's output
    classes: int
    mels: int
    frames_per_step: int
    outputs_per_step: int


class StrongHead(nn.Linear):
    """Logits of one or more output steps from each recurrent one."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__(sizes.width, sizes.outputs_per_step * sizes.classes)
        self.classes = sizes.classes

    def forward(self, decoded: Tensor, steps: int) -> Tensor:
        """(batch, recurrent steps, width) -> logits (batch, steps, classes)"""
        return super().forward(decoded).reshape(decoded.shape[0], -1, self.classes)[:, :steps]


class WeakHead(nn.Module):
    """Clip logits by attention pooling over the steps, one attention a class."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.classify = nn.Linear(sizes.width, sizes.classes)
        self.attend = nn.Linear(sizes.width, sizes.classes)

    def forward(self, decoded: Tensor, steps: int) -> Tensor:
        """(batch, recurrent steps, width) -> logits (batch, classes), from all recurrent steps"""
        attention = torch.softmax(self.attend(decoded), dim=1)
        return (attention * self.classify(decoded)).sum(dim=1)


class ReconstructionHead(nn.Linear):
    """The scaled log-mel frames of each recurrent step."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__(sizes.width, sizes.mels * sizes.frames_per_step * sizes.outputs_per_step)
        self.mels, self.frames_per_step = sizes.mels, sizes.frames_per_step

    def forward(self, decoded: Tensor, steps: int) -> Tensor:
        """(batch, recurrent steps, width) -> (batch, mels, steps * frames_per_step)"""
        frames = super().forward(decoded).reshape(decoded.shape[0], -1, self.mels)  # (batch, frames, mels)
        return frames[:, : steps * self.frames_per_step].transpose(1, 2)


# By the kind that tasks.py gives. A head is built from HeadSizes and takes (decoded, output steps of the clip)
HEADS = {"strong": StrongHead, "weak": WeakHead, "reconstruction": ReconstructionHead}


class Projection(nn.Sequential):
    """Embeddings (batch, steps, width) to as few values as a recurrent layer takes."""

    def __init__(self, width: int, projected: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, projected), nn.SiLU())


class MTLVAE(nn.Module):
    """Multi-task recurrent variational autoencoder.

    Args:
        classes: number of event classes
        mels: bands of the scaled log-mel
        frames_per_step: feature frames to one output step
        outputs_per_step: output steps to one recurrent step; 2 halves the recurrent work, not the outputs
        hidden: GRU cells a direction, in encoder and decoder
        layers: GRU layers, in encoder and decoder
        latent: dimensions of z a step
        variational: False gives the report's deterministic encoder (Figure 3): z = mu always
        tasks: the heads to build, some of TASKS, a strong one among them
        front_end: what the encoder sees of a step: `stack`, its frames side by side, as in the report; `separable` or
            `plain`, convolutions (nets/front_end.py), with outputs_per_step 1
        front_end_widths: channels of the convolutions
        dropout: of what the encoder, the posterior and the heads get
        sees: of the inputs `log_mel` and `embeddings` those that the encoder sees; what is reconstructed is the log-mel
        embedding_width: values of the embeddings to an output step
        shared_strong_head: one classifier for all strong tasks, with a bias of its own for each
        clip_gate: to detect, each step's probability is multiplied by its clip's
    """

    def __init__(
        self,
        classes: int = 10,
        mels: int = 128,
        frames_per_step: int = 4,
        outputs_per_step: int = 1,
        hidden: int = 128,
        layers: int = 2,
        latent: int = 64,
        variational: bool = True,
        tasks: Sequence[str] = tuple(TASKS),
        front_end: str = "stack",
        front_end_widths: Sequence[int] = (16, 32, 64, 96, 128),
        dropout: float = 0.0,
        sees: Sequence[str] = ("log_mel",),
        embedding_width: int = 1792,
        shared_strong_head: bool = False,
        clip_gate: bool = False,
    ) -> None:
        super().__init__()
        if not with_head("strong", tasks) or set(tasks) - set(TASKS):
            raise ValueError(f"tasks: expected some of {tuple(TASKS)}, a strong one among them; got {tuple(tasks)}")
        self.mels = mels
        self.frames_per_step = frames_per_step
        self.outputs_per_step = outputs_per_step
        self.variational = variational
        self.clip_gate = clip_gate
        self.front_end, self.projection, width = None, None, 0
        if "log_mel" in sees and front_end == "stack":
            width = mels * frames_per_step * outputs_per_step
        elif "log_mel" in sees:
            separable = front_end == "separable"
            self.front_end = ConvolutionFrontEnd(mels, frames_per_step, front_end_widths, separable)
            width = self.front_end.width
        if "embeddings" in sees:
            self.projection = Projection(embedding_width, PROJECTED)
            width += PROJECTED
        self.sees = tuple(sees)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()  # which draws no random number
        self.encoder = BidirectionalGRU(width, hidden, layers)
        self.posterior = nn.Linear(2 * hidden, 2 * latent)
        self.decoder = BidirectionalGRU(latent, hidden, layers)
        sizes = HeadSizes(2 * hidden, classes, mels, frames_per_step, outputs_per_step)
        self.heads = nn.ModuleDict({task: _new_head(task, sizes) for task in TASKS if task in tasks})
        if shared_strong_head:
            first, *others = with_head("strong", tasks)
            for other in others:
                self.heads[other].weight = self.heads[first].weight

    def forward(
        self,
        log_mel: Tensor,
        rows: Optional[Mapping[str, slice]] = None,  # noqa: UP045
        embeddings: Optional[Tensor] = None,  # noqa: UP045
    ) -> VAEOutput:
        """Scaled log-mel (batch, mels, frames) and embeddings (batch, width, steps), where the encoder sees them, ->
        VAEOutput; steps = frames // frames_per_step.

        z is sampled from the posterior in training mode, and is mu in eval mode. `rows`, as Batch.spans: the clips
        that each task's head is run on; a head that is not named is not run. None: all heads on all clips.
        """
        mu, logvar = self.encode(log_mel, embeddings)
        z = self.sample(mu, logvar)
        decoded = self.decode(z)
        steps = log_mel.shape[2] // self.frames_per_step
        run = [task for task in self.heads if rows is None or task in rows]
        outputs = {task: self.heads[task](decoded if rows is None else decoded[rows[task]], steps) for task in run}
        return VAEOutput(outputs, mu, logvar, z)

    def encode(self, log_mel: Tensor, embeddings: Optional[Tensor] = None) -> tuple[Tensor, Tensor]:  # noqa: UP045
        """(batch, mels, frames) -> mu and logvar of the posterior, each (batch, recurrent steps, latent)."""
        self._check(log_mel)
        seen = []
        if "log_mel" in self.sees:
            seen.append(self._stack(log_mel) if self.front_end is None else self.front_end(log_mel))
        if self.projection is not None:
            if embeddings is None:
                raise ValueError("embeddings: expected (batch, width, steps), got none")
            seen.append(self.projection(embeddings.transpose(1, 2)))  # (batch, steps, PROJECTED)
        encoded = self.encoder(self.dropout(torch.cat(seen, dim=2) if len(seen) > 1 else seen[0]))
        mu, logvar = self.posterior(self.dropout(encoded)).chunk(2, dim=-1)
        return mu, logvar.clamp(*LOGVAR_RANGE)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """z ~ N(mu, exp(logvar)) by the reparameterisation trick; mu where nothing is to be sampled."""
        if not (self.training and self.variational):
            return mu
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)

    def decode(self, z: Tensor) -> Tensor:
        """(batch, recurrent steps, latent) -> (batch, recurrent steps, 2 * hidden), the input of every head."""
        return self.dropout(self.decoder(z))

    @torch.inference_mode()
    def predict(self, log_mel: Tensor, embeddings: Optional[Tensor] = None) -> Prediction:  # noqa: UP045
        """Scaled log-mel (batch, mels, frames) -> probabilities to detect by, with the inference heads.

        With a clip gate, the strong ones are multiplied by their clip's.
        """
        decoded = self.decode(self.encode(log_mel, embeddings)[0])
        steps = log_mel.shape[2] // self.frames_per_step
        found = self.probabilities({task: self.heads[task](decoded, steps) for task in self.inference_heads()})
        if self.clip_gate:
            found.strong = found.strong * found.weak.unsqueeze(1)
        return found

    def inference_heads(self) -> Sequence[str]:
        """The tasks whose heads answer at inference: a strong one, and the weak one where there is one."""
        heads = (inference_head(kind, self.heads) for kind in ("strong", "weak"))
        return [head for head in heads if head is not None]

    def probabilities(self, outputs: Mapping[str, Tensor]) -> Prediction:
        """The logits of inference_heads, by task -> probabilities.

        Strong: the strong-real head, or strong-synthetic where that task is off. Weak: the weak head,
        or the maximum over steps of the strong one where that task is off.
        """
        strong_head, *weak_head = self.inference_heads()
        strong = torch.sigmoid(outputs[strong_head])
        weak = torch.sigmoid(outputs[weak_head[0]]) if weak_head else strong.amax(dim=1)
        return Prediction(strong=strong, weak=weak)

    def _check(self, features: Tensor) -> None:
        if features.dim() != 3 or features.shape[1] != self.mels or features.shape[2] < self.frames_per_step:
            expected = f"(batch, {self.mels}, frames >= {self.frames_per_step})"
            raise ValueError(f"features: expected {expected}, got {tuple(features.shape)}")

    def _stack(self, features: Tensor) -> Tensor:
        """(batch, mels, frames) -> (batch, recurrent steps, outputs_per_step * frames_per_step * mels)

        Where the last recurrent step has too few output steps, the last frame stands for those that lack.
        """
        frames = features[:, :, : features.shape[2] // self.frames_per_step * self.frames_per_step]
        if self.outputs_per_step > 1:
            lacking = (self.outputs_per_step - 1) * self.frames_per_step  # at most
            frames = torch.cat([frames, frames[:, :, -1:].expand(-1, -1, lacking)], dim=2)
        together = self.outputs_per_step * self.frames_per_step
        steps = frames.shape[2] // together
        frames = frames[:, :, : steps * together].transpose(1, 2)  # (batch, frames, mels)
        return frames.reshape(features.shape[0], steps, together * self.mels)


def _new_head(task: str, sizes: HeadSizes) -> nn.Module:
    kind = TASKS[task].head
    if kind not in HEADS:
        raise ValueError(f"task '{task}': expected a head of the kinds {', '.join(HEADS)}; got '{kind}'")
    return HEADS[kind](sizes)
