"""The shared recurrent VAE of the technical report (section 2.1, Figure 1).

One recurrent encoder, one posterior and one recurrent decoder serve all tasks; each task has a head
after the decoder. The syntax is Python 3.8's, so that the file also runs inside the toolkit.
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

PROJECTED = 256  # width to which embeddings are projected
LOGVAR_RANGE = (-8.0, 8.0)  # keeps exp(logvar) finite in float16


@dataclass
class VAEOutput:
    """The result of one forward pass. `output.weak` is `output.heads["weak"]`, or None if that head was not run."""

    heads: Dict[str, Tensor]  # noqa: UP006  by task: the head's output for the clips that it was run on
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
    """Logits of one or more output steps from each recurrent step."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__(sizes.width, sizes.outputs_per_step * sizes.classes)
        self.classes = sizes.classes

    def forward(self, decoded: Tensor, steps: int) -> Tensor:
        """(batch, recurrent steps, width) -> logits (batch, steps, classes)"""
        return super().forward(decoded).reshape(decoded.shape[0], -1, self.classes)[:, :steps]


class WeakHead(nn.Module):
    """Clip logits by attention pooling over the steps, with its own attention for each class."""

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


# By the kind of head in tasks.py. A head is built from HeadSizes and takes (decoded, output steps of the clip)
HEADS = {"strong": StrongHead, "weak": WeakHead, "reconstruction": ReconstructionHead}


class Projection(nn.Sequential):
    """Projects embeddings (batch, steps, width) to a width that a recurrent layer can take."""

    def __init__(self, width: int, projected: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, projected), nn.SiLU())


class MTLVAE(nn.Module):
    """Multi-task recurrent variational autoencoder.

    Args:
        classes: number of event classes
        mels: bands of the scaled log-mel
        frames_per_step: feature frames per output step
        outputs_per_step: output steps per recurrent step, 1 unless the encoder sees stacked log-mel alone; 2 halves the
            recurrent work, not the outputs
        hidden: GRU cells per direction, in encoder and decoder
        layers: GRU layers, in encoder and decoder
        latent: dimensions of z per recurrent step
        variational: False gives the report's deterministic encoder (Figure 3): z is always mu
        tasks: the heads to build, some of TASKS, at least one of them strong
        front_end: what the encoder gets of a step: `stack`, its frames in one vector, as in the report; `separable` or
            `plain`, the output of convolutions (nets/front_end.py)
        front_end_widths: channels of the convolutions
        dropout: probability for the inputs of the encoder, of the posterior and of the heads
        sees: inputs of the encoder, of `log_mel` and `embeddings`; it is always the log-mel that is reconstructed
        embedding_width: size of the embeddings of one output step
        shared_strong_head: one classifier for all strong tasks, with a separate bias for each
        clip_gate: at inference, multiply the probabilities of each step by those of its clip
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
        if outputs_per_step != 1 and (front_end != "stack" or "embeddings" in sees):
            raise ValueError(f"outputs_per_step: expected 1 with convolutions or embeddings, got {outputs_per_step}")
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
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()  # Identity draws no random numbers
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
        """Run the network on scaled log-mel (batch, mels, frames); steps = frames // frames_per_step.

        z is sampled from the posterior in training mode, and is mu in eval mode.

        rows: by task, the clips on which its head is run, like Batch.spans; other heads are not run. None: all heads
            run on all clips.
        embeddings: (batch, width, steps), needed if the encoder sees them.
        """
        mu, logvar = self.encode(log_mel, embeddings)
        z = self.sample(mu, logvar)
        decoded = self.decode(z)
        steps = log_mel.shape[2] // self.frames_per_step
        run = [task for task in self.heads if rows is None or task in rows]
        outputs = {task: self.heads[task](decoded if rows is None else decoded[rows[task]], steps) for task in run}
        return VAEOutput(outputs, mu, logvar, z)

    def encode(self, log_mel: Tensor, embeddings: Optional[Tensor] = None) -> tuple[Tensor, Tensor]:  # noqa: UP045
        """(batch, mels, frames) -> mu and logvar of the posterior, each (batch, recurrent steps, latent)"""
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
        """Return z ~ N(mu, exp(logvar)) by the reparameterisation trick; mu in eval mode or if not variational."""
        if not (self.training and self.variational):
            return mu
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)

    def decode(self, z: Tensor) -> Tensor:
        """(batch, recurrent steps, latent) -> (batch, recurrent steps, 2 * hidden), the input of every head"""
        return self.dropout(self.decoder(z))

    @torch.inference_mode()
    def predict(self, log_mel: Tensor, embeddings: Optional[Tensor] = None) -> Prediction:  # noqa: UP045
        """Return the probabilities of scaled log-mel (batch, mels, frames) for detection, by the inference heads.

        With a clip gate, the probabilities of the steps are multiplied by those of their clip.
        """
        decoded = self.decode(self.encode(log_mel, embeddings)[0])
        steps = log_mel.shape[2] // self.frames_per_step
        found = self.probabilities({task: self.heads[task](decoded, steps) for task in self.inference_heads()})
        if self.clip_gate:
            found.strong = found.strong * found.weak.unsqueeze(1)
        return found

    def inference_heads(self) -> Sequence[str]:
        """Return the tasks whose heads are used at inference: a strong one, and the weak one if there is one."""
        heads = (inference_head(kind, self.heads) for kind in ("strong", "weak"))
        return [head for head in heads if head is not None]

    def probabilities(self, outputs: Mapping[str, Tensor]) -> Prediction:
        """Return the probabilities for the logits of inference_heads, by task.

        Strong: of the strong-real head, or of strong-synthetic if that task is off. Weak: of the weak head,
        or the maximum of the strong probabilities over steps if that task is off.
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

        If the last recurrent step has too few output steps, the last frame is repeated for the missing ones.
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
