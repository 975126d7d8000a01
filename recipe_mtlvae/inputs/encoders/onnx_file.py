"""The encoder `onnx`: any encoder, as an ONNX file that takes a mono waveform and returns frames of values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from recipe_mtlvae.errors import fail
from recipe_mtlvae.files import content_hash
from recipe_mtlvae.inputs.encoders.encoder import Encoder, Layer, file_hash
from recipe_mtlvae.labels import samples_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CONTEXT = 1.0  # s of the neighbouring pieces with which each piece of a long recording is computed, at most
SLACK = 3  # frames that an encoder may return too few or too many for a clip
SIGNATURE = "expected one waveform in, float32 (samples) or (1, samples), and (frames, width) out"


class OnnxEncoder(Encoder):
    """The encoder in encoder.weights. The configuration states the width, rate and first centre of its frames."""

    portable = False

    def __init__(self, conf: Any, saved: Any = None) -> None:
        super().__init__(conf, saved)
        encoder = conf.encoder
        samples = encoder.sample_rate / encoder.frame_rate
        self.row = round(samples)
        if abs(samples - self.row) > 1e-6 * samples or not self.row:
            what = f"expected whole samples of sample_rate={encoder.sample_rate} to a frame, got {samples:g}"
            raise fail(f"encoder.frame_rate={encoder.frame_rate:g}: {what}")
        self.layers = (Layer(encoder.width, 1, encoder.first_centre, 1.0 / encoder.frame_rate),)
        # many encoders accept no more than a clip: two pieces, or one with its context on both sides
        clip = samples_of(conf.data.clip_seconds, encoder.sample_rate)
        self.reach = max(1, min(round(CONTEXT * encoder.frame_rate), clip // self.row // 4))
        self.piece = max(self.row, clip // 2 - self.row)

    @property
    def key(self) -> str:
        return content_hash("onnx", file_hash(self.file), self.row, self.layers, self.conf.data.clip_seconds)

    @property
    def state(self) -> dict[str, Any]:
        """The hash of the file, without the weights, since their licence is not known."""
        return {"sha256": file_hash(self.file)}

    def check(self) -> None:
        """Open the file and run it on a silent clip. Raises RecipeError if this fails or the frames are unexpected."""
        self.transform()

    def transform(self, real: bool = False) -> nn.Module:
        if self.saved not in (None, self.state):
            raise fail("not the encoder that the checkpoint was trained on", "put that file back there", self.file)
        frames = OnnxFrames(self.file, self.row)
        clip = np.zeros(samples_of(self.conf.data.clip_seconds, self.conf.encoder.sample_rate), np.float32)
        count, width = frames.of_clip(clip).shape
        if width != self.layers[0].channels:
            raise fail(f"encoder.width: expected {self.layers[0].channels}, got frames of width {width}", "", self.file)
        expected = len(clip) / self.row
        if abs(count - expected) > SLACK:
            what = f"encoder.frame_rate: expected about {expected:.0f} frames of a clip, got {count}"
            raise fail(what, f"is it {count / self.conf.data.clip_seconds:.4g} a second?", self.file)
        return frames


class OnnxFrames(nn.Module):
    """Compute the encoder's frames clip by clip: (batch, samples) -> (batch, width, ceil(samples / row))."""

    def __init__(self, file: Path, row: int) -> None:
        super().__init__()
        self.file, self.row = file, row
        self.session = _session(file)
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if inputs else []
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) not in (1, 2):
            got = ", ".join(f"{item.name} {item.type} {tuple(item.shape)}" for item in inputs)
            raise fail(f"{SIGNATURE}; it takes {got or 'nothing'}", "export it anew", file)
        self.name, self.batched = inputs[0].name, len(shape) == 2

    def of_clip(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) -> (frames, width)"""
        try:
            frames = self.session.run(None, {self.name: samples[None] if self.batched else samples})[0]
        except Exception as error:  # onnxruntime has its own exception classes
            reason = " ".join(str(error).split())[:150]
            raise fail(f"{SIGNATURE}; a clip of {len(samples)} samples fails: {reason}", "", self.file) from None
        if frames.ndim == 3 and len(frames) == 1:
            frames = frames[0]
        if frames.ndim != 2 or not len(frames) or frames.dtype.kind != "f":
            raise fail(f"{SIGNATURE}; it gives {frames.dtype} {frames.shape}", "export it anew", self.file)
        return frames

    def forward(self, waveform: Tensor) -> Tensor:
        rows = -(-waveform.shape[1] // self.row)
        clips = [self.of_clip(clip)[:rows] for clip in waveform.cpu().numpy()]
        # if there are fewer frames than rows, the last frame is repeated
        clips = [np.pad(clip, ((0, rows - len(clip)), (0, 0)), mode="edge") for clip in clips]
        return torch.from_numpy(np.stack(clips).astype(np.float32)).to(waveform.device).transpose(1, 2)


def _session(file: Path) -> InferenceSession:
    try:
        import onnxruntime
    except ImportError:
        raise fail("encoder.name=onnx needs the package onnxruntime", "pip install onnxruntime", file) from None
    file_hash(file)  # raises RecipeError if the file cannot be read
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime has its own exception classes
        raise fail("not an ONNX file, or a damaged one", "give the encoder's in encoder.weights", file) from None
