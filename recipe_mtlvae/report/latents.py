"""latents.npz: what the prediction stage records of the latent space, so that the page needs no network."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe_mtlvae.files import atomic_write


@dataclass(frozen=True)
class Latents:
    """mu at steps in which exactly one class is active, and the decoded output of a walk through the latent space."""

    mu: np.ndarray  # (points, latent)
    label: np.ndarray  # (points,) class names
    traversal: np.ndarray | None  # (positions, mels) scaled log-mel decoded from a constant z; None: no such decoder
    positions: np.ndarray  # (positions,) in standard deviations of mu along its main direction


def write_latents(run_dir: Path, latents: Latents) -> None:
    with atomic_write(run_dir / "latents.npz") as temporary, temporary.open("wb") as stream:
        arrays = {"mu": latents.mu, "label": latents.label, "positions": latents.positions}
        if latents.traversal is not None:
            arrays["traversal"] = latents.traversal
        np.savez_compressed(stream, **arrays)


def read_latents(run_dir: Path) -> Latents | None:
    """Return the latents of a run; None if the file is missing, damaged or of another version."""
    try:
        with np.load(run_dir / "latents.npz", allow_pickle=False) as file:
            return Latents(file["mu"], file["label"], file.get("traversal"), file["positions"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def main_directions(mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PCA of `mu` (points, latent). Returns two main directions (2, latent) and their shares of the variance (2,)."""
    centred = mu - mu.mean(axis=0)
    _, strengths, directions = np.linalg.svd(centred, full_matrices=False)
    shares = strengths**2 / max(float((strengths**2).sum()), 1e-12)
    return directions[:2], shares[:2]
