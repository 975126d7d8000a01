"""Ctrl-C, SIGTERM and SIGHUP at any moment, closed standard streams, and modules in the caller's folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recipe_mtlvae.errors import exit_code_of, fail
from tests.children import LIMIT, PROJECT, child, python, running, wait_for
from tests.tiny import make_tiny_corpus, save_tiny_checkpoint, tiny_conf

LINE = "error: interrupted; run the same command again to continue\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DETECT = (sys.executable, "-m", "recipe_mtlvae", "detect", "--checkpoint", "none.ckpt", "--out", "out")


def sends(number: int) -> None:
    """Act as a command that gets a signal while it works."""
    os.kill(os.getpid(), number)
    pytest.fail("went on")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_gives_one_line_and_exit_code_1(number, capfd):
    assert exit_code_of(lambda: sends(number)) == 1
    assert capfd.readouterr().err == LINE


def test_signal_handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    exit_code_of(lambda: None)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_an_error_that_an_interrupt_caused_is_not_reported(capfd):
    def main() -> None:
        try:
            sends(signal.SIGTERM)
        except KeyboardInterrupt:  # as C code does when its import is interrupted
            raise ImportError("numpy failed to import") from None

    assert exit_code_of(main) == 1
    assert capfd.readouterr().err == LINE


def test_of_several_processes_only_the_first_reports_an_interrupt(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with child(sys.executable, "-c", "from tests.test_interrupts import *\nexit_code_of(lambda: sends(15))") as process:
        assert process.communicate(timeout=LIMIT) == ("", "")
    assert process.returncode == 1


def test_a_second_signal_within_a_second_changes_nothing(capfd):
    """Ctrl-C in a terminal reaches the stage twice: directly and through run.sh."""
    saved = []

    def main() -> None:
        try:
            sends(signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            saved.append("the tables")

    assert exit_code_of(main) == 1
    assert saved == ["the tables"]


@pytest.mark.parametrize(
    ("module", "error"),
    [("torch", "MemoryError()"), ("torch", "ImportError('libtorch.so: failed to map segment from shared object')")],
)
def test_too_little_memory_for_an_import_is_reported_in_one_line(tmp_path, module, error):
    (tmp_path / f"{module}.py").write_text(f"raise {error}\n")
    environment = python(PYTHONPATH=f"{tmp_path}:{PROJECT}")
    for command in ((*DETECT, "a.wav"), (sys.executable, "-m", "local.train")):
        (tmp_path / "a.wav").write_bytes(b"RIFF")
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 1
        assert done.stderr.startswith("error: too little memory") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),  # from os.fork and mmap
    ],
)
def test_too_little_memory_at_work_is_reported_in_one_line(capfd, error):
    def main() -> None:
        raise error

    assert exit_code_of(main) == 1
    assert capfd.readouterr().err.startswith("error: too little memory (")


def test_output_that_cannot_be_written_is_reported_in_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "recipe_mtlvae", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT,
        )
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")


@pytest.fixture
def slow_import(tmp_path: Path) -> dict[str, str]:
    """Variables for a Python in which importing torch takes very long; tmp_path/importing exists once it has begun."""
    text = f"import time\nopen({str(tmp_path / 'importing')!r}, 'w').close()\ntime.sleep({LIMIT})\n"
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "torch.py").write_text(text)
    (tmp_path / "slow" / "pytorch_lightning.py").write_text(text)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    return python(PYTHONPATH=f"{tmp_path / 'slow'}:{PROJECT}")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "command", [(*DETECT, "a.wav"), (sys.executable, "-m", "local.train")], ids=("detect", "stage")
)
def test_a_signal_during_imports_gives_one_line(tmp_path, slow_import, command, number):
    with child(*command, cwd=tmp_path, env=slow_import) as process:
        wait_for((tmp_path / "importing").exists, process)
        process.send_signal(number)
        assert process.communicate(timeout=LIMIT) == ("", LINE)
    assert process.returncode == 1


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(tmp_path, slow_import):
    """`nohup python -m recipe_mtlvae ...` keeps running when the terminal closes."""
    command = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *DETECT, "a.wav")
    with child(*command, cwd=tmp_path, env=slow_import) as process:
        wait_for((tmp_path / "importing").exists, process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=LIMIT)[1] == LINE


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        ("detect --stream - --checkpoint {0}", "<&-"),
        ("detect --stream - --checkpoint {0}", "<&- >&- 2>&-"),
        ("detect --checkpoint {0} --out out none.wav", "2>&-"),
        ("--help", ">&-"),
    ],
)
def test_closed_streams_cause_no_traceback(tmp_path, arguments, closed):
    checkpoint = save_tiny_checkpoint(tmp_path / "best.ckpt")
    line = f"{sys.executable} -m recipe_mtlvae {arguments.format(checkpoint)} {closed}"
    with child("sh", "-c", line, cwd=tmp_path, env=python()) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert out == "" and "Traceback" not in err and len(err.splitlines()) <= 2


def test_a_module_in_the_callers_folder_is_not_imported(tmp_path):
    for name in ("numpy", "torch", "signal", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run')\n")
    done = subprocess.run(
        [*DETECT, "none.wav"], cwd=tmp_path, env=python(), capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (1, "error: none.wav: no such file or folder\n")


SLEEPER = """#!/usr/bin/env bash
trap 'echo "error: interrupted" >&2; sleep 0.3; echo saved; exit 1' TERM
echo working
for ((i = 0; i < 1200; i++)); do sleep 0.1; done
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_run_sh_passes_a_signal_on_and_waits_for_the_stage(tmp_path, number):
    (tmp_path / "local").mkdir()
    for name in ("run.sh", "local/parse_options.sh", "local/run_child.sh"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    (tmp_path / "local" / "setup.sh").write_text(f"set_up() {{ PYTHON={tmp_path}/python; }}\n")
    (tmp_path / "python").write_text(SLEEPER)
    (tmp_path / "python").chmod(0o755)
    with child("bash", tmp_path / "run.sh", "--stage", "1") as process:
        assert process.stdout.readline() == "== stage 1: train\n"
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT)
        assert not running(process.pid)
    assert process.returncode == 1
    assert err == "error: interrupted\n"
    assert out.startswith("saved\n== stage 1: train interrupted after")


TINY = """
data: {name: tiny, prepare: none, classes: [Beep, Hum], clip_seconds: 2.0}
vae: {hidden: 16, latent: 8}
train: {batch_size: 8, epoch_steps: null, accelerator: cpu, devices: 2, strategy: ddp, threads: 1}
"""


@pytest.mark.slow
@pytest.mark.parametrize("to_all", [False, True])
def test_a_signal_to_a_training_in_two_processes_gives_one_line(tmp_path, to_all):
    corpus = make_tiny_corpus(tmp_path / "corpus", tiny_conf())
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = [sys.executable, "-m", "local.train", "--data", tmp_path / "tiny.yaml", "--data_root", corpus]
    command += ["--exp_dir", tmp_path, "--tag", "t", "--set=train.max_epochs=100000"]
    history = tmp_path / "t" / "history.csv"
    with child(*command, env=python()) as process:
        wait_for(lambda: history.exists() and len(history.read_text().splitlines()) > 2, process)
        os.killpg(process.pid, signal.SIGTERM) if to_all else process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT)
        assert not running(process.pid)
    assert process.returncode == 1
    assert [line for line in err.splitlines() if "features:" not in line] == [LINE.strip()]


def test_an_error_about_bad_input_is_reported_as_usual(capsys):
    def main() -> None:
        raise fail("wrong")

    assert exit_code_of(main) == 1
    assert capsys.readouterr().err == "error: wrong\n"
