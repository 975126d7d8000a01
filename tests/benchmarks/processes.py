"""Benchmark training in two processes (DDP, gloo) against one, with one thread each and the same global batch."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from local.stage import Stage
from local.train import train
from local.training.history import read_history
from recipe_mtlvae.conf import CONF_DIR
from tests.benchmarks.corpus import corpus_conf, make_corpus
from tests.benchmarks.energy import Energy
from tests.benchmarks.timing import Goal, Line

MODULE = "tests.benchmarks.processes"


def lines(quick: bool) -> Iterable[Line]:
    epochs, steps, rounds = (3, 5, 1) if quick else (4, 10, 2)
    lengths = [f"train.max_epochs={epochs}", f"train.epoch_steps={steps}", "train.threads=1"]
    ways = {"two": ["train.devices=2", "train.strategy=ddp"], "one": ["train.devices=1"]}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    energies: dict[str, Energy] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "corpus"
        make_corpus(root, corpus_conf())
        for turn in range(rounds):
            for way, settings in ways.items():
                run_dir = Path(name) / f"{way}{turn}"
                rate, energies[way] = _run(root, run_dir, [*lengths, *settings])
                rates[way].append(rate)
    yield Line(
        "training in two processes, against one",
        "clips/s",
        tuple(rates["two"]),
        tuple(rates["one"]),
        goals=(Goal("ratio", 1.7),),
        note="whole epochs, one thread a process; the column of the baseline's way is one process; kWh with the start",
        energy=energies["two"],
        baseline_energy=energies["one"],
    )


def _run(root: Path, run_dir: Path, settings: list[str]) -> tuple[float, Energy]:
    """Return the median clips per second over all epochs but the first, and the energy per clip."""
    command = [sys.executable, "-m", MODULE, str(root), str(run_dir), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=CONF_DIR.parent, env=environment, stdout=subprocess.DEVNULL)
    history = read_history(run_dir / "history.csv")
    entry = json.loads((run_dir / "energy.json").read_text())["training"]
    clips = sum(row["clips"] for row in history)
    kwh = None if entry.get("kwh") is None else entry["kwh"] / clips
    rate = statistics.median(row["clips"] / row["seconds"] for row in history[1:])
    return rate, Energy(kwh, entry.get("mode") or entry.get("reason", ""))


if __name__ == "__main__":
    corpus, folder, *given = sys.argv[1:]
    train(Stage(1, corpus_conf(*given), Path(corpus), Path(folder)))
