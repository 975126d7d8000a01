"""Live detection: events in a stream of sound while it arrives."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import soundfile
import torch

from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.inference.detector import Detector
from recipe_mtlvae.inference.live import LiveDetector, LiveEvent, pcm
from recipe_mtlvae.nets.checkpoint import Checkpoint, build_network, recipe_entry
from recipe_mtlvae.nets.prediction import Prediction
from tests.children import LIMIT, child
from tests.tiny import RATE, TONES, tiny_conf

STEP = 0.064  # s


class Ears(torch.nn.Module):
    """A network that scores 0.9 for a class in each step in which its tone is loud, whatever the other steps hold."""

    def predict(self, log_mel: torch.Tensor) -> Prediction:
        steps = log_mel.shape[2] // 4
        frames = log_mel[:, :, : 4 * steps].unflatten(2, (steps, 4)).mean(dim=3)  # (1, mels, steps)
        levels = torch.stack([frames[:, band] for band in BANDS], dim=2)
        strong = torch.where(levels > 0.4, 0.9, 0.1)
        return Prediction(strong, strong.amax(dim=1))


def band(hz: float) -> int:
    """Return the mel band of a tone, of 128 bands up to 8 kHz on HTK's scale."""
    mel = [2595 * np.log10(1 + f / 700) for f in (hz, 8000.0)]
    return round(mel[0] / mel[1] * 129) - 1


BANDS = [band(hz) for hz in TONES.values()]


@pytest.fixture
def detector() -> Detector:
    return Detector(Checkpoint(Ears(), tiny_conf("postprocess.median_filter=1"), tuple(TONES), 0, 0), device="cpu")


