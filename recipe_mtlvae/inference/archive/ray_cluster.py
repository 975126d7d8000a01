"""A connection to Ray: started on this machine while the command runs, or a running cluster."""

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

ANSWER = 60.0  # s in which a cluster must answer
STORE = 80_000_000  # bytes of Ray's object store; it holds little, and by default Ray takes a third of the memory


@contextlib.contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Give the module ray, connected to the cluster at `address` or to Ray started here for `workers` processes.

    No process is left when the context ends. Raises RecipeError if Ray does not start.
    """
    if address and os.environ.get("RAY_AUTH_MODE") != "token":
        hint = "set it where ray start runs and here: otherwise anybody who reaches the cluster runs code on it"
        raise fail("--cluster: expected RAY_AUTH_MODE=token", hint)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # errors are reported by us
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
            for number, handler in handlers.items():  # Ray replaces them by its own
                signal.signal(number, handler)
        yield ray


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Run a guard process within this context, which ends Ray's processes if this one is killed."""
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
    """Drop what C code writes to standard error within this context; gives a descriptor of the real standard error."""
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
    """End the process with a clear error if the cluster does not answer within `seconds`.

    Ray itself waits in C code, and then ends the process with a stack trace.
    """
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
