"""latents.npz: what prediction wrote of a network's latent space, so that a page needs no network."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.files import atomic_write


@dataclass(frozen=True)
class Latents:
    """mu at steps in which one class alone sounds, and a walk through the latent space, decoded."""

    mu: np.ndarray  # (points, latent)
    label: np.ndarray  # (points,) class names
    traversal: np.ndarray | None  # (positions, mels) scaled log-mel, of a steady z; None without a decoder of features
    positions: np.ndarray  # (positions,) in standard deviations of mu along its main direction


def write_latents(run_dir: Path, latents: Latents) -> None:
    with atomic_write(run_dir / "latents.npz") as temporary, temporary.open("wb") as stream:
        arrays = {"mu": latents.mu, "label": latents.label, "positions": latents.positions}
        if latents.traversal is not None:
            arrays["traversal"] = latents.traversal
        np.savez_compressed(stream, **arrays)


def read_latents(run_dir: Path) -> Latents | None:
    """None where there is none, or another version's."""
    try:
        with np.load(run_dir / "latents.npz", allow_pickle=False) as file:
            return Latents(file["mu"], file["label"], file.get("traversal"), file["positions"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def main_directions(mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA of (points, latent): the two main directions (2, latent), and the share of the variance of each (2,)."""
    centred = mu - mu.mean(axis=0)
    _, strengths, directions = np.linalg.svd(centred, full_matrices=False)
    shares = strengths**2 / max(float((strengths**2).sum()), 1e-12)
    return directions[:2], shares[:2]
