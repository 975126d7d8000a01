"""The latent space of a VAE for the report page: mu at steps with a single active class, and a latent traversal."""

from __future__ import annotations

import numpy as np
import torch

from recipe_mtlvae.inputs.prepared import Split
from recipe_mtlvae.inputs.transforms import scaled
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.nets.vae import MTLVAE
from recipe_mtlvae.report.latents import Latents, main_directions

CLIPS, STEPS = 200, 10  # at most this many clips, and steps per clip: enough for a plot
POSITIONS = np.linspace(-3.0, 3.0, 13)  # of the traversal, in standard deviations


@torch.inference_mode()
def latent_space(net: MTLVAE, split: Split, grid: Grid, classes: tuple[str, ...]) -> Latents | None:
    """Return the latents from a strong split's stored inputs; None if no step has exactly one active class."""
    rng = np.random.default_rng(0)
    means, labels = [], []
    for row, clip in enumerate(split.clips[:CLIPS]):
        targets = grid.encode(clip.events or (), classes)
        alone = np.flatnonzero(targets.sum(axis=1) == 1)
        if not len(alone):
            continue
        steps = rng.choice(alone, min(STEPS, len(alone)), replace=False)
        device = next(net.parameters()).device
        values = {name: torch.from_numpy(store.read([row])).float().to(device) for name, store in split.stores.items()}
        mu, _ = net.encode(**scaled(split.inputs, values, grid.steps))
        means.append(mu[0, steps // net.outputs_per_step].float().cpu().numpy())
        labels += [classes[i] for i in targets[steps].argmax(axis=1)]
    if not means:
        return None
    mu = np.concatenate(means)
    return Latents(mu, np.array(labels), _traversal(net, mu, grid.steps), POSITIONS)


def _traversal(net: MTLVAE, mu: np.ndarray, steps: int) -> np.ndarray | None:
    """Return the log-mel (positions, mels) that a constant z gives at its middle step; None without reconstruction."""
    if "reconstruction" not in net.heads:
        return None
    direction = main_directions(mu)[0][0]
    deviation = ((mu - mu.mean(axis=0)) @ direction).std()
    z = mu.mean(axis=0) + POSITIONS[:, None] * deviation * direction  # (positions, latent)
    steady = torch.from_numpy(z).float().to(next(net.parameters()).device)[:, None].expand(-1, steps, -1)
    step = net.frames_per_step * net.outputs_per_step  # frames of a recurrent step
    frames = net.heads["reconstruction"](net.decode(steady), steps * net.outputs_per_step)  # (positions, mels, frames)
    return frames.unflatten(2, (-1, step))[:, :, steps // 2].mean(dim=2).float().cpu().numpy()
