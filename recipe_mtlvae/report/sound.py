"""Sound in a page: short stretches as every browser plays them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

from recipe_mtlvae.audio.streaming import open_stream
from recipe_mtlvae.errors import RecipeError


def snippet(path: Path, sample_rate: int, first: float, seconds: float) -> str | None:
    """A stretch of a recording, in seconds; None where it cannot be read again or written."""
    try:
        with open_stream(path, sample_rate, first=first, seconds=seconds) as stream:
            return encoded(np.concatenate([np.empty(0, np.float32), *stream.blocks]), sample_rate)
    except RecipeError:
        return None


def encoded(samples: np.ndarray, sample_rate: int) -> str | None:
    """MP3 as a data URI: every browser plays it, and 10 s are some 30 kB.

    None where this build of libsndfile cannot write the format, or not at this rate.
    """
    import soundfile

    data = io.BytesIO()
    try:
        soundfile.write(data, np.clip(samples, -1.0, 1.0), sample_rate, format="MP3")
    except (soundfile.LibsndfileError, ValueError):
        return None
    return f"data:audio/mpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
