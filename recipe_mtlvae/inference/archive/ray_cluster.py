"""Ray for an archive: started here for the command's time, or a cluster that runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from recipe_mtlvae.errors import fail
from recipe_mtlvae.inference.archive import process_guard

ANSWER = 60.0  # s, of a cluster
STORE = 80_000_000  # bytes; hardly anything is kept in it, and Ray would take a third of the memory


@contextlib.contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Ray, on the cluster at `address` or started here for so many workers; it leaves no process behind."""
    if address and os.environ.get("RAY_AUTH_MODE") != "token":
        hint = "set it where ray start runs and here: otherwise anybody who reaches the cluster runs code on it"
        raise fail("--cluster: expected RAY_AUTH_MODE=token", hint)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # what fails is said in our words
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    with contextlib.ExitStack() as stack:
        try:
            with _silent() as standard_error:
                if address:
                    stack.callback(ray.shutdown)
                    with _answer_within(ANSWER, address, standard_error):
                        ray.init(address, **quiet)
                else:
                    stack.enter_context(_guarded())
                    stack.callback(ray.shutdown)
                    here = {"num_cpus": workers, "object_store_memory": STORE, "include_dashboard": False}
                    ray.init("local", _node_ip_address="127.0.0.1", **here, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "check --cluster and the token" if address else ""
            raise fail(f"Ray does not start: {' '.join(str(error).split())}", hint) from None
        finally:
            for number, handler in handlers.items():  # Ray sets its own
                signal.signal(number, handler)
        yield ray


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Within, a process watches that nothing is left if this one is killed."""
    if not os.path.isdir("/proc"):  # not Linux
        yield
        return
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, process_guard.__file__], start_new_session=True, **pipes) as guard:
        try:
            yield
        finally:
            guard.kill()


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """Within, what C code writes to standard error is dropped; the number of the real one."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield kept
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextlib.contextmanager
def _answer_within(seconds: float, address: str, standard_error: int) -> Iterator[None]:
    """Ray waits in C for a cluster that does not answer, and ends the process with a trace."""
    answered = threading.Event()

    def watch() -> None:
        if not answered.wait(seconds):
            line = f"error: --cluster {address}: no answer in {seconds:.0f} s; check the address, and that ray runs\n"
            os.write(standard_error, line.encode())
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        answered.set()
