"""YAMNet (Google, Apache-2.0): a MobileNet v1 trained on AudioSet, run over a whole recording.

Written from its published description (tensorflow/models, research/audioset/yamnet): log-mel of 25 ms frames every
10 ms, fourteen layers that halve time and frequency five times, then 521 classes. The original computes each window of
0.96 s separately. Here the layers run over the whole recording, so that every step of a layer has its own embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # Hz
LOG_OFFSET = 0.001
PART = math.gcd(WINDOW, HOP)  # samples; frames overlap by a whole number of parts
COUNT = WINDOW // PART
STEP = HOP / SAMPLE_RATE  # s from frame to frame
HALVED = 32  # frames per step of the last layer
CLASSES = 521
# Stride and output channels of layers 2 to 14
LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))
TAPS = (6, 12, 14)  # layers whose outputs are the embeddings: 256, 512, 1,024 channels every 80, 160, 320 ms


class YAMNet(nn.Module):
    """The frozen network, with batch norm folded into its convolutions. Its weights come from `load_state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel_triangles(), persistent=False)
        layers: list[nn.Module] = [nn.Conv2d(1, 32, 3, 2)]
        channels = 32
        for stride, width in LAYERS:
            depthwise = nn.Conv2d(channels, channels, 3, stride, padding=2 - stride, groups=channels)
            layers.append(nn.Sequential(depthwise, nn.ReLU(), nn.Conv2d(channels, width, 1)))
            channels = width
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(channels, CLASSES)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, waveform: Tensor, spectrum: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
        """Return the output of each layer in TAPS, averaged over the bands: (batch, steps, channels).

        waveform: mono (batch, samples) at 16 kHz. Silence is appended so that the number of frames is a multiple of 32.
        A step of layer l lasts tap_step(l) seconds. spectrum: see log_mel.
        """
        maps, found = self.log_mel(waveform, spectrum)[:, None], []
        for number, layer in enumerate(self.layers, start=1):
            maps = self._layer(number, layer, maps)
            if number in TAPS:
                found.append(maps.mean(dim=3).transpose(1, 2))
        return found

    def logits(self, log_mel: Tensor) -> Tensor:
        """Return the logits of the 521 classes (batch, 521) as the original does, from windows (batch, 96, 64)."""
        maps = log_mel[:, None]
        for number, layer in enumerate(self.layers, start=1):
            maps = self._layer(number, layer, maps)
        return self.classifier(maps.mean(dim=(2, 3)))

    def log_mel(self, waveform: Tensor, spectrum: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(batch, samples) -> (batch, frames, bands). Frame n begins at sample n * HOP.

        The number of frames is a multiple of 32. spectrum: a function from windowed frames to magnitudes; None: FFT.
        """
        block = HOP * HALVED
        length = (waveform.shape[1] + block - 1) // block * block
        waveform = functional.pad(waveform, (0, length - HOP + WINDOW - waveform.shape[1]))
        # frames are joined from blocks of 80 samples, so that an exported file fixes no length
        parts = waveform.reshape(waveform.shape[0], -1, PART)
        frames = torch.cat([parts[:, i : i + 1 - COUNT or None : HOP // PART] for i in range(COUNT)], dim=2)
        frames = frames * self.window
        magnitudes = torch.fft.rfft(frames, FFT).abs() if spectrum is None else spectrum(frames)
        return torch.log(magnitudes @ self.filters + LOG_OFFSET)

    @staticmethod
    def _layer(number: int, layer: nn.Module, maps: Tensor) -> Tensor:
        stride = 2 if number == 1 else LAYERS[number - 2][0]
        if stride == 2:  # TensorFlow's padding "same" extends even sizes only at the end
            maps = functional.pad(maps, (0, 1, 0, 1))
        return functional.relu(layer(maps))


def tap_step(layer: int) -> float:
    """Return the time in seconds from one step of a layer to the next."""
    return STEP * tap_stride(layer)


def tap_centre(layer: int) -> float:
    """Return the time in seconds from the start of the recording to the centre of a layer's first receptive field.

    The centre is that of the step's last frame, because each halving pads only at the end.
    """
    return STEP * (tap_stride(layer) - 1) + WINDOW / SAMPLE_RATE / 2


def tap_stride(layer: int) -> int:
    """Return the number of frames per step of a layer."""
    return 2 * math.prod(stride for stride, _ in LAYERS[: layer - 1])


def mel_triangles() -> Tensor:
    """Return triangular filters (FFT // 2 + 1, BANDS) of height 1, linear on the HTK mel scale; the 0 Hz bin is 0."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    bins = mel(torch.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    triangles[0] = 0.0
    return triangles.float()
