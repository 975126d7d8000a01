"""A made-up task with its own head and loss, an augmentation and a system are added to a copy of the project, and a
training step runs with each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.stage import PROJECT

APPENDED = {
    "recipe_mtlvae/nets/vae.py": """
class DensityHead(nn.Linear):
    def __init__(self, sizes):
        super().__init__(sizes.width, sizes.classes)

    def forward(self, decoded, steps):
        return super().forward(decoded).mean(dim=1)

HEADS["density"] = DensityHead
""",
    "recipe_mtlvae/nets/losses.py": """
LOSSES["density_mse"] = (lambda output, strong: functional.mse_loss(output, strong.mean(dim=1)), "strong")
""",
    "recipe_mtlvae/inputs/augment.py": """
def louder(batch, conf, labels):
    batch.inputs["log_mel"] = batch.inputs["log_mel"] + 6.0
    print("louder")

AUGMENTATIONS["louder"] = louder
""",
    "recipe_mtlvae/systems.py": """
SYSTEMS["echo"] = System("Echo of nothing", "Echo", "bias", {}, "echo", ("net",), "EchoTraining")
""",
    "conf/base.yaml": "\necho: {start: 0.25}\n",
}
PUT_BEHIND = {  # file: (existing line, what is inserted after it)
    "recipe_mtlvae/tasks.py": (
        "TASKS = {\n",
        '    "density": Task(labels="strong", head="density", loss="density_mse"),\n',
    ),
    "recipe_mtlvae/conf_sections.py": ("class AugmentConf:\n", "    louder: Probability\n"),
}
KEYS = {"loss": "density: 0.5", "augment": "louder: 0.0"}  # section of base.yaml: its new key
NEW = {
    "recipe_mtlvae/nets/echo.py": """
from recipe_mtlvae.conf_types import Float, section

@section
class Section:
    start: Float

def inputs(conf):
    return ("log_mel",)

def build(conf, classes):
    import torch
    from recipe_mtlvae.nets.prediction import Prediction

    class Echo(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.full((classes,), conf.echo.start))

        @torch.inference_mode()
        def predict(self, log_mel):
            steps = log_mel.shape[2] // conf.features.frames_per_step
            weak = torch.sigmoid(self.bias).expand(len(log_mel), -1)
            return Prediction(weak[:, None].expand(-1, steps, -1), weak)

    return Echo()
""",
    "local/training/echo.py": """
import torch
from local.training.base import SystemTraining

class EchoTraining(SystemTraining):
    def training_step(self, batch, batch_index):
        loss = (torch.sigmoid(self.net.bias) - batch.weak).square().mean()
        self.log_figures(batch, loss, {})
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters())
""",
    "run.py": """
import json
from pathlib import Path
from local.training.history import read_history
from local.stage import Stage, trained_on
from local.train import train
from recipe_mtlvae import Detector
from recipe_mtlvae.conf import load_conf
from recipe_mtlvae.errors import RecipeError
from recipe_mtlvae.nets.checkpoint import load_checkpoint
from tests.tiny import AUDIO, COUNTS, make_tiny_corpus, tiny_conf

SPLIT = "data.splits.density={metadata: d.tsv, audio: audio/density, labels: strong, role: train, task: density}"
SHORT = ["train.max_epochs=1", "train.epoch_steps=1"]
FIVE = "tasks=[strong_synth, weak, reconstruction, strong_real, density]"
conf = tiny_conf(SPLIT, FIVE, *SHORT, "train.batch_size=10", "augment.louder=1.0")
COUNTS["density"] = 6
root = make_tiny_corpus(Path("corpus").resolve(), conf)
train(Stage(1, conf, root, Path("five")))
echo = tiny_conf(*SHORT, "system=echo")
train(Stage(1, echo, root, Path("echo")))
try:
    load_conf(settings=["system=other"])
except RecipeError as error:
    refused = str(error)
print(json.dumps({
    "history": read_history(Path("five/history.csv"))[-1],
    "weights": list(load_checkpoint(Path("five/best.ckpt")).net.state_dict()),
    "scores": Detector.load(Path("echo/best.ckpt")).detect(root / AUDIO / "validation_0.wav").weak.tolist(),
    "trained_on": trained_on(echo),
    "refused": refused,
}))
""",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines that run.py prints in a copy of the project with all additions."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("recipe_mtlvae", "local", "conf"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("__init__.py", "tiny.py"):
        (copy / "tests").mkdir(exist_ok=True)
        shutil.copy(PROJECT / "tests" / file, copy / "tests")
    for file, text in (APPENDED | NEW).items():
        with (copy / file).open("a", encoding="utf-8") as open_file:
            open_file.write(text)
    for file, (line, more) in PUT_BEHIND.items():
        put_behind(copy / file, line, more)
    base = copy / "conf" / "base.yaml"
    for section, key in KEYS.items():
        line = next(
            line for line in base.read_text(encoding="utf-8").splitlines(True) if line.startswith(f"{section}:")
        )
        put_behind(base, line, f"  {key}\n")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def put_behind(file: Path, line: str, more: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(line) == 1
    file.write_text(text.replace(line, line + more), encoding="utf-8")


@pytest.fixture(scope="module")
def found(said: list[str]) -> dict[str, Any]:
    return json.loads(said[-1])


def test_a_new_task_adds_its_head_to_the_network_and_its_weighted_loss_to_the_total(found):
    history = found["history"]
    assert {"heads.density.weight", "heads.density.bias"} <= set(found["weights"])
    terms = sum(history[f"loss/{name}"] for name in ("strong_synth", "strong_real", "weak", "reconstruction", "kld"))
    assert history["loss/total"] == pytest.approx(terms + 0.5 * history["loss/density"], rel=1e-5)


def test_a_new_augmentation_runs_only_for_the_system_that_turns_it_on(said):
    assert said.count("louder") == 1  # one step of the system that turns it on, none of the other


def test_a_new_system_trains_and_detects(found):
    """The scores are sigmoid(0.25) = 0.5622, after a step of 0.001 up or down."""
    assert found["scores"] == pytest.approx([0.5622] * 2, abs=1e-3)


def test_the_training_of_a_new_system_depends_on_its_own_section(found):
    assert found["trained_on"]["echo"] == {"start": 0.25}


def test_the_error_for_an_unknown_system_lists_the_new_one(found):
    assert "expected one of mtlvae, mean_teacher, linear, echo" in found["refused"]