def tone(seconds: float, events: list[tuple[float, float, str]], rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.001 * np.random.default_rng(0).standard_normal(len(time))
    samples += 0.5 * np.sin(2 * np.pi * 100 * time)  # keeps the maximum of every window the same
    for onset, offset, label in events:
        samples += 0.5 * np.sin(2 * np.pi * TONES[label] * time) * ((time >= onset) & (time < offset))
    return samples.astype(np.float32)


def listen(live: LiveDetector, samples: np.ndarray, piece: int) -> list[LiveEvent]:
    said = [event for i in range(0, len(samples), piece) for event in live.feed(samples[i : i + piece])]
    return [*said, *live.finish()]


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("piece", [100, 1600, 50_000])
def test_each_event_is_reported_when_it_begins_and_when_it_ends_for_any_size_of_pieces(detector, rate, piece):
    samples = tone(8.0, [(3.2, 3.84, "Hum"), (5.0, 6.5, "Beep")], rate)
    said = listen(LiveDetector(detector, rate, 0.5), samples, piece)
    assert [(event.label, event.offset is None) for event in said] == [
        ("Hum", True),
        ("Hum", False),
        ("Beep", True),
        ("Beep", False),
    ]
    times = [said[1].onset, said[1].offset, said[3].onset, said[3].offset]
    np.testing.assert_allclose(times, [3.2, 3.84, 5.0, 6.5], atol=1.5 * STEP)
    assert {event.confidence for event in said} == {0.9}


@pytest.mark.parametrize("latency", [0.2, 0.5, 0.9])
def test_every_line_comes_within_the_stated_latency(detector, latency):
    events = [(2.5 + i, 3.0 + i, "Beep") for i in range(6)]
    live = LiveDetector(detector, RATE, latency)
    assert live.latency == pytest.approx(latency, abs=STEP / 2)
    piece = 160  # 10 ms
    said = listen(live, tone(10.0, events), piece)
    delays = [event.heard - (event.onset if event.offset is None else event.offset) for event in said]
    assert len(said) == 12
    assert max(delays) <= live.latency + STEP + piece / RATE  # an onset is the beginning of its step


def test_an_event_under_way_at_the_end_of_the_stream_ends_there(detector):
    said = listen(LiveDetector(detector, RATE, 0.5), tone(3.3, [(2.8, 9.0, "Beep")]), 1000)
    assert said[-1].offset == 3.3


def test_a_stream_shorter_than_the_first_decision_is_decided_at_its_end(detector):
    said = listen(LiveDetector(detector, RATE, 0.5), tone(1.0, [(0.3, 0.7, "Hum")]), 1000)
    assert [event.label for event in said] == ["Hum", "Hum"]
    assert listen(LiveDetector(detector, RATE, 0.5), np.empty(0, np.float32), 1000) == []


@pytest.mark.parametrize("latency", [0.128, 0.4])
def test_first_steps_are_decided_from_a_window_that_contains_them(detector, latency):
    """Training clips have 2 s: the first decision must come before the window loses the first step of the stream."""
    live, samples = LiveDetector(detector, RATE, latency), tone(2.3, [(1.7, 9.0, "Beep")])
    said = [event for i in range(0, len(samples), 100) for event in live.feed(samples[i : i + 100])]
    assert [event.label for event in said] == ["Beep"] and said[0].onset == pytest.approx(1.7, abs=STEP)


@pytest.mark.parametrize("latency", [0.128, 0.4])
def test_nothing_is_decided_before_the_warm_up(detector, latency):
    """At the shortest latency too, at which no step must follow a step before it is decided."""
    live = LiveDetector(detector, RATE, latency)
    assert list(live.feed(tone(1.6, [(0.1, 9.0, "Beep")]))) == [] and live._decided == 0


def test_memory_does_not_grow_with_the_stream(detector):
    live = LiveDetector(detector, RATE, 0.5)
    sizes = []
    for _ in range(20):
        list(live.feed(np.zeros(RATE, np.float32)))
        sizes.append(len(live._samples))
    assert max(sizes) <= 2 * RATE  # 2 s, the training length


class Recorded(LiveDetector):
    """A detector that keeps every window given to the network, and detects nothing."""

    windows: list[tuple[int, int, np.ndarray]]

    def _window(self, first: int, end: int) -> np.ndarray:
        self.windows.append((first, end, super()._window(first, end)))
        return self.windows[-1][2]

    def _scores(self, windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.zeros((self.detector.grid.steps, len(TONES)), np.float32) for _ in windows]


@pytest.fixture(scope="module")
def long_detector() -> Detector:
    """A detector with windows of 10 s."""
    conf = tiny_conf("postprocess.median_filter=1", "data.clip_seconds=10.0")
    return Detector(Checkpoint(Ears(), conf, tuple(TONES), 0, 0), device="cpu")


@pytest.mark.parametrize("latency", [1.0, 4.0])
def test_every_window_of_a_stream_of_any_length_holds_the_samples_of_the_stream(long_detector, latency):
    """Streams of 0.1 to 25 s in steps of 0.1 s: no sample is missing or moved, and zeros follow only after the end."""
    stream = np.random.default_rng(0).standard_normal(25 * RATE).astype(np.float32)
    padded = np.pad(stream, (0, RATE))
    for tenths in range(1, 251):
        live, heard = Recorded(long_detector, RATE, latency), tenths * RATE // 10
        live.windows = []
        for first in range(0, heard, RATE):
            list(live.feed(stream[first : min(first + RATE, heard)]))
        list(live.finish())
        padded[heard : heard + 1024] = 0
        assert live.windows[-1][1] == -(-heard // 1024)
        for first, end, window in live.windows[-40:]:
            np.testing.assert_array_equal(window[: 1024 * (end - first)], padded[1024 * first : 1024 * end])
            assert end - first == min(end, 156)
        padded[heard : heard + 1024] = stream[heard : heard + 1024] if heard < len(stream) else 0


@pytest.mark.parametrize("seconds", np.arange(2.1, 7.0, 0.7).round(1))
def test_the_last_steps_are_scored_like_a_recording_of_the_last_seconds(detector, seconds):
    decided = []

    class Last(LiveDetector):
        def _decide(self, first: int, scores: np.ndarray, end: int) -> Iterator[LiveEvent]:
            decided.append((first, scores))
            return super()._decide(first, scores, end)

    samples = tone(float(seconds), [(seconds - 0.8, seconds - 0.2, "Hum"), (seconds - 0.3, seconds, "Beep")])
    listen(Last(detector, RATE, 0.5), samples, 1000)
    first, scores = decided[-1]
    last = samples[1024 * first :]
    at_once = detector.detect(np.pad(last, (0, -len(last) % 1024)), RATE).scores
    np.testing.assert_array_equal(scores, at_once[: len(scores)])


@pytest.mark.parametrize("latency", [0.0, -1.0, 0.05, 5.0])
def test_a_latency_out_of_range_is_refused(detector, latency):
    with pytest.raises(RecipeError, match=r"--latency .*: expected 0.128 to 0.96 s"):
        LiveDetector(detector, RATE, latency)


def test_pcm_may_be_cut_anywhere_and_its_channels_are_averaged():
    class Dribble(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:
            return self.read(3)

    source = Dribble(np.array([[16384, 0], [-32768, -32768], [1, 3]], "<i2").tobytes() + b"\x01")
    np.testing.assert_allclose(np.concatenate(list(pcm(source, "s16le", 2))), [0.25, -1.0, 2 / 32768])


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("piece", [100, 100_000])
def test_a_file_with_a_header_is_refused(kind, piece):
    file = io.BytesIO()
    soundfile.write(file, tone(3.0, []), RATE, format=kind)

    class Pieces(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:
            return self.read(piece)

    with pytest.raises(RecipeError, match="raw PCM, got a file with a header"):
        list(pcm(Pieces(file.getvalue()), "s16le", 1))


def test_an_mp3_without_any_header_is_refused():
    file = io.BytesIO()
    soundfile.write(file, tone(3.0, []), RATE, format="MP3")
    data = file.getvalue()
    second = data.index(data[:2], 2)
    with pytest.raises(RecipeError, match="raw PCM, got a file with a header"):
        list(pcm(io.BytesIO(data[second:]), "s16le", 1))


def test_pcm_that_begins_like_an_mp3_frame_by_chance_is_accepted():
    samples = np.array([-1025, *range(5000)], "<i2")  # FF FB
    assert sum(map(len, pcm(io.BytesIO(samples.tobytes()), "s16le", 1))) == 5001


def test_floats_that_are_no_numbers_are_refused():
    with pytest.raises(RecipeError, match="NaN or infinite"):
        list(pcm(io.BytesIO(np.array([0.0, np.nan], "<f4").tobytes()), "f32le", 1))


@pytest.fixture
def command(tmp_path) -> list[str]:
    """`detect --stream -` with an untrained network, which detects everything everywhere."""
    conf = tiny_conf("postprocess.threshold=0.01")
    weights = {f"net.{name}": value for name, value in build_network(conf, len(TONES)).state_dict().items()}
    entry = recipe_entry(conf, tuple(TONES))
    torch.save({"state_dict": weights, "epoch": 0, "global_step": 0, "recipe": entry}, tmp_path / "best.ckpt")
    options = ["--checkpoint", str(tmp_path / "best.ckpt"), "--stream", "-", "--latency", "0.5"]
    return [sys.executable, "-m", "recipe_mtlvae", "detect", *options]


@pytest.mark.slow
def test_the_command_prints_json_lines_until_end_of_input_interrupt_or_closed_output(command):
    sound = (32767 * tone(6.0, [])).astype("<i2").tobytes()
    done = subprocess.run(command, input=sound, capture_output=True, check=True, timeout=LIMIT)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and set(lines[0]) == {"label", "onset", "offset", "confidence", "heard"}
    assert lines[-1]["offset"] == 6.0 and b"6.0 s received" in done.stderr

    pipes = {"stdin": subprocess.PIPE, "text": False}
    with child(*command, **pipes) as process:
        process.stdin.write(sound)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["offset"] is None
        process.send_signal(signal.SIGINT)  # Ctrl-C while it waits for more
        *_, last = process.stdout.read().splitlines()
        assert json.loads(last)["offset"] is not None
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(LIMIT) == 0

    with child(*command, **pipes) as process:
        process.stdout.close()  # as `| head` does
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(sound)
            process.stdin.close()
        assert b"Traceback" not in process.stderr.read()
