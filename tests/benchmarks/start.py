"""Benchmark the start of the command line against the baseline recipe's imports and against a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

from recipe_mtlvae.conf import CONF_DIR
from tests.benchmarks.timing import Goal, Line, Way, race

# The imports at the top of its train_sed.py, which run before any option is read; those not installed are skipped
BASELINE_IMPORTS = ("numpy", "pandas", "torch", "torchaudio", "yaml", "pytorch_lightning", "codecarbon", "sed_eval")


def lines(quick: bool) -> Iterable[Line]:
    imports = "import importlib.util, importlib, warnings; warnings.simplefilter('ignore')\n"
    imports += f"[importlib.import_module(m) for m in {BASELINE_IMPORTS} if importlib.util.find_spec(m)]"
    yield race(
        "start of `python -m recipe_mtlvae --help`",
        "s",
        Way(_python("-m", "recipe_mtlvae", "--help")),
        Way(_python("-c", imports)),
        Way(_python("-c", "pass")),
        rounds=3 if quick else 9,
        bound_name="a bare Python",
        goals=(Goal("value", 0.5),),
        less_is_better=True,
    )


def _python(*arguments: str) -> Callable[[], object]:
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, cwd=CONF_DIR.parent, stdout=subprocess.DEVNULL)
