"""A script that runs beside a command. When the command has ended in any way, it kills the processes left over from it.

Without it, two of Ray's processes wait a minute for others that have ended if a command with Ray is killed. It uses
only the standard library. Its standard input is a pipe that the command holds open.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

EVERY = 2  # s between two lists of the processes that the command has started
AFTER = 5  # s after the command in which its processes may end by themselves


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent's number and the start time of each process, by its number.

    The start time distinguishes a process from a later one with the same number.
    """
    found = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            words = file.read().rpartition(")")[2].split()
            found[int(name)] = int(words[1]), words[19]
    return found


def main() -> None:
    command, seen = os.getppid(), {}
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        now, below = processes(), [command]
        for one in below:  # the list grows in the loop
            below += [number for number, (parent, _) in now.items() if parent == one]
        seen |= {number: now[number][1] for number in below[1:] if number != os.getpid()}
    time.sleep(AFTER)
    now = processes()
    for number, start in seen.items():
        if number in now and now[number][1] == start:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)


if __name__ == "__main__":
    main()
