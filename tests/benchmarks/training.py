"""Benchmark a training step of the recurrent VAE and of the baseline on random batches of the default shapes."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from local.training.mtlvae import MTLVAETraining
from local.training.schedule import Plan
from recipe_mtlvae.conf import CONF_DIR, Conf, load_conf
from recipe_mtlvae.inputs.batches import Batch, even_shares
from recipe_mtlvae.inputs.log_mel import LogMelInput, scale
from recipe_mtlvae.inputs.registry import inputs_of
from recipe_mtlvae.labels import Grid
from recipe_mtlvae.nets.crnn import CRNN
from recipe_mtlvae.tasks import TASKS
from tests.benchmarks.machine import product
from tests.benchmarks.timing import Goal, Line, Way, race
from tests.stand_in_trainer import attach_trainer

CLASSES = 10
REPORTS, PLUS = (Goal("ratio", 20.0), Goal("share", 0.6)), (Goal("ratio", 10.0),)
STEPS = (  # name, configuration, settings, goals
    ("training step", "mtlvae.yaml", [], REPORTS),
    ("training step, conf/mtlvae_fast.yaml", "mtlvae_fast.yaml", [], REPORTS),
    ("training step, conf/mtlvae_plus.yaml", "mtlvae_plus.yaml", [], PLUS),
    ("training step, conf/mtlvae_plus.yaml, plain convolutions", "mtlvae_plus.yaml", ["vae.front_end=plain"], PLUS),
    ("training step on stored embeddings, conf/mtlvae_yamnet.yaml", "mtlvae_yamnet.yaml", [], PLUS),
)


def random_batch(conf: Conf) -> Batch:
    """Return a batch of the default size: 8 clips of 10 s for each of the four tasks."""
    grid = Grid.of(conf.features, conf.data.clip_seconds)
    spans, start = {}, 0
    for task, count in even_shares(conf.train.batch_size, list(TASKS)).items():
        spans[task] = slice(start, start + count)
        start += count
    inputs = {"log_mel": (torch.rand(start, *LogMelInput(conf).shape) * 80 - 40).half()}
    for name, source in inputs_of(conf).items():
        if name not in inputs:
            inputs[name] = torch.rand(start, *source.shape).half()  # as stored, not yet on the grid
    return Batch(
        inputs=inputs,
        strong=(torch.rand(start, grid.steps, CLASSES) < 0.1).float(),
        weak=(torch.rand(start, CLASSES) < 0.2).float(),
        spans=spans,
    )


def mtlvae_step(conf: Conf, batch: Batch) -> Callable[[], None]:
    """Return a function that takes one training step of stage 1, without its log.

    A step brings the inputs to the grid, augments, takes the step, clips the gradient, runs Adam and updates the moving
    average if there is one.
    """
    module = MTLVAETraining(conf, tuple(map(str, range(CLASSES)))).train()
    module.log_figures = lambda *_: None
    module.plan = Plan(epochs=40, epoch_steps=25)
    callbacks = attach_trainer(module, 500, batch.strong.device)  # step 500: all loss terms have their full weight
    optimizer = module.configure_optimizers()["optimizer"]
    stored, steps = batch.inputs, batch.strong.shape[1]

    def step() -> None:
        optimizer.zero_grad()
        on_grid = {name: source.on_grid(stored[name], steps) for name, source in module.inputs.items()}
        seen = dataclasses.replace(batch, inputs=on_grid, strong=batch.strong.clone(), weak=batch.weak.clone())
        module.on_train_batch_start(seen, 0)
        module.training_step(seen, 0).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), conf.train.gradient_clip)
        optimizer.step()
        for callback in callbacks:
            callback._average_model.update_parameters(module)

    return step


def student_step(batch: Batch) -> Callable[[], None]:
    """Return a function for the student alone: forward, two supervised losses, backward; no teacher, no optimiser."""
    net = CRNN(CLASSES).train()

    def step() -> None:
        net.zero_grad()
        supervised(*net(scale(batch.inputs["log_mel"].float(), (-1.0, 1.0))), batch).backward()

    return step


def mean_teacher_step(batch: Batch) -> Callable[[], None]:
    """Return a function for a whole mean-teacher step.

    Student and teacher forward, supervised and consistency losses, backward, Adam, moving average of the teacher.
    """
    student = CRNN(CLASSES).train()
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        features = scale(batch.inputs["log_mel"].float(), (-1.0, 1.0))
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
    """The two supervised losses of the baseline, each on a quarter of the batch."""
    strong_rows, weak_rows = batch.spans["strong_synth"], batch.spans["weak"]
    strong_loss = functional.binary_cross_entropy(strong[strong_rows], batch.strong[strong_rows].transpose(1, 2))
    return strong_loss + functional.binary_cross_entropy(weak[weak_rows], batch.weak[weak_rows])


def lines(quick: bool) -> Iterable[Line]:
    """Yield lines for steps on the default batch against the baseline's whole step and its student alone.

    The bound is the time of the step's own matrix products.
    """
    torch.manual_seed(0)
    batch = random_batch(load_conf())
    clips = len(batch)
    for name, conf_file, settings, goals in STEPS:
        yield _against_mean_teacher(name, load_conf(CONF_DIR / conf_file, settings=settings), goals, quick)
    yield race(
        f"training step against the baseline's student, forward and backward alone, batch {clips}",
        "clips/s",
        Way(mtlvae_step(load_conf(), batch), clips),
        Way(student_step(batch), clips),
        rounds=1 if quick else 5,
        energy=False,
    )


def _against_mean_teacher(name: str, conf: Conf, goals: tuple[Goal, ...], quick: bool) -> Line:
    batch = random_batch(conf)
    clips, step = len(batch), mtlvae_step(conf, batch)
    flop, bound = step_flop(step), product()
    repeats = math.ceil(flop / bound.amount)  # lasts about as long as a step, so that both meet the same disturbances

    def products() -> None:
        for _ in range(repeats):
            bound.run()

    return race(
        f"{name}, batch {clips}",
        "clips/s",
        Way(step, clips),
        Way(mean_teacher_step(batch), clips),
        Way(products, clips * repeats * bound.amount / flop),
        rounds=2 if quick else 7,
        bound_name="its FLOP at the speed of a large matrix product",
        goals=goals,
        note=f"{flop / clips / 1e9:.2f} GFLOP a clip; the baseline's is student and teacher",
    )


def step_flop(step: Callable[[], None]) -> int:
    """Return the FLOP of one step's matrix products, with the in-place product that torch's counter leaves out."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: _product_flop}) as counter:
        step()
    return counter.get_total_flops()


def _product_flop(added: torch.Size, a: torch.Size, b: torch.Size, **_: object) -> int:
    """added (batch, n, m), a (batch, n, k), b (batch, k, m)"""
    return 2 * math.prod(a) * b[2]
