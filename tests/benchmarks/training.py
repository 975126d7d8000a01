"""Training clips a second of the recurrent VAE and of the baseline, interleaved in one run.

    python -m tests.benchmarks.training [--rounds 5] [--threads N]

Random features and targets of the default configuration's shapes, so that nothing but the networks is measured.
The steps take turns, so that another process or a warming processor slows all of them alike.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from recipe_mtlvae.conf import TASKS, Conf, load_conf
from recipe_mtlvae.data.batches import Batch, even_shares
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.nets.crnn import CRNN
from recipe_mtlvae.nets.losses import mtlvae_losses, weighted_sum
from recipe_mtlvae.nets.vae import MTLVAE

CLASSES = 10
STUDENT, TEACHER, OURS = "CRNN, student forward + backward alone", "CRNN, mean-teacher step", "MTLVAE, training step"


def random_batch(conf: Conf) -> Batch:
    """The default batch: 8 clips of 10 s for each of the four tasks."""
    grid = Grid.of(conf.features, conf.data.clip_seconds)
    frames = 1 + int(conf.data.clip_seconds * conf.features.sample_rate) // conf.features.hop
    spans, start = {}, 0
    for task, count in even_shares(conf.train.batch_size, TASKS).items():
        spans[task] = slice(start, start + count)
        start += count
    return Batch(
        features=(torch.rand(start, conf.features.mels, frames) * 80 - 40).half(),
        strong=(torch.rand(start, grid.steps, CLASSES) < 0.1).float(),
        weak=(torch.rand(start, CLASSES) < 0.2).float(),
        spans=spans,
    )


def mtlvae_step(conf: Conf, batch: Batch) -> Callable[[], None]:
    """Forward, all terms of the loss, backward, gradient clipping, Adam."""
    net = MTLVAE(CLASSES).train()
    optimizer = torch.optim.Adam(net.parameters(), conf.train.learning_rate)
    weights = dataclasses.asdict(conf.loss)

    def step() -> None:
        optimizer.zero_grad()
        features = batch.scaled()
        weighted_sum(mtlvae_losses(net(features, batch.spans), features, batch), weights).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), conf.train.gradient_clip)
        optimizer.step()

    return step


def student_step(batch: Batch) -> Callable[[], None]:
    """The student's forward and backward, with its two supervised losses; no teacher, no optimiser."""
    net = CRNN(CLASSES).train()

    def step() -> None:
        net.zero_grad()
        supervised(*net(batch.scaled()), batch).backward()

    return step


def mean_teacher_step(batch: Batch) -> Callable[[], None]:
    """Student and teacher forward, supervised and consistency losses, backward, Adam, moving average."""
    student = CRNN(CLASSES).train()
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        features = batch.scaled()
        strong, weak = student(features)
        with torch.no_grad():
            teacher_strong, teacher_weak = teacher(features)
        consistency = functional.mse_loss(strong, teacher_strong) + functional.mse_loss(weak, teacher_weak)
        (supervised(strong, weak, batch) + 2.0 * consistency).backward()
        optimizer.step()
        with torch.no_grad():
            for average, new in zip(teacher.parameters(), student.parameters(), strict=True):
                average.lerp_(new, 0.001)

    return step


def supervised(strong: torch.Tensor, weak: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The baseline's two losses, on a quarter of the batch each."""
    strong_rows, weak_rows = batch.spans["strong_synth"], batch.spans["weak"]
    strong_loss = functional.binary_cross_entropy(strong[strong_rows], batch.strong[strong_rows].transpose(1, 2))
    return strong_loss + functional.binary_cross_entropy(weak[weak_rows], batch.weak[weak_rows])


def interleaved(steps: dict[str, Callable[[], None]], clips: int, rounds: int) -> dict[str, list[float]]:
    """Clips a second of each step in each round, after one round that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_number:
                rates[name].append(clips / (time.perf_counter() - started))
    return rates


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each step (5)")
    parser.add_argument("--threads", type=int, help="torch's threads (its own choice)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    conf = load_conf()
    batch = random_batch(conf)
    clips = len(batch.features)
    steps = {OURS: mtlvae_step(conf, batch), STUDENT: student_step(batch), TEACHER: mean_teacher_step(batch)}
    rates = interleaved(steps, clips, options.rounds)

    wait = os.environ.get("OMP_WAIT_POLICY", "default")
    print(f"{processor()}, {os.cpu_count()} cores; {torch.get_num_threads()} threads, OMP_WAIT_POLICY {wait}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}; batch {clips}, clips of 10 s")
    print(f"{'clips a second':<42}{'median':>8}{'lowest':>8}{'highest':>8}   of {options.rounds}")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name:<42}{medians[name]:8.1f}{min(values):8.1f}{max(values):8.1f}")
    for name in (STUDENT, TEACHER):
        print(f"{OURS} / {name}: {medians[OURS] / medians[name]:.1f}")


if __name__ == "__main__":
    main()
