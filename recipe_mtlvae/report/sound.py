"""Short audio excerpts for pages, in a format that every browser plays."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.streaming import open_stream
from recipe_mtlvae.errors import RecipeError


def snippet(path: Path, sample_rate: int, first: float, seconds: float) -> str | None:
    """Encode `seconds` of a recording, starting at `first` (s). None if it cannot be read or encoded."""
    try:
        with open_stream(path, sample_rate, first=first, seconds=seconds) as stream:
            return encoded(np.concatenate([np.empty(0, np.float32), *stream.blocks]), sample_rate)
    except RecipeError:
        return None


def encoded(samples: np.ndarray, sample_rate: int) -> str | None:
    """Encode samples as MP3, in a data URI. Every browser plays MP3, and 10 s take about 30 kB.

    None if this build of libsndfile cannot write MP3, or cannot write it at this sample rate.
    """
    import soundfile

    data = io.BytesIO()
    try:
        soundfile.write(data, np.clip(samples, -1.0, 1.0), sample_rate, format="MP3")
    except (soundfile.LibsndfileError, ValueError):
        return None
    return f"data:audio/mpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
